"""Progress on standard error: a bar in a terminal, a line every 30 s in a log file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""

_silent = False


def silence_progress(silent: bool) -> None:
    """Show no progress from now on, or show it again."""
    global _silent
    _silent = silent


@contextmanager
def progress_bar(title: str, *, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show progress while the block runs; yields a function that advances it by this many units."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    in_terminal, over = sys.stderr.isatty(), Event()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=_silent or not in_terminal,
    ) as progress:
        task = progress.add_task(title, total=total, rate="")
        if not (_silent or in_terminal):
            Thread(target=_write_lines, args=(progress, over), daemon=True).start()

        def advance(amount: int) -> None:
            progress.advance(task, amount)
            speed = progress.tasks[0].speed
            if speed and unit:
                progress.update(task, rate=f"{speed:,.0f} {unit}/s")

        try:
            yield advance
        finally:
            over.set()


def _write_lines(progress: Progress, over: Event) -> None:
    """Write a line every so often, until it is over: how far it is, and the time left."""
    while not over.wait(EVERY):
        task = progress.tasks[0]
        line = f"{task.description}: {task.percentage:.0f} %"
        if task.completed and task.total and task.elapsed:
            seconds = task.elapsed * (task.total - task.completed) / task.completed
            line += f", about {timedelta(seconds=round(seconds))} left"
        print(line, file=sys.stderr, flush=True)
