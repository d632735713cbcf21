"""How much a command prints: every command takes --quiet and --verbose."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from kvprobes.command.errors import LOUDNESS
from probes.progress import silence_progress

F = TypeVar("F", bound=Callable[..., Any])


def _hush(quiet: bool) -> bool:
    LOUDNESS.quiet = quiet
    silence_progress(quiet)
    return quiet


def _talk(verbose: bool) -> bool:
    LOUDNESS.verbose = verbose
    return verbose


PANEL = "What is printed"
OPTIONS: dict[str, Any] = {
    "quiet": Annotated[
        bool,
        typer.Option(
            "--quiet",
            help="Print results and errors only.",
            callback=_hush,
            is_eager=True,
            rich_help_panel=PANEL,
        ),
    ],
    "verbose": Annotated[
        bool,
        typer.Option(
            "--verbose",
            help="Print the time before every line, and where in the code an error arose.",
            callback=_talk,
            is_eager=True,
            rich_help_panel=PANEL,
        ),
    ],
}


class TalkingTyper(typer.Typer):
    """A set of commands that all take --quiet and --verbose."""

    def command(self, *args: Any, **options: Any) -> Callable[[F], F]:
        """Add a command."""
        add = super().command(*args, **options)

        def decorate(function: F) -> F:
            add(_let_talk(function))
            return function

        return decorate


def _let_talk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the two options; what they change is changed as they are read."""

    @wraps(function)
    def command(quiet: bool, verbose: bool, **given: Any) -> Any:
        return function(**given)

    own = inspect.signature(function, eval_str=True)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)
        for name, hint in OPTIONS.items()
    ]
    command.__annotations__ = {**function.__annotations__, **OPTIONS}
    command.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), *more]
    )
    return command
