"""What a notebook calls to capture, to run, and to open what has been run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import analyses
from kvprobes import runner
from kvprobes.captures.options import CaptureOptions
from kvprobes.finished import Results
from kvprobes.session import Say, Session
from probes.models.bundled import DEFAULT_MODEL
from probes.naming import require_known

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from analyses.shared.question import Question
    from probes.capture.store import Store
    from probes.models.model import Model


def capture(
    model: str | Path | Model | TransformerBridge = DEFAULT_MODEL,
    out: str | Path | None = None,
    *,
    say: Say = print,
    **options: Any,
) -> Store:
    """Capture words in their sentences into a folder; an interrupted capture resumes.

    Parameters
    ----------
    model
        A name, a folder, or a model of `load_model`, or a TransformerBridge.
    out
        Where results go; ``results/`` and the model's name without it.
    say
        Called with a sentence on what is done or reused.
    options
        Of `CaptureOptions`: ``pairs`` and ``templates``, or ``sentences``, or ``treebank``;
        ``limit``, ``key_stage``, ``batch_size``, ``seed``, ``device``, ``overwrite``,
        ``scheduler``, ``workers``.

    Raises
    ------
    UsageError
        If an option is unknown, or more than one thing is to be captured.
    KvprobesError
        If anything is wrong with the model, the tables or the folder.

    Examples
    --------
    >>> store = capture("smollm2-135m-instruct", limit=300)  # doctest: +SKIP
    """
    from kvprobes.captures.main import capture_main, refuse_mixed

    chosen, loaded = _choose(model, out, options)
    refuse_mixed(chosen)
    session = Session.of(chosen, model=loaded, say=say)
    with chosen.open_cluster() as cluster:
        return capture_main(session, chosen, cluster)


def run(
    model: str | Path | Model | TransformerBridge | CaptureOptions = DEFAULT_MODEL,
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    quick: bool = False,
    say: Say = print,
    **options: Any,
) -> Results:
    """Capture, answer every question that the model allows, and write the report.

    Parameters
    ----------
    model, out, say, options
        As for `capture`; also ``human``, tables of human scores.
    settings
        Settings by question: ``{"divergence": {"resamples": 1000}}``.
    quick
        The first answer alone, from a sample.

    Raises
    ------
    UsageError
        If an option, a question or a setting is unknown.
    KvprobesError
        If anything is wrong with the model, the tables or the folder.

    Examples
    --------
    >>> results = run("smollm2-135m-instruct", limit=300)  # doctest: +SKIP
    >>> results.verdict  # doctest: +SKIP
    """
    if isinstance(model, CaptureOptions):
        chosen, loaded = model, None
    else:
        chosen, loaded = _choose(model, out, options)
    return Results(runner.run(chosen, asked=settings, say=say, model=loaded, quick=quick))


def open(folder: str | Path) -> Results:
    """Open a finished result folder, without its model.

    Raises
    ------
    StoreError
        If no question has been answered there.

    Examples
    --------
    >>> open("results/smollm2-135m-instruct").verdict  # doctest: +SKIP
    """
    return Results(folder)


def add_question(module: str | Path) -> Question:
    """Add a question of your own to those that `run`, `answer` and the report know.

    It stays for as long as this process runs. Adding the same name again replaces it.

    Parameters
    ----------
    module
        A file ``my_question.py``, or the dotted name of an installed module.

    Raises
    ------
    UsageError
        If it cannot be loaded, holds no question, or has the name of one of ours.

    Examples
    --------
    >>> add_question("my_question.py")  # doctest: +SKIP
    >>> answer("my_question", "results/smollm2-135m-instruct").tables  # doctest: +SKIP
    """
    return analyses.add_question(module)


def _choose(
    model: Any, out: str | Path | None, options: Mapping[str, Any]
) -> tuple[CaptureOptions, Model | None]:
    """Return what is captured, and the model if it is in memory already."""
    known = [field.name for field in fields(CaptureOptions) if field.name not in ("model", "out")]
    for name in options:
        require_known("option", name, known)
    loaded = None
    if not isinstance(model, str | Path):
        from probes.models.wrap import wrap_model

        loaded = wrap_model(model)
        model = loaded.name
    given = dict(options)
    if "human" in given:
        given["human"] = tuple(Path(path) for path in given["human"])
    given |= {name: Path(given[name]) for name in ("sentences", "treebank") if given.get(name)}
    where = None if out is None else Path(out)
    return CaptureOptions(model=str(model), out=where, **given), loaded
