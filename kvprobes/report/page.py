"""The report: one HTML file that says what was asked, what came out, and what it rests on.

Nothing in it is fetched: pictures are inlined, and there is no script. It is made from the tables,
figures and manifests of a result folder, holds no time stamp, and so has the same bytes for the
same results. Every word from a file is escaped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from analyses.divergence.captions import caption_divergence
from analyses.divergence.section import LITTLE, MUCH, answer, find, verdict
from analyses.shared.numbers import show, show_interval
from analyses.shared.section import Section
from kvprobes.captures.pairs import ANALYSES, FROM_MODEL, find_analysis
from kvprobes.results import ResultFolder
from probes.capture.store import open_store
from probes.errors import StoreError
from probes.files import write_text
from probes.similarity.spaces import describe_functional_space

NAME = "divergence"
RATIOS = ("dissociation_ratio_1%", "dissociation_ratio_5%", "dissociation_ratio_10%")
MEASURES = {
    "dissociation_ratio_1%": "DR(1 %)",
    "dissociation_ratio_5%": "DR(5 %)",
    "dissociation_ratio_10%": "DR(10 %)",
    "representational_similarity": "representational similarity",
    "mean_key_cosine": "mean key cosine",
    "mean_value_cosine": "mean value cosine",
    "key_dimension": "effective dimension of keys",
    "value_dimension": "effective dimension of values",
    "key_common_share": "share of a key that all keys have in common",
    "value_common_share": "share of a value that all values have in common",
}
CONDITIONS = ("trained", "mismatched", "random")
DIFFERENCES = ("trained - mismatched", "trained - random")
SPACES = ("raw", "centred", "functional")
EXTREMES = 15
LOSSES_SHOWN = 20


@dataclass(frozen=True)
class Picture:
    """A figure to inline: its PNG as base64, what it shows, and what a caption must say."""

    name: str
    data: str
    caption: str
    alt: str


def write_report(folder: ResultFolder) -> Path:
    """Write ``report.html`` of a result folder from whatever results it holds.

    Returns
    -------
    Where the report stands.

    Raises
    ------
    StoreError
        If the divergence analysis has not been run, or a manifest cannot be read.
    """
    tables, manifest = folder.read_tables(NAME), folder.read_manifest(NAME)
    summary, pairs = tables["summary"], tables["pairs"]
    capture = _read_capture(folder)
    numbers = _count(tables, manifest, capture)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            model=str(summary["model"].iloc[0]),
            key_stage=str(summary["key_stage"].iloc[0]),
            verdict=verdict(summary),
            answer=answer(summary)[:3],
            caveats=answer(summary)[3:],
            marks=(LITTLE, MUCH),
            n=numbers,
            figures=_read_figures(folder, NAME, caption_divergence(tables, numbers)),
            ratios=_tabulate_summary(summary),
            tieability=_tabulate_tieability(summary),
            spaces=_tabulate_spaces(summary),
            dimensions=_find_dimensions(summary),
            space=_describe_space(folder),
            most=_tabulate_pairs(pairs, most=True),
            least=_tabulate_pairs(pairs, most=False),
            has_relatedness="relatedness" in pairs,
            sections=_read_sections(folder),
            sees_both_ways=capture.get("geometry", {}).get("causal") is False,
            losses=_read_losses(folder),
            templates=_read_templates(folder),
            capture=_flatten(capture),
            manifest=_flatten({k: v for k, v in manifest.items() if k != "analysis"}),
            losses_shown=LOSSES_SHOWN,
        )
    )
    path = folder.path / "report.html"
    write_text(path, page)
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analyses"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    return environment


def _read_capture(folder: ResultFolder) -> dict[str, Any]:
    """Read the capture's manifest; empty if the capture is not kept beside its results.

    Raises
    ------
    StoreError
        If it is there and cannot be read.
    """
    path = folder.capture / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}). Run `kvprobes capture` again with the same settings."
        ) from error
    return manifest


def _count(
    tables: dict[str, pd.DataFrame], manifest: dict[str, Any], capture: dict[str, Any]
) -> dict[str, Any]:
    """Count what every caption must name; None where the manifests do not say."""
    heads, pairs = tables["heads"], tables["pairs"]
    settings = manifest.get("inputs", {}).get("settings", {})
    distinct = len({frozenset(pair) for pair in zip(pairs["m1"], pairs["m2"], strict=True)})
    return {
        "pairs": len(pairs),
        "repeated": len(pairs) - distinct,
        "words": len(set(pairs["m1"]) | set(pairs["m2"])),
        "layers": int(heads["layer"].max()) + 1,
        "kv_heads": int(heads["kv_head"].max()) + 1,
        "query_heads": capture.get("geometry", {}).get("n_heads"),
        "all_pairs": settings.get("all_pairs"),
        "resamples": settings.get("resamples"),
        "draws": settings.get("draws"),
    }


def _read_figures(
    folder: ResultFolder, analysis: str, captions: Mapping[str, tuple[str, str]]
) -> list[Picture]:
    """Read every figure that an analysis has drawn, those with a caption of their own first."""
    prefix, order = f"{analysis}.", list(captions)
    names = sorted(
        (
            path.name.removeprefix(prefix).removesuffix(".png")
            for path in folder.figure_path(analysis, "*", "png").parent.glob(f"{prefix}*.png")
        ),
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    return [
        Picture(
            name,
            base64.b64encode(folder.figure_path(analysis, name, "png").read_bytes()).decode(),
            *captions.get(
                name, (f"{analysis}: {name}.", f"Figure {name} of the analysis {analysis}.")
            ),
        )
        for name in names
    ]


def _read_sections(folder: ResultFolder) -> list[tuple[Section, list[Picture]]]:
    """Let every other analysis that has been run say its part, in the order of `ANALYSES`."""
    sections = []
    for name in (*ANALYSES, *FROM_MODEL):
        if name != NAME and folder.manifest_path(name).exists():
            settings = folder.read_manifest(name).get("inputs", {}).get("settings", {})
            section = find_analysis(name).describe(folder.read_tables(name), settings)
            sections.append((section, _read_figures(folder, name, section.captions)))
    return sections


def _cell(summary: pd.DataFrame, *place: str, decimals: int = 2) -> dict[str, Any] | None:
    """Return a figure and its interval as they are printed; None where there is no such figure."""
    figure = find(summary, *place)
    if figure is None:
        return None
    return {
        "value": show(figure.value, decimals),
        "interval": show_interval(figure, decimals),
        "sign": figure.sign,
    }


def _tabulate_summary(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the main table: DR and representational similarity in the functional space."""
    rows = [
        {
            "population": population,
            "measure": MEASURES[measure],
            "cells": [
                _cell(summary, population, "functional", measure, condition)
                for condition in CONDITIONS
            ],
            "differences": [
                _cell(summary, population, "functional", measure, condition, decimals=3)
                for condition in DIFFERENCES
            ],
        }
        for population in ("word pairs", "all pairs")
        for measure in (*RATIOS, "representational_similarity")
        if find(summary, population, "functional", measure, "trained")
    ]
    return _group(rows, "population")


