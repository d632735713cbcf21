"""The report of kvprobes."""
