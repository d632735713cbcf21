"""``kvprobes analyse NAME``: a command for every question, with an option for every setting."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses import list_questions
from analyses.shared.question import Question
from analyses.shared.settings import list_settings
from kvprobes.captures.options import CaptureOptions
from kvprobes.command.errors import explaining_errors
from kvprobes.command.options import Device, Human, Json, Model, Out, Settings, Text, Workers
from kvprobes.command.printing import print_questions
from kvprobes.command.settings import gather_settings
from kvprobes.runner import Answer, answer
from kvprobes.session import Session
from kvprobes.timings import read_timings
from probes.models.bundled import DEFAULT_MODEL

_SETTINGS_PANEL = "Settings of this question"


def make_commands() -> typer.Typer:
    """Return the commands of all questions, one each."""
    commands = typer.Typer(
        no_args_is_help=True,
        help="Answer one question from a result folder's captures: tables, figures, an answer.",
    )
    for question in list_questions().values():
        commands.command(question.name, help=question.asks)(make_command(question))
    return commands


def make_command(question: Question, **fixed: Any) -> Callable[..., None]:
    """Return a function whose signature has an option for every setting of a question.

    Parameters
    ----------
    fixed
        Defaults that stand in the place of the settings' own.
    """
    known = list_settings(question.settings)

    def command(**options: Any) -> None:
        own = {name: options.pop(name) for name in known}
        asked = {name: text for name, text in own.items() if text is not None}
        answer_command(question, fixed | asked, **options)

    parameters = [
        _parameter(name, hint, default) for name, (hint, default) in _COMMON.items()
    ]
    if question.presets:
        told = f"{' or '.join(question.presets)}: named settings to start from."
        parameters.append(_parameter("preset", Annotated[str | None, typer.Option(help=told)], None))
    for setting in known.values():
        shown = _show_default(fixed.get(setting.name, setting.default))
        option = typer.Option(
            setting.option,
            help=f"{setting.told}  [default: {shown}]",
            rich_help_panel=_SETTINGS_PANEL,
            metavar="VALUE",
        )
        parameters.append(_parameter(setting.name, Annotated[str | None, option], None))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {own.name: own.annotation for own in parameters}
    command.__name__ = question.name
    command.__doc__ = question.asks
    return command


_COMMON: dict[str, tuple[Any, Any]] = {
    "model": (Model, DEFAULT_MODEL),
    "out": (Out, None),
    "device": (Device, "cpu"),
    "text": (Text, "text"),
    "human": (Human, None),
    "workers": (Workers, 2),
    "settings": (Settings, None),
    "as_json": (Json, False),
}


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
    )


def _show_default(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def answer_command(
    question: Question,
    asked: dict[str, Any],
    *,
    model: str,
    out: Path | None,
    device: str = "cpu",
    text: str = "text",
    human: list[Path] | None = None,
    workers: int = 2,
    settings: Path | None = None,
    as_json: bool = False,
    preset: str | None = None,
) -> None:
    """Answer one question and print what it found, and where its files are."""
    with explaining_errors():
        from_file = gather_settings((), settings).get(question.name, {})
        session = Session(
            CaptureOptions(model, out=out).folder,
            model=model,
            device=device,
            text=text,
            human=tuple(human or ()),
            workers=workers,
            say=say,
        )
        found = answer(question, session, preset=preset, **(from_file | asked))
        if as_json:
            manifest = session.folder.read_manifest(question.name)
            typer.echo(json.dumps({"folder": str(session.folder.path), **manifest}, indent=2))
        else:
            print_answer(found, session)


def print_answer(found: Answer, session: Session) -> None:
    """Print an answer's sentences and the files that hold it."""
    for sentence in found.section.answer:
        typer.echo(sentence)
    for file in sorted(session.folder.path.glob(f"*/{found.question.name}.*")):
        typer.echo(file)


def list_command(as_json: Json = False) -> None:
    """List all questions, what each needs, and how long it took last time on this machine."""
    timings = read_timings()
    rows = [
        {
            "name": question.name,
            "asks": question.asks,
            "needs": [need.value for need in type(next(iter(question.needs))) if need in question.needs],
            "in_run": question.in_run,
            "seconds": timings.get(question.name),
            "settings": asdict(question.settings()),
        }
        for question in list_questions().values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        print_questions(rows)


def say(message: str) -> None:
    """Print what is being done, apart from results."""
    typer.echo(message, err=True)
