"""Runs small enough to be trained in a test."""

from __future__ import annotations

import hashlib
from pathlib import Path

from probes.tying.runs import RunSettings, TaskSettings
from probes.tying.training import TrainingSettings

SENTENCES = ("the cat sat on the mat. ", "a dog lay by the door; ", "who saw the old sea? ")


def write_text(folder: Path) -> Path:
    """Write a folder of nine short documents; every third is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(9):
        text = "".join(SENTENCES[(number * place) % 3] for place in range(1, 12))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def make_run(text: Path, *, variant="tied", steps=12, seed=0, **changes) -> RunSettings:
    """Return the settings of a tiny run on a folder's text."""
    return RunSettings(
        task=TaskSettings(source=str(text), length=16),
        variant=variant,
        positions="rotary",
        d_model=8,
        n_layers=1,
        d_head=4,
        training=TrainingSettings(
            steps=steps,
            batch_size=2,
            learning_rate=1e-2,
            seed=seed,
            evaluations=changes.pop("evaluations", 4),
        ),
        **changes,
    )


def hash_folder(folder: Path) -> dict[str, str]:
    """Return the hash of every file that follows from the settings alone."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name in ("model.safetensors", "log.csv", "tieability.csv")
    }
