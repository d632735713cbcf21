"""Strings that a file may hold and that no output may let through as they are."""

from __future__ import annotations

HOSTILE = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "[bold]markup[/bold]",
    "$x^2$ \\input{/etc/passwd} & % # _ ~",
    "../../outside",
    "a\0b",
    "e" + "\u0301" * 200,
    "x" * 10_000,
)
