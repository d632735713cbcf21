"""The study of kvprobes."""
