"""``kvprobes analyse NAME``: a command for every question, with an option for every setting."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from analyses import find_question, list_questions
from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import SettingField, list_settings
from kvprobes.captures.options import CaptureOptions
from kvprobes.command import options as given
from kvprobes.command.errors import explaining_errors, say, tell
from kvprobes.command.parsing import ExplainingCommand, ExplainingGroup
from kvprobes.command.settings import gather_settings
from kvprobes.command.talking import TalkingTyper
from kvprobes.timings import read_timings
from probes.models.bundled import DEFAULT_MODEL

PANEL = "Settings of this question"

_OPTIONS: dict[str, tuple[Any, Any, Need | None]] = {
    "model": (given.FolderModel, None, None),
    "out": (given.Out, None, None),
    "device": (given.Device, "cpu", None),
    "text": (given.Text, "text", Need.CORPUS),
    "human": (given.Human, None, Need.WORDS),
    "workers": (given.Processes, 2, None),
    "settings": (given.Settings, None, None),
    "module": (given.Module, None, None),
    "as_json": (given.Json, False, None),
}
"""Option -> its declaration, its default, and what only those questions need that have it."""


class QuestionGroup(ExplainingGroup):
    """The commands of all questions: also of one that `--module` names, before it or after it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the questions; an installed one that cannot be loaded is an error of ours."""
        with explaining_errors():
            return list(list_questions())

    def get_command(self, ctx: Any, name: str) -> Any:
        """Make the command of a question when it is needed."""
        with explaining_errors():
            question = list_questions().get(name)
        if question is None:
            return None
        alone = TalkingTyper(add_completion=False)
        add_command(alone, question)
        return typer.main.get_command(alone)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, once the questions of `--module` behind its name are known."""
        for place, word in enumerate(args):
            option, _, module = word.partition("=")
            if option == "--module":
                given.add_modules([module or next(iter(args[place + 1 :]), "")])
        return super().resolve_command(ctx, args)


def make_commands() -> typer.Typer:
    """Return the commands of all questions, one each."""
    commands = typer.Typer(
        cls=QuestionGroup,
        no_args_is_help=True,
        help="Answer one question from a result folder's captures: tables, figures, an answer.",
    )

    @commands.callback()
    def ask(module: given.Module = None) -> None:
        """Answer one question from a result folder's captures: tables, figures, an answer."""

    return commands


def add_command(
    commands: typer.Typer, question: Question, *, name: str = "", preset: str | None = None
) -> None:
    """Add the command of one question, with an option for each of its settings.

    Parameters
    ----------
    name
        Of the command; the question's own by default.
    preset
        Used where the user names none.
    """

    def command(**options: Any) -> None:
        asked = {own: options.pop(own) for own in list_settings(question.settings)}
        asked = {own: value for own, value in asked.items() if value is not None}
        answer_question(question, asked, **options)

    parameters = [
        _parameter(option, hint, default)
        for option, (hint, default, need) in _OPTIONS.items()
        if need is None or need in question.needs
    ]
    if question.presets:
        told = f"{' or '.join(question.presets)}: named settings to start from."
        hint = Annotated[str | None, typer.Option(help=told, rich_help_panel=PANEL)]
        parameters.append(_parameter("preset", hint, preset))
    parameters += [
        _parameter(own.name, Annotated[str | None, _make_option(own)], None)
        for own in list_settings(question.settings).values()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {own.name: own.annotation for own in parameters}
    commands.command(
        name or question.name,
        help=question.asks,
        cls=ExplainingCommand,
        context_settings=given.HELP,
    )(command)


def _make_option(own: SettingField) -> Any:
    # Escaped, or the brackets would be taken for the markup of a terminal.
    told = escape(f"{own.told} [default: {_spell(own.default)}]")
    return typer.Option(own.option, help=told, metavar=own.form, rich_help_panel=PANEL)


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _spell(value: Any) -> str:
    """Write a value as an option takes it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def answer_question(
    question: Question,
    asked: dict[str, Any],
    *,
    model: str | None = None,
    out: Path | None = None,
    settings: Path | None = None,
    as_json: bool = False,
    preset: str | None = None,
    module: object = None,
    **of_session: Any,
) -> None:
    """Answer one question and print what it found, and where its files are.

    Parameters
    ----------
    asked
        Settings by name, as text.
    of_session
        ``device``, ``text``, ``human``, ``workers`` of a `Session`.
    """
    from kvprobes.runner import answer, refuse_unknown
    from kvprobes.session import Session

    with explaining_errors():
        in_file = gather_settings((), settings)
        refuse_unknown(in_file)
        folder = CaptureOptions(model or DEFAULT_MODEL, out=out).folder
        of_session["human"] = tuple(of_session.get("human") or ())
        session = Session(folder, model=model, say=say, **of_session)
        if preset is not None:
            asked = {"preset": preset, **asked}
        found = answer(question, session, **in_file.get(question.name, {}) | asked)
        if as_json:
            manifest = folder.read_manifest(question.name)
            typer.echo(json.dumps({"folder": str(folder.path), **manifest}, indent=2))
            return
        for sentence in filter(None, (found.section.verdict, *found.section.answer)):
            tell(sentence)
        for file in sorted(folder.path.glob(f"*/{question.name}.*")):
            tell(file)


def list_command(module: given.Module = None, as_json: given.Json = False) -> None:
    """List all questions, what each needs, and how long it took last time on this machine."""
    with explaining_errors():
        questions = list_questions()
    timings = read_timings()
    rows = [
        {
            "name": question.name,
            "title": question.title,
            "asks": question.asks,
            "needs": [need.value for need in Need if need in question.needs],
            "uses": [need.value for need in Need if need in question.uses],
            "in_run": question.in_run,
            "seconds": timings.get(question.name),
            "presets": list(question.presets),
            "settings": {
                name: {"default": own.default, "takes": own.form, "told": own.told}
                for name, own in list_settings(question.settings).items()
            },
        }
        for question in questions.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        from kvprobes.command.printing import print_questions

        print_questions(rows)


def run_question_script(name: str) -> None:
    """Be the command line of ``python -m analyses.NAME``."""
    script = TalkingTyper(pretty_exceptions_enable=False, context_settings=given.HELP)
    add_command(script, find_question(name))
    script(prog_name=f"python -m analyses.{name}")
