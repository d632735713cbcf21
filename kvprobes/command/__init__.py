"""The command of kvprobes."""
