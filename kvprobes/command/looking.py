"""Commands that look at what is there and compute nothing: figures, describe, cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from analyses.shared.style import WIDTHS
from kvprobes.command import options as given
from kvprobes.command.errors import explaining_errors, say, tell
from probes.errors import UsageError
from probes.files import measure_size
from probes.models.cache import cache_folder
from probes.naming import require_known


def figures(
    folders: Annotated[list[Path], typer.Argument(help="Result folders of finished runs.")],
    width: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(WIDTHS)}, or inches.", show_default="an ICML page"),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Figures or questions: divergence.headline,nulls.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="pdf, png, svg.")] = "pdf,png",
    label: given.Label = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the figures.",
            show_default="figures-WIDTH/ or figures-own/ of the result folder",
        ),
    ] = None,
) -> None:
    """Draw the figures of finished runs again, at the width of a venue; no model is needed."""
    from kvprobes.figures import redraw

    with explaining_errors():
        chosen = only.split(",") if only else ()
        labels = read_labels(label or ())
        formats = [ending.strip() for ending in format.split(",")]
        for path in redraw(
            folders, width=width, only=chosen, formats=formats, labels=labels, out=out
        ):
            tell(path)


def read_labels(words: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=TEXT``.

    Raises
    ------
    UsageError
        If there is no ``=``.
    """
    labels = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not (name and sign and text):
            raise UsageError(f"--label takes NAME=TEXT, as in gpt2=GPT-2, not {word!r}.")
        labels[name] = text
    return labels


def describe(
    table: Annotated[
        str | None, typer.Argument(help="A table or a question: divergence.heads, nulls.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Say what each column of a result table means, and in which unit it is."""
    from analyses.shared.dictionary import describe_table, list_tables
    from kvprobes.command.printing import print_columns

    with explaining_errors():
        tables = list_tables()
        questions = [name.partition(".")[0] for name in tables]
        if table is not None:
            require_known("table or question", table, [*tables, *dict.fromkeys(questions)])
            tables = [name for name in tables if table in (name, name.partition(".")[0])]
        described = {name: describe_table(name) for name in tables}
        if as_json:
            rows = {name: own.to_dict("records") for name, own in described.items()}
            typer.echo(json.dumps(rows, indent=2))
            return
        for name, own in described.items():
            print_columns(name, own)


def cache(
    remove: Annotated[
        str | None, typer.Option(help="models, archives, or all: remove these files.")
    ] = None,
) -> None:
    """Say where fetched models are kept and how much room they take; remove them."""
    with explaining_errors():
        folder = cache_folder()
        rooms = {path.name: path for path in sorted(folder.glob("*")) if path.is_dir()}
        sizes = {name: measure_size(path) for name, path in rooms.items()}
        tell(folder)
        for name, size in sizes.items():
            tell(f"  {name}: {size / 1e6:,.1f} MB")
        if remove is None:
            return
        require_known("part of the cache", remove, [*rooms, "all"])
        for name in rooms if remove == "all" else [remove]:
            shutil.rmtree(rooms[name])
            say(f"Removed {name}: {sizes[name] / 1e6:,.1f} MB. It is fetched again when needed.")
