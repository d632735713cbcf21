"""The steps behind the commands: capture, analyse, report, each reusing what is already there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses.results import PACKAGES, ResultFolder
from probes.cluster import IN_PROCESS, Cluster, open_cluster
from probes.errors import StoreError, UsageError
from probes.files import write_text
from probes.memory import return_large_blocks

if TYPE_CHECKING:
    import pandas as pd

    from probes.capture.plan import CapturePlan
    from probes.capture.store import Store
    from probes.models.geometry import Site
    from probes.models.model import Model

ANALYSES = {
    "divergence": "DivergenceSettings",
    "nulls": "NullSettings",
    "premise": "PremiseSettings",
    "attention_example": "ExampleSettings",
    "cross_attention": "CrossSettings",
    "relations": "RelationsSettings",
    "meaning": "MeaningSettings",
    "probing": "ProbingSettings",
    "running_text": "RunningTextSettings",
}
"""Analysis -> the class of its settings; each is a module of this package."""

FROM_MODEL = ("substitution", "swaps", "erasure", "weights", "tying")
"""Those with commands of their own (the weights: by `capture_step`); `tying` trains its models."""

OF_TEXT = ("running_text",)
"""Those that read a capture of running text (`kvprobes capture --text`) and not of word pairs."""

ON_REQUEST = ("probing", *OF_TEXT)
"""Not part of `kvprobes run`: what takes longer than all others together, or another capture."""

OF_WORDS = ("relations", "meaning")
"""Those that need captures of single words beside the main one; see `analyses.word_captures`."""

DEFAULT_TEMPLATES = "3"
KeyStage = Literal["projected", "normed", "rotated"]
DEFAULT_STAGE: KeyStage = "normed"
Say = Callable[[str], None]


@dataclass(frozen=True)
class CaptureOptions:
    """What the user asked to be captured; without `pairs` and `templates`, the model's usual."""

    model: str
    pairs: str | None = None
    templates: str | None = None
    out: Path | None = None
    device: str = "cpu"
    batch_size: int = 128
    seed: int = 0
    limit: int | None = None
    overwrite: bool = False
    key_stage: KeyStage = DEFAULT_STAGE
    human: tuple[Path, ...] = ()
    scheduler: str | None = None
    workers: int = 2

    @property
    def folder(self) -> ResultFolder:
        """Where the results go: `out`, or ``results/`` and the model's name (and key stage)."""
        if self.out is not None:
            return ResultFolder(self.out)
        name = re.sub(r"[^\w.-]+", "--", self.model.strip("/"))
        stage = "" if self.key_stage == DEFAULT_STAGE else f"-{self.key_stage}"
        return ResultFolder(Path("results") / f"{name}{stage}")

    def open_cluster(self) -> AbstractContextManager[Cluster]:
        """Give what captures run on; what is started ends with the block."""
        logs = self.folder.path / "logs"
        return open_cluster(self.scheduler, workers=self.workers, logs=logs)


def capture_step(options: CaptureOptions, say: Say, cluster: Cluster = IN_PROCESS) -> Store:
    """Load the model and capture, or go on with or reuse the capture in the folder.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the tables, the folder or the cluster.
    """
    from probes.capture.run import CaptureSettings, capture
    from probes.models.bundled import find_bundled
    from probes.models.load import load_model
    from probes.words.pairs import load_pairs

    bundled = find_bundled(options.model)
    usual = ("compound_pairs", DEFAULT_TEMPLATES)
    if bundled is not None and bundled.tables is not None:
        usual = bundled.tables
    pairs = load_pairs(options.pairs or usual[0], limit=options.limit, seed=options.seed)
    templates = _load_templates(options.templates or usual[1])
    say(f"Loading {options.model}")
    model = load_model(options.model, device=options.device)
    stores = []
    for site, plan in _plan(model, pairs, templates, options.folder).items():
        if len(plan.losses):
            say(f"{len(plan.losses)} sentences could not be aligned; the report says which and why")
        store = capture(
            model,
            plan,
            options.folder.capture_at(site, main=model.geometry.site),
            settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed),
            batch_size=options.batch_size,
            cluster=cluster,
            overwrite=options.overwrite,
            say=say,
        )
        stores.append(store)
    _measure_weights(options.folder, model)
    return stores[0]


