"""A tiny model on disk, and the questions that a test asks, for all tests of the door."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kvprobes.captures.options import CaptureOptions
from tests.tiny import tiny_model

PAIRS = ("--pairs", "seed_pairs", "--limit", "40", "--templates", "2")
FEWER = {
    "co_attended.documents": 3,
    "divergence.resamples": 30,
    "nulls.permutations": 50,
    "relations.references": 500,
    "relations.resamples": 30,
    "meaning.resamples": 30,
}
RUN = (*PAIRS, *(word for name, value in FEWER.items() for word in ("--set", f"{name}={value}")))
"""Options of a whole run that takes little time."""


def save_tiny_model(folder: Path, architecture: str = "llama") -> Path:
    """Save a random model of two layers, and return its folder."""
    model = tiny_model(architecture, n_layers=2)
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def make_options(model: Path, out: Path, **changes) -> CaptureOptions:
    """Return what `PAIRS` says on the command line."""
    usual = {"pairs": "seed_pairs", "limit": 40, "templates": "2"}
    return CaptureOptions(str(model), out=out, **{**usual, **changes})


def hash_results(out: Path) -> dict[str, str]:
    """Return the hash of every file of a result folder by its name."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
