"""The steps behind the commands: capture, analyse, report, each reusing what is already there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.results import PACKAGES, ResultFolder
from probes.errors import StoreError, UsageError
from probes.memory import return_large_blocks

if TYPE_CHECKING:
    from probes.capture.store import Store

ANALYSES = {"divergence": "DivergenceSettings", "attention_example": "ExampleSettings"}
"""Analysis -> the class of its settings; each is a module of this package."""

DEFAULT_TEMPLATES = "3"
Say = Callable[[str], None]


@dataclass(frozen=True)
class CaptureOptions:
    """What the user asked to be captured."""

    model: str
    pairs: str = "compound_pairs"
    templates: str = DEFAULT_TEMPLATES
    out: Path | None = None
    device: str = "cpu"
    batch_size: int = 128
    seed: int = 0
    limit: int | None = None
    overwrite: bool = False

    @property
    def folder(self) -> ResultFolder:
        """Where the results go: `out`, or ``results/`` and the model's name."""
        if self.out is not None:
            return ResultFolder(self.out)
        return ResultFolder(Path("results") / re.sub(r"[^\w.-]+", "--", self.model.strip("/")))


def capture_step(options: CaptureOptions, say: Say) -> Store:
    """Load the model and capture, or go on with or reuse the capture in the folder.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the tables or the folder.
    """
    from probes.capture.plan import plan_capture
    from probes.capture.run import CaptureSettings, capture
    from probes.models.load import load_model
    from probes.words.pairs import load_pairs

    pairs = load_pairs(options.pairs, limit=options.limit, seed=options.seed)
    templates = _load_templates(options.templates)
    say(f"Loading {options.model}")
    model = load_model(options.model, device=options.device)
    plan = plan_capture(model.tokenizer, pairs, templates, causal=model.geometry.causal)
    if len(plan.losses):
        say(f"{len(plan.losses)} sentences could not be aligned; the report says which and why")
    return capture(
        model,
        plan,
        options.folder.capture,
        settings=CaptureSettings(seed=options.seed),
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        say=say,
    )


def analyse_step(folder: ResultFolder, name: str, *, seed: int, say: Say) -> None:
    """Compute an analysis' tables from the folder's capture, unless they are there, and draw.

    Raises
    ------
    StoreError
        If the folder holds no whole capture.
    """
    from probes.capture.store import open_store
    from probes.words.pairs import hash_pairs

    return_large_blocks()
    analysis = find_analysis(name)
    store = open_store(folder.capture)
    missing = store.missing_shards()
    if missing:
        raise StoreError(
            f"the capture in {folder.capture} lacks {len(missing)} of its {store.n_shards} shards "
            "(unfinished or damaged). Run `kvprobes capture` (or `run`) with the same settings: it "
            "redoes only those."
        )
    pairs = store.table("pairs")
    settings = getattr(analysis, ANALYSES[name])(seed=seed)
    inputs = analysis.describe_inputs(store, hash_pairs(pairs), settings)
    if folder.holds(name, inputs):
        say(f"Reusing the tables of {name}")
        tables = folder.read_tables(name)
    else:
        say(f"Analysing: {name}")
        tables = analysis.compute(store, pairs, settings=settings)
        folder.write_tables(name, tables, inputs)
    folder.write_figures(name, analysis.draw(tables))


def find_analysis(name: str) -> Any:
    """Import an analysis by name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in ANALYSES:
        raise UsageError(f"there is no analysis {name!r}; there are {', '.join(ANALYSES)}.")
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