def treebank_capture_step(
    options: CaptureOptions, treebank: Path, say: Say, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture every word of a treebank's train, dev and test files, or go on with it.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the treebank, the folder or the cluster.
    """
    from probes.capture.plan_treebank import plan_treebank
    from probes.capture.run import CaptureSettings, capture
    from probes.models.load import load_model
    from probes.words.treebank import read_treebank_splits

    words = read_treebank_splits(treebank)
    say(f"Loading {options.model}")
    model = load_model(options.model, device=options.device)
    return capture(
        model,
        plan_treebank(model.tokenizer, words, causal=model.geometry.causal),
        options.folder.capture,
        settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed),
        batch_size=options.batch_size,
        cluster=cluster,
        overwrite=options.overwrite,
        say=say,
    )


def _measure_weights(folder: ResultFolder, model: Model) -> None:
    """Write the tables and figures of the weights alone, unless they are there."""
    from analyses import weights

    inputs = weights.describe_inputs(model)
    if not folder.holds(weights.NAME, inputs):
        tables = weights.compute(model)
        folder.write_tables(weights.NAME, tables, inputs)
        folder.write_figures(weights.NAME, weights.draw(tables))


def word_capture_step(
    options: CaptureOptions, say: Say, cluster: Cluster = IN_PROCESS, *, keep: bool = False
) -> None:
    """Capture single words beside the main capture, or go on with or reuse what is there.

    Parameters
    ----------
    keep
        Go on with the words that a capture was begun with, whatever its limit was.

    Raises
    ------
    TableError
        If the main capture's words are not in the script of the relations'.
    StoreError
        If there is no whole main capture, or what is there is of other settings.
    """
    from analyses.word_captures import capture_words

    capture_words(
        open_whole_store(options.folder.capture),
        human=options.human,
        limit=options.limit,
        keep=keep,
        device=options.device,
        batch_size=options.batch_size,
        cluster=cluster,
        overwrite=options.overwrite,
        say=say,
    )


def _plan(
    model: Model, pairs: pd.DataFrame, templates: pd.DataFrame, folder: ResultFolder
) -> dict[Site, CapturePlan]:
    """Lay out the capture at every site of a model, the main one first."""
    from probes.capture.plan import plan_capture
    from probes.capture.plan_translation import plan_translation
    from probes.capture.translate import translate

    if model.has_encoder_and_decoder:
        return plan_translation(
            model,
            pairs,
            templates,
            translate=partial(translate, model, folder=folder.path / "translations"),
        )
    plan = plan_capture(model.tokenizer, pairs, templates, causal=model.geometry.causal)
    return {model.geometry.site: plan}


def analyse_step(folder: ResultFolder, name: str, *, seed: int, say: Say) -> None:
    """Compute an analysis' tables from the folder's capture, unless they are there, and draw.

    Raises
    ------
    StoreError
        If the folder holds no whole capture.
    """
    from probes.words.pairs import hash_pairs

    return_large_blocks()
    analysis = find_analysis(name)
    if name in FROM_MODEL:
        folder.write_figures(name, analysis.draw(folder.read_tables(name)))
        return
    settings = getattr(analysis, ANALYSES[name])(seed=seed)
    if name in OF_TEXT:
        store = _open_text_store(folder.text_capture)
        compute = partial(analysis.compute, store, settings=settings)
        inputs = analysis.describe_inputs(store, settings)
    else:
        store = open_whole_store(folder.capture)
        pairs = store.table("pairs")
        compute = partial(analysis.compute, store, pairs, settings=settings)
        inputs = analysis.describe_inputs(store, hash_pairs(pairs), settings)
    if folder.holds(name, inputs):
        say(f"Reusing the tables of {name}")
        tables = folder.read_tables(name)
    else:
        say(f"Analysing: {name}")
        tables = compute()
        folder.write_tables(name, tables, inputs)
    folder.write_figures(name, analysis.draw(tables))
    if hasattr(analysis, "to_latex"):
        write_text(
            folder.table_path(name, "summary").with_suffix(".tex"),
            analysis.to_latex(tables["summary"]),
        )


def list_analyses(folder: ResultFolder) -> list[str]:
    """Name the analyses of `kvprobes run` that a folder's captures allow."""
    from analyses.word_captures import suits_words

    names = [name for name in ANALYSES if name not in ON_REQUEST]
    if not (folder.capture_at("cross", main="encoder") / "manifest.json").exists():
        names.remove("cross_attention")
    if not suits_words(open_whole_store(folder.capture)):
        names = [name for name in names if name not in OF_WORDS]
    return names


def open_whole_store(folder: Path) -> Store:
    """Open a capture that has all its shards.

    Raises
    ------
    StoreError
        If there is none, or it is not whole.
    """
    from probes.capture.store import open_store

    store = open_store(folder)
    missing = store.missing_shards()
    if missing:
        raise StoreError(
            f"the capture in {folder} lacks {len(missing)} of its {store.n_shards} shards "
            "(unfinished or damaged). Run `kvprobes capture` (or `run`) with the same settings: it "
            "redoes only those."
        )
    return store


def _open_text_store(folder: Path) -> Store:
    if not (folder / "manifest.json").exists():
        raise StoreError(
            f"there is no capture of running text in {folder}. Make one with "
            "`kvprobes capture --text FILE_OR_FOLDER`, with the same --model or --out."
        )
    return open_whole_store(folder)


def find_analysis(name: str) -> Any:
    """Import an analysis by name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    known = (*ANALYSES, *FROM_MODEL)
    if name not in known:
        raise UsageError(f"there is no analysis {name!r}; there are {', '.join(known)}.")
    return importlib.import_module(f"analyses.{name}")


def summarise(folder: ResultFolder) -> dict[str, Any]:
    """Return what a script wants to know of a run: answer, verdict, figures, versions."""
    from analyses.answers import answer, verdict

    summary = folder.read_tables("divergence")["summary"]
    return {
        "folder": str(folder.path),
        "report": str(folder.path / "report.html"),
        "verdict": verdict(summary),
        "answer": answer(summary),
        "summary": summary.astype(object).where(summary.notna(), None).to_dict("records"),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _load_templates(source: str) -> Any:
    """Take a path, a shipped table's name, a number of templates, ids, or the default.

    Numbers (``5``) and ids (``t00,t03``) are of "templates", or of the table named before a colon
    (``templates_zh:3``).
    """
    from probes.words.templates import SHIPPED, load_templates

    source = source or DEFAULT_TEMPLATES
    if source in SHIPPED or Path(source).suffix:
        return load_templates(source)
    table, colon, chosen = source.partition(":")
    if not colon or table not in SHIPPED:
        table, chosen = "templates", source
    if chosen.isdecimal():
        return load_templates(table, count=int(chosen))
    return load_templates(table, names=chosen.split(","))
