"""What the commands print beside results: errors, and what is being done."""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import typer

from probes.errors import KvprobesError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class Loudness:
    """What is printed beside results and errors."""

    quiet: bool = False
    verbose: bool = False


LOUDNESS = Loudness()
"""As the command that runs was asked."""


@contextmanager
def explaining_errors() -> Iterator[None]:
    """Print an error of ours, or of the machine, and exit 1; exit 130 on Ctrl-C.

    Anything else is a bug, and shows.
    """
    try:
        yield
    except KvprobesError as error:
        _fail(str(error), error)
    except MemoryError as error:
        _fail(
            "there is not enough memory. What was finished is kept: run the same command again "
            "with a smaller --batch-size, or where more memory is.",
            error,
        )
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _fail(
            f"could not read or write{where}: {error.strerror or error}. Check that there is room, "
            "and that you may write there; then run the same command again.",
            error,
        )
    except UnicodeEncodeError as error:  # of a path: the system allows bytes that are no text
        _fail(
            f"a path or word cannot be written as UTF-8 ({error.object!r}), which tables and "
            "weights need. Give the file or folder another name.",
            error,
        )
    except KeyboardInterrupt as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would abort what ends now
        typer.echo("\nInterrupted. Nothing is lost: the same command resumes.", err=True)
        raise typer.Exit(130) from error


def show(text: str) -> str:
    r"""Return a text with its control signs spelled out, since a file's may steer a terminal.

    >>> print(show("\x1b[31mred, \u202eback"))
    \x1b[31mred, \u202eback
    """
    return CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def tell(result: object) -> None:
    """Print a line of a result."""
    typer.echo(show(str(result)))


def say(message: str) -> None:
    """Print what is being done, apart from results, unless the user wants it quiet."""
    if LOUDNESS.quiet:
        return
    when = f"{datetime.now():%H:%M:%S} " if LOUDNESS.verbose else ""
    typer.echo(f"{when}{show(message)}", err=True)


def _fail(told: str, error: BaseException) -> None:
    if LOUDNESS.verbose:
        typer.echo(show("".join(traceback.format_exception(error))), err=True)
    typer.secho(f"Error: {show(told)}", fg="red", err=True)
    raise typer.Exit(1) from error