def _tabulate_tieability(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the tieability table: trained, and every null with the excess over it."""
    place = ("occurrences", "functional")
    names = {
        "trained": "a head's own keys",
        "mismatched": "mismatched heads: the keys of another head",
        "random": "random heads: random keys to random values",
        "slice": "a random slice of x, as wide as the keys",
    }
    return [
        {
            "name": name,
            "cell": _cell(summary, *place, "tieability", condition, decimals=3),
            "excess": _cell(
                summary, *place, f"excess_tieability_vs_{condition}", "trained", decimals=3
            ),
        }
        for condition, name in names.items()
        if find(summary, *place, "tieability", condition)
    ]


def _tabulate_spaces(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table of spaces: a measure and population, every space under each condition."""
    places = [
        (population, measure, 2)
        for measure in ("mean_key_cosine", "mean_value_cosine", RATIOS[1])
        for population in ("word pairs", "all pairs")
    ]
    places += [("occurrences", f"{kind}_dimension", 1) for kind in ("key", "value")]
    places += [("occurrences", f"{kind}_common_share", 2) for kind in ("key", "value")]
    rows = [
        {
            "population": population,
            "measure": MEASURES[measure],
            "condition": condition,
            "cells": [
                _cell(summary, population, space, measure, condition, decimals=decimals)
                for space in SPACES
            ],
        }
        for population, measure, decimals in places
        for condition in CONDITIONS
        if any(find(summary, population, space, measure, condition) for space in SPACES)
    ]
    return _group(rows, "measure", "population")


def _group(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Mark the first row of every group, which alone is to name it."""
    before: Any = None
    for row in rows:
        key = tuple(row[name] for name in names)
        row["first"], before = key != before, key
    return rows


def _find_dimensions(summary: pd.DataFrame) -> dict[str, str] | None:
    """Find what the warning about the random heads needs; None if a figure is missing."""
    wanted = {
        f"{condition}_{space}": find(summary, "occurrences", space, "key_dimension", condition)
        for condition in ("trained", "random")
        for space in ("centred", "functional")
    } | {
        f"ratio_{condition}_{space}": find(summary, "word pairs", space, RATIOS[1], condition)
        for condition in ("trained", "random")
        for space in ("centred", "functional")
    }
    found = {name: figure for name, figure in wanted.items() if figure is not None}
    if len(found) < len(wanted):
        return None
    if found["random_functional"].value >= found["random_centred"].value:
        return None  # then there is nothing to warn of
    return {
        name: show(figure.value, 3 if name.startswith("ratio") else 1)
        for name, figure in found.items()
    }


def _tabulate_pairs(pairs: pd.DataFrame, *, most: bool) -> list[dict[str, Any]]:
    """Return the pairs that dissociate most, or least, in order."""
    by = pairs["dissociation"].to_numpy(dtype=float)
    rows = pairs.iloc[np.argsort(-by if most else by, kind="stable")[:EXTREMES]]
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _read_losses(folder: ResultFolder) -> list[dict[str, Any]] | None:
    """Read which sentences could not be aligned; None if the capture is not there."""
    path = folder.capture / "losses.parquet"
    if not path.exists():
        return None
    losses: list[dict[str, Any]] = pd.read_parquet(path).to_dict("records")  # type: ignore[assignment]
    return losses


def _read_templates(folder: ResultFolder) -> list[dict[str, Any]]:
    path = folder.capture / "templates.parquet"
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = pd.read_parquet(path).to_dict("records")  # type: ignore[assignment]
    return rows


def _describe_space(folder: ResultFolder) -> list[str]:
    """Say how the functional space of this capture was made; nothing if it is not kept."""
    try:
        return describe_functional_space(open_store(folder.capture))
    except (StoreError, KeyError):
        return []


def _flatten(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into sorted (name, value) rows."""
    rows: list[tuple[str, str]] = []
    for name, value in sorted(content.items()):
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{name} · ")
        else:
            rows.append((f"{prefix}{name}", "none" if value is None else str(value)))
    return rows
