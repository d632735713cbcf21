"""Pairs and templates that share words, prefixes and positions, and their plan for a tiny model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from probes.capture import CapturePlan, plan_capture
from probes.capture.batch import BatchRunner, batches
from probes.capture.read import Reading
from probes.models import Model

PAIRS = pd.DataFrame(
    [
        ("fox", "black", "white"),
        ("dog", "black", "zest"),  # "zest" and "quiet" take several pieces
        ("house", "small", "black"),
        ("quiet", "red", "small"),
        ("fox", "white", "zest"),  # compounds of the first two again
    ],
    columns=["head", "m1", "m2"],
)
TEMPLATES = pd.DataFrame(
    [
        ("late", "The dog saw the tree and {a} {modifier} {head} was big."),
        ("early", "The {modifier} {head} ran and the dog saw a tree."),
        ("apart", "The {modifier} and big {head} ran."),  # shares its prefix with "early"
    ],
    columns=["template_id", "text"],
)


def make_plan(model: Model, **options: str) -> CapturePlan:
    return plan_capture(model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal, **options)


def read_all(
    model: Model, plan: CapturePlan, *, batch_size: int = 3, shard: int | None = None, **options
) -> dict:
    """Read every batch of a plan; rows of occurrences and queries, moments added up.

    With `shard` as a capture reads shards of so many sequences.
    """
    runner = BatchRunner(model, take=plan.settings["take"], **options)
    with runner.attached():
        readings = (
            [runner.run(batch) for batch in batches(plan.sequences, batch_size)]
            if shard is None
            else [
                reading
                for start in range(0, len(plan.sequences), shard)
                for _, reading in runner.read(plan.sequences[start : start + shard], batch_size)
            ]
        )
    return merge(readings)


def merge(readings: list[Reading]) -> dict[str, Tensor]:
    """Concatenate the rows, [row, layer, ...], and add up the moments, [layer, ...]."""
    rows = ("k", "v", "x", "attention", "x_query")
    merged = {
        name: torch.cat([torch.stack(getattr(reading, name), dim=1) for reading in readings])
        for name in rows
    }
    moments = torch.stack([torch.stack(reading.query_moment) for reading in readings])
    return {**merged, "query_moment": moments.sum(dim=0)}


def hash_folder(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
