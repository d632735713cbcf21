"""The report: one HTML file that says what was asked, what came out, and what it rests on.

Nothing in it is fetched: pictures are inlined, and the one script, which opens sections and answers
for maps, is allowed by its hash alone. The page is made from the tables, figures and manifests of a
result folder, holds no time stamp, and so has the same bytes for the same results. Every word from
a file is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from contextlib import nullcontext
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kvprobes.captures.find import read_capture_manifest
from kvprobes.report.parts import Part, flatten, gather_parts
from kvprobes.results import ResultFolder
from probes.capture.store import open_store
from probes.errors import StoreError
from probes.files import write_text
from probes.locks import holding
from probes.similarity.catalogue import POPULATIONS, SPACES, define_figures, list_nulls
from probes.similarity.spaces import describe_functional_space

LOSSES_SHOWN = 20


def write_report(folder: ResultFolder, *, pending: Collection[str] = ()) -> Path:
    """Write ``report.html`` of a result folder from whatever answers it holds.

    Parameters
    ----------
    pending
        Questions that are still to be answered in this run.

    Returns
    -------
    Where the report is.

    Raises
    ------
    StoreError
        If no question has been answered here, or something in the folder is damaged.
    """
    there = folder.path.is_dir()  # else the error says what to run, and no folder is made
    with holding(folder.path, "report", wait=True) if there else nullcontext():
        write_text(folder.report_path, _write_page(folder, pending))
    return folder.report_path


def _write_page(folder: ResultFolder, pending: Collection[str]) -> str:
    parts, absences = gather_parts(folder, pending)
    capture = read_capture_manifest(folder)
    model, geometry = _find_model(folder, capture, parts), capture.get("geometry", {})
    script = files("kvprobes.report").joinpath("templates", "page.js").read_text(encoding="utf-8")
    return (
        make_environment()
        .get_template("page.html.j2")
        .render(
            model=model,
            label=[model, *_count(folder, capture)],
            sees_both_ways=geometry.get("causal") is False,
            has_one_kv_head=geometry.get("n_kv_heads") == 1,
            parts=parts,
            head=next((part for part in parts if part.section.marks), None),
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
            absences=absences,
            spaces=SPACES,
            populations=POPULATIONS,
            functional=_describe_space(folder),
            measures=define_figures(),
            nulls=list_nulls(),
            losses=_read_rows(folder, "losses"),
            templates=_read_rows(folder, "templates"),
            losses_shown=LOSSES_SHOWN,
            capture=list(flatten(capture)),
        )
    )


def make_environment() -> Environment:
    """Make what renders the templates of this room: every word is escaped."""
    return Environment(
        loader=PackageLoader("kvprobes.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _find_model(folder: ResultFolder, capture: dict[str, Any], parts: list[Part]) -> str:
    """Name the model: that of the capture, or of the first table that names one."""
    if capture:
        return str(capture["model"])
    for part in parts:
        for table in folder.read_tables(part.question.name).values():
            if "model" in table and len(table):
                return str(table["model"].iloc[0])
    return "no model"


def _count(folder: ResultFolder, capture: dict[str, Any]) -> list[str]:
    """Say how large the capture is, for the line below the title."""
    if not capture:
        return []
    counted = [f"key stage: {capture['identity'].get('key_stage', 'unknown')}"]
    pairs, words = (_read_table(folder, name) for name in ("pairs", "occurrences"))
    if pairs is not None and len(pairs):
        # Of a user's sentences a row is an event: two words may have many.
        n_pairs = pairs["pair_id"].nunique() if "left_word" in pairs else len(pairs)
        counted.append(f"{n_pairs:,} pairs")
    if words is not None:
        counted.append(f"{words['word'][words['word'] != ''].nunique():,} words")
    geometry = capture.get("geometry", {})
    for name, told in (("n_layers", "layers"), ("n_kv_heads", "kv heads per layer")):
        if isinstance(geometry.get(name), int):
            counted.append(f"{geometry[name]} {told}")
    return counted


def _read_table(folder: ResultFolder, name: str) -> pd.DataFrame | None:
    """Read a table of the capture; None if the capture is not kept with its results."""
    has_capture = (folder.capture / "manifest.json").exists()
    return open_store(folder.capture).table(name) if has_capture else None


def _read_rows(folder: ResultFolder, name: str) -> list[dict[str, Any]] | None:
    table = _read_table(folder, name)
    return None if table is None else table.to_dict("records")  # type: ignore[return-value]


def _describe_space(folder: ResultFolder) -> list[str]:
    """Say how the functional space of this capture was made; nothing if it is not kept."""
    try:
        return describe_functional_space(open_store(folder.capture))
    except (StoreError, KeyError):
        return []
