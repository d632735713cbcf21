"""The captures of kvprobes."""
