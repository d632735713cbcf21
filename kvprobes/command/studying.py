"""The command that runs a study over many models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyses.shared.style import drawing
from kvprobes.command import options as given
from kvprobes.command.errors import explaining_errors, say, tell
from kvprobes.command.looking import read_labels


def study(
    file: Annotated[
        Path | None,
        typer.Argument(help="A study file; or a shipped one, such as bundled or pythia."),
    ] = None,
    out: given.Out = None,
    plan: Annotated[
        bool, typer.Option(help="Only say what it takes: tokens, hours, disk. Run nothing.")
    ] = False,
    numbers: Annotated[bool, typer.Option(help="List the numbers that hypotheses name.")] = False,
    label: given.Label = None,
) -> None:
    """Ask the same questions of many models, and say what holds in the next one."""
    from kvprobes.study.numbers import list_numbers
    from kvprobes.study.plan import read_study
    from probes.errors import UsageError

    with explaining_errors():
        if numbers:
            for number in list_numbers():
                tell(f"{number.name}: {number.label} (nothing: {number.nothing:g})")
            return
        if file is None:
            raise UsageError("Give a study file: kvprobes study mine.toml.")
        read = read_study(file)
        if plan:
            from kvprobes.study.cost import estimate_costs

            for sentence in estimate_costs(read):
                tell(sentence)
            return
        from kvprobes.study.run import run_study

        with drawing(labels=read_labels(label or ())):
            tell(run_study(read, out or Path("results") / file.stem, say=say))
