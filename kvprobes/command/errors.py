"""What the commands print beside results: errors, and what is being done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from probes.errors import KvprobesError


@contextmanager
def explaining_errors() -> Iterator[None]:
    """Print an error of ours and exit 1; exit 130 on Ctrl-C. Anything else is a bug, and shows."""
    try:
        yield
    except KvprobesError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(
            "\nInterrupted. Nothing is lost: the same command goes on where it stood.", err=True
        )
        raise typer.Exit(130) from error


def say(message: str) -> None:
    """Print what is being done, apart from results."""
    typer.echo(message, err=True)
