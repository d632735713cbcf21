"""From finished runs to the tables of a study: every number of every model, pooled over models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from analyses.shared.tables import select
from kvprobes.captures.find import read_capture_manifest
from kvprobes.results import ResultFolder
from kvprobes.study.numbers import find_number, list_numbers, read_numbers
from kvprobes.study.plan import Study
from probes.files import hash_json
from probes.stats.random_effects import pool_models

ALL = "all models"
GROUPED = ("family", "training", "precision")
"""Columns of models by which they are pooled apart, where two or more share a value."""

SAME = ("pairs", "templates", "key_stage", "seed")
"""What must be the same in the captures of models that are pooled; and a model that sees both ways
has another key for each compound, so it is not pooled with causal ones."""


APART = "it read other words, templates or keys than most, or sees both ways; it is shown apart"


def tabulate(
    study: Study,
    folders: Mapping[str, ResultFolder],
    failed: Mapping[str, str],
    *,
    deviated: bool = False,
) -> dict[str, pd.DataFrame]:
    """Make the tables of a study.

    Parameters
    ----------
    folders
        Title of each model that was run -> its result folder.
    failed
        Title of each model that was not -> why.
    deviated
        Whether the study was changed after its first capture.

    Returns
    -------
    ``models``
        A row per model: ``model, name, family, training, parameters, layers, sees`` (left, or both
        ways), ``precision`` (of the weights as they travelled), ``inputs`` (a hash of the words,
        templates, key stage and seed), ``pooled`` and ``reason`` (why it is not).
    ``numbers``
        ``number, model, value, ci_low, ci_high, error, pooled``.
    ``means``
        ``number, group, models, value, ci_low, ci_high, new_low, new_high, spread, inconsistency,
        p_alike``; see `probes.stats.random_effects.pool_models`. No end leaves the possible range.
    ``answers``
        ``model, source, name, verdict``.
    ``hypotheses``
        ``claim, number, mark, value, ci_low, ci_high, models, outcome``.
    """
    models = pd.DataFrame([_describe(study, own.title, folders, failed) for own in study.models])
    _set_apart(models)
    parts, answers = [], []
    for title, folder in folders.items():
        pooled = bool(select(models, model=title)["pooled"].iloc[0])
        parts.append(read_numbers(folder, study.questions).assign(model=title, pooled=pooled))
        if "co_attended" in study.questions and folder.has_answer("co_attended"):
            table = folder.read_tables("co_attended")["answers"]
            answers.append(table[["source", "name", "verdict"]].assign(model=title))
    columns = ["number", "model", "value", "ci_low", "ci_high", "error", "pooled"]
    numbers = (
        pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    )
    order = {number.name: place for place, number in enumerate(list_numbers())}
    numbers = numbers.sort_values("number", key=lambda c: c.map(order), kind="stable")
    numbers = numbers.reset_index(drop=True)
    means = _pool(numbers, models)
    names = ["model", "source", "name", "verdict"]
    told = pd.concat(answers, ignore_index=True)[names] if answers else pd.DataFrame(columns=names)
    return {
        "models": models,
        "numbers": numbers,
        "means": means,
        "answers": told,
        "hypotheses": _try_hypotheses(study, means, deviated=deviated),
    }


def _describe(
    study: Study, title: str, folders: Mapping[str, ResultFolder], failed: Mapping[str, str]
) -> dict[str, Any]:
    own = next(model for model in study.models if model.title == title)
    row: dict[str, Any] = {
        "model": title,
        "name": own.name,
        "family": own.family,
        "training": own.training,
        "parameters": own.parameters or np.nan,
        "layers": np.nan,
        "sees": "",
        "precision": "",
        "inputs": "",
        "pooled": False,
        "reason": failed.get(title, ""),
    }
    if title in folders:
        manifest = read_capture_manifest(folders[title])
        identity, geometry = manifest.get("identity", {}), manifest.get("geometry", {})
        row |= {
            "layers": geometry.get("n_layers", np.nan),
            "sees": "left" if geometry.get("causal", True) else "both ways",
            "precision": manifest.get("origin", {}).get("precision") or identity.get("dtype", ""),
            "inputs": hash_json(
                {name: identity.get(name) for name in SAME} | {"causal": geometry.get("causal")}
            )[:8],
            "pooled": True,
        }
    return row


def _set_apart(models: pd.DataFrame) -> None:
    """Pool only the models that read the same words: the largest such set, the first of equals."""
    there = models[models["pooled"]]
    if there.empty:
        return
    usual = there["inputs"].value_counts(sort=False).idxmax()
    unlike = models["pooled"] & (models["inputs"] != usual)
    models.loc[unlike, "pooled"] = False
    models.loc[unlike, "reason"] = APART


def _pool(numbers: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    pooled = models[models["pooled"]]
    groups = {ALL: set(pooled["model"])}
    for column in GROUPED:
        for value, alike in pooled.groupby(column, sort=False)["model"]:
            if value and 2 <= len(alike) < len(pooled):
                groups[f"{column}: {value!s}"] = set(alike)
    rows = []
    for name in numbers["number"].unique():
        number = find_number(str(name))
        low, high = number.possible
        for group, members in groups.items():
            mine = select(numbers, number=str(name))
            mine = mine[mine["model"].isin(members)]
            if mine.empty or (group != ALL and len(mine) < 2):
                continue
            found = asdict(pool_models(mine["value"].to_numpy(), mine["error"].to_numpy()))
            ends = ("low", "high", "new_low", "new_high")
            found |= {end: float(np.clip(found[end], low, high)) for end in ends}
            found |= {"ci_low": found.pop("low"), "ci_high": found.pop("high")}
            rows.append({"number": name, "group": group} | found)
    columns = ["number", "group", "models", "value", "ci_low", "ci_high", "new_low", "new_high"]
    return pd.DataFrame(rows, columns=[*columns, "spread", "inconsistency", "p_alike"])


def _try_hypotheses(study: Study, means: pd.DataFrame, *, deviated: bool) -> pd.DataFrame:
    """Say of each hypothesis whether the interval of the mean over models is on its side."""
    rows = []
    for own in study.hypotheses:
        found = select(means, number=own.number, group=ALL)
        row: dict[str, Any] = {"claim": own.told, "number": own.number, "mark": own.mark}
        row |= dict.fromkeys(("value", "ci_low", "ci_high"), np.nan) | {"models": 0}
        outcome = "undetermined"
        if len(found):
            row |= {n: found.iloc[0][n] for n in ("value", "ci_low", "ci_high", "models")}
            above, below = row["ci_low"] > own.mark, row["ci_high"] < own.mark
            if above or below:
                outcome = "held" if (own.claim == "above") == bool(above) else "failed"
        rows.append(row | {"outcome": f"deviated ({outcome})" if deviated else outcome})
    columns = ["claim", "number", "mark", "value", "ci_low", "ci_high", "models", "outcome"]
    return pd.DataFrame(rows, columns=columns)
