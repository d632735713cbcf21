"""Models, or key stages of one model, side by side, from the tables of finished runs.

``compute`` gathers what each run found; neither a model nor a capture is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analyses.shared.tables import select
from kvprobes.results import ResultFolder
from probes.errors import UsageError
from probes.similarity.catalogue import OCCURRENCES, RANDOM_PAIRS, WORD_PAIRS, list_conditions

NAME = "comparison"
COMPARED = (
    {"space": "functional", "population": WORD_PAIRS, "measure": "dissociation_ratio_5%"},
    {"space": "functional", "population": WORD_PAIRS, "measure": "representational_similarity"},
    {"space": "functional", "population": OCCURRENCES, "measure": "tieability"},
    {"space": "raw", "population": RANDOM_PAIRS, "measure": "mean_key_cosine"},
)
"""What is set side by side, in this order."""


def compute(folders: Sequence[ResultFolder]) -> dict[str, pd.DataFrame]:
    """Gather what the headline question found in finished runs.

    Returns
    -------
    ``summary``
        ``run, model, key_stage, space, population, measure, condition, value, ci_low, ci_high``:
        means over heads, as trained and under every null. The dissociation ratio is given for
        all word pairs and within each kind of them ("word pairs, related"). A run is named by its
        model, its key stage, and its folder where two runs would have one name.
    ``layers``
        ``run, measure, layer, depth, value``, and ``mismatched_heads_mean`` and so on for every
        null: means over the heads of a layer; depth goes from 0 (the first layer) to 1.

    Raises
    ------
    UsageError
        If no folder is given, or one twice.
    StoreError
        If a folder holds no finished run.
    """
    paths = [folder.path.resolve() for folder in folders]
    if not paths or len(set(paths)) < len(paths):
        raise UsageError(
            f"{len(paths)} result folders were given, {len(set(paths))} of them different; give "
            "each finished run once: kvprobes compare results/a results/b."
        )
    tables = [folder.read_tables("divergence") for folder in folders]
    names = _name_runs(folders, [found["summary"] for found in tables])
    summaries, layers = [], []
    for name, found in zip(names, tables, strict=True):
        summaries.append(_choose(found).assign(run=name))
        layers.append(_average_layers(found["heads"]).assign(run=name))
    columns = ["run", "model", "key_stage", "space", "population", "measure", "condition"]
    return {
        "summary": pd.concat(summaries, ignore_index=True)[
            [*columns, "value", "ci_low", "ci_high"]
        ],
        "layers": pd.concat(layers, ignore_index=True),
    }


def write_comparison(folders: Sequence[ResultFolder], out: Path) -> list[Path]:
    """Write the comparison's tables and figures into a folder; return the figures' paths."""
    from kvprobes.study.figures import draw

    tables = compute(folders)
    target = ResultFolder(out)
    manifests = [
        {"folder": f.path.resolve().name, "tables": f.read_manifest("divergence")["files"]}
        for f in folders
    ]
    with target.holding(NAME):
        target.write_tables(NAME, tables, {"runs": manifests})
        target.write_figures(NAME, draw(tables))
    return sorted((out / "figures").glob(f"{NAME}.*.png"))


def _name_runs(folders: Sequence[ResultFolder], summaries: Sequence[pd.DataFrame]) -> list[str]:
    """Name each run by model and key stage, and by its folder where that is not enough."""
    names = [
        f"{Path(str(s['model'].iloc[0])).name}, {s['key_stage'].iloc[0]} keys" for s in summaries
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({folder.path.name})"
        for name, folder in zip(names, folders, strict=True)
    ]


def _choose(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Keep the rows that the comparison shows, in its order; DR by relatedness after DR."""
    conditions = [condition.name for condition in list_conditions()]
    summary = found["summary"]
    kept = summary[summary["condition"].isin(conditions)]
    first, *others = (select(kept, **place) for place in COMPARED)
    return pd.concat([first, found["kinds"], *others], ignore_index=True)


def _average_layers(heads: pd.DataFrame) -> pd.DataFrame:
    """Average each compared measure that heads have over the heads of each layer."""
    nulls = [f"{condition.name}_mean" for condition in list_conditions()]
    parts = []
    for place in COMPARED:
        rows = select(heads, **place)
        if rows.empty:
            continue
        names = ["value", *(name for name in nulls if name in rows)]
        means = rows.groupby("layer", as_index=False)[names].mean()
        last = max(int(means["layer"].max()), 1)
        parts.append(means.assign(measure=place["measure"], depth=means["layer"] / last))
    return pd.concat(parts, ignore_index=True)
