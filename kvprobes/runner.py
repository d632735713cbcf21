"""The runner: one function answers any question, and `run` asks all that a folder allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses import find_question, list_questions
from analyses.shared.given import Need
from analyses.shared.question import Question, Tables
from analyses.shared.settings import list_settings, read_settings
from kvprobes.captures.options import CaptureOptions
from kvprobes.results import ResultFolder
from kvprobes.session import Say, Session
from kvprobes.timings import Clock, note_timing
from probes.errors import (
    KvprobesError,
    StoreError,
    StoreMismatchError,
    TableError,
    UnsupportedModelError,
)
from probes.files import measure_size
from probes.naming import require_known

if TYPE_CHECKING:
    from analyses.shared.section import Section
    from probes.models.model import Model

Asked = Mapping[str, Mapping[str, Any]]
"""Question -> setting -> value."""


@dataclass(frozen=True)
class Answer:
    """What came out of one question.

    Attributes
    ----------
    tables
        Name -> table; what each holds is given by the question's ``compute``.
    settings
        All settings, those that were asked for and the defaults.
    is_new
        Whether anything had to be computed.
    """

    question: Question
    tables: Tables
    settings: Any
    is_new: bool

    @property
    def section(self) -> Section:
        """The answer in words, with captions and tables, as the report shows it."""
        return self.question.describe(self.tables, asdict(self.settings))


def answer(
    question: str | Question,
    folder: ResultFolder | Path | str | Session,
    *,
    preset: str | None = None,
    draw: bool = True,
    **settings: Any,
) -> Answer:
    """Answer one question from what a result folder holds; write tables, manifest and figures.

    Tables that are there, of the same inputs, settings and versions, are reused. A long question
    that was interrupted resumes.

    Parameters
    ----------
    question
        Its name or its record.
    folder
        A result folder with the captures that the question needs, or a session on one.
    preset
        The named settings to start from, for a question that has some.
    draw
        Whether figures are drawn.
    settings
        Settings of the question by name; the others have their defaults.

    Raises
    ------
    UsageError
        If the question, the preset or a setting is unknown, or a value does not fit.
    StoreError
        If something that the question needs is missing; the message says how to make it. Or if
        another run is answering the question in this folder.
    TableError
        If the data do not allow an answer, for example because there are too few pairs.

    Examples
    --------
    >>> answer("premise", Path("results/smollm2-135m-instruct"), resamples=1000)  # doctest: +SKIP
    """
    asked = find_question(question) if isinstance(question, str) else question
    session = folder if isinstance(folder, Session) else Session(folder)
    chosen = choose_settings(asked, preset, settings)
    given = session.gather(asked)
    inputs = asked.identify(given, chosen) | {"settings": asdict(chosen)}
    results, name = session.folder, asked.name
    with results.holding(name):
        is_new = not results.holds(name, inputs)
        if is_new:
            _say_if_older(results, name, session.say)
            session.say(f"Computing: {name}")
            start = time.monotonic()
            tables = asked.compute(given, chosen)
            results.write_tables(name, tables, inputs)
            note_timing(name, time.monotonic() - start)
        else:
            session.say(f"Reusing the tables of {name}")
            tables = results.read_tables(name)
            results.mend_copies(name, tables)
        if draw:
            results.write_figures(name, asked.draw(tables))
        results.write_latex(name, asked.to_latex(tables, asdict(chosen)))
    return Answer(asked, tables, chosen, is_new)


def choose_settings(question: Question, preset: str | None, asked: Mapping[str, Any]) -> Any:
    """Return a question's settings: a preset's or the defaults, and over them what was asked for.

    Raises
    ------
    UsageError
        If the preset or a setting is unknown, or a value does not fit.
    """
    start: Mapping[str, Any] = {}
    if question.presets and preset is not None:
        require_known(f"preset of {question.name}", preset, question.presets)
        start = question.presets[preset]
    elif preset is not None:
        start = {"preset": preset}  # which is a setting, or unknown
    return read_settings(question.settings, {**start, **asked}, of=question.name)


def _say_if_older(folder: ResultFolder, name: str, say: Say) -> None:
    try:
        folder.read_manifest(name)
    except StoreMismatchError:
        say(
            f"The tables of {name} were written by another version of kvprobes, with other names "
            "in them: they are computed again"
        )
    except StoreError:
        return


def refuse_unknown(asked: Asked) -> None:
    """Check the settings of all questions before anything takes time.

    Raises
    ------
    UsageError
        If a question or a setting is unknown, or a value does not fit.
    """
    for name, settings in asked.items():
        choose_settings(find_question(name), None, settings)


def run(
    options: CaptureOptions,
    *,
    asked: Asked | None = None,
    say: Say = lambda _: None,
    model: Model | None = None,
    quick: bool = False,
    only: Collection[str] | None = None,
) -> ResultFolder:
    """Capture, answer every question of `kvprobes run` that the model allows, write the report.

    The model is loaded once. A question that the data do not allow is left out, and the report says
    why.

    Parameters
    ----------
    options
        What is captured, of which model, into which folder.
    asked
        Settings by question; the others have their defaults.
    model
        The model, where it is loaded already; `options` then says its name alone.
    quick
        The first answer alone, from a sample (`QUICK_LIMIT` pairs, unless `options` say another
        number): its intervals are wider, and few pairs may leave answers undetermined.

    only
        The questions to ask, in place of those of `kvprobes run`.

    Raises
    ------
    UsageError
        If a question or a setting is unknown.
    KvprobesError
        If anything is wrong with the model, the tables or the folder.
    TableError
        If no question on the captured words could be answered.
    """
    from kvprobes.captures.find import PAIRS, name_kind
    from kvprobes.captures.main import capture_main, refuse_mixed
    from kvprobes.captures.untrained import capture_untrained
    from kvprobes.captures.words import capture_words
    from kvprobes.report.page import write_report

    asked = asked or {}
    refuse_unknown(asked)
    refuse_mixed(options)
    if quick and options.limit is None:
        options = replace(options, limit=QUICK_LIMIT)
    session = Session.of(options, model=model, say=say)
    in_run = [question for question in list_questions().values() if question.in_run]
    if only is not None:
        in_run = [find_question(name) for name in only]
    if quick:
        in_run = [question for question in in_run if question.quick is not None]
    first, asking = in_run[0].name, order_questions(in_run)
    for name in set(asked) - {question.name for question in asking}:
        say(f"`kvprobes run` does not ask {name}: `kvprobes analyse {name}` does")
    left_out: dict[str, KvprobesError] = {}
    with options.open_cluster() as cluster:
        later: dict[Need, Callable[[], None]] = {
            Need.UNTRAINED: partial(capture_untrained, session, options),
            Need.WORDS: partial(
                capture_words,
                session,
                human=options.human,
                skip_bad_rows=options.skip_bad_rows,
                limit=options.limit,
                full=options.full,
                batch_size=options.batch_size,
                cluster=cluster,
                overwrite=options.overwrite,
            ),
        }
        capture_main(session, options, cluster)
        obstacles = {question.name: session.find_obstacle(question) for question in asking}
        clock = Clock([q.name for q in asking if obstacles[q.name] is None])
        for place, question in enumerate(asking):
            name, reason = question.name, obstacles[question.name]
            try:
                if reason is None:
                    say(clock.announce(name, question.title))
                    # What only later questions read is captured when the first of them is asked.
                    for need in filter(question.reads, list(later)):
                        later.pop(need)()
                    settings = _choose_seed(question, options)
                    settings |= (question.quick or {}) if quick else {}
                    settings |= question.full if options.full else {}
                    settings |= asked.get(name, {})
                    answer(question, session, **settings)
            except (TableError, UnsupportedModelError) as error:
                say(f"Left out {name}: {error}")
                left_out[name], reason = error, str(error)
            if reason is not None:
                # The same data give the same words, wherever the folder is.
                reason = reason.replace(f"{session.folder.path}/", "")
                session.folder.note_left_out(name, reason)
            elif name == first and name not in left_out:
                pending = {other.name for other in asking[place + 1 :]}
                say(f"The first answer: {write_report(session.folder, pending=pending)}")
    on_words = Need.PAIRS if name_kind(session.store) == PAIRS else Need.CONTEXTS
    due = [q.name for q in asking if on_words in q.needs and obstacles[q.name] is None]
    if due and set(due) <= set(left_out):
        raise left_out[due[0]]
    write_report(session.folder)
    say(f"The results take {measure_size(session.folder.path) / 1e6:,.0f} MB on disk")
    return session.folder


QUICK_LIMIT = 300
"""Pairs of words of a quick run."""

READS = {Need.HEADS: "divergence", Need.SWAPS: "swaps"}
"""What is a table of another question -> that question."""


def order_questions(asking: Sequence[Question]) -> list[Question]:
    """Put questions in the order of the list, but each after those whose tables it reads."""
    by_name, ordered = {question.name: question for question in asking}, list[Question]()

    def place(question: Question) -> None:
        for need, name in READS.items():
            if question.reads(need) and name in by_name and name != question.name:
                place(by_name[name])
        if question not in ordered:
            ordered.append(question)

    for question in asking:
        place(question)
    return ordered


def _choose_seed(question: Question, options: CaptureOptions) -> dict[str, Any]:
    """Give the run's seed to a question that has one."""
    return {"seed": options.seed} if "seed" in list_settings(question.settings) else {}
