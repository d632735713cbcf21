"""One run: what it follows from, the folder it is kept in, and what came out."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from probes.errors import UsageError
from probes.files import hash_json, replacing
from probes.locks import holding
from probes.sealed import hash_once, read_if_whole, write_sealed
from probes.tying.associative import AutoAssociative, HeteroAssociative
from probes.tying.batch import Task
from probes.tying.checkpoint import Progress
from probes.tying.counts import count_parameters, count_scaled_parameters, give_back
from probes.tying.excess import measure_tieability
from probes.tying.packing import N_BYTES, PackedText, encode_bytes
from probes.tying.score import score
from probes.tying.shape import ModelShape, Positions
from probes.tying.training import TrainingSettings, train
from probes.tying.transformer import Transformer
from probes.tying.translation import Translation
from probes.words.texts import SHIPPED_TEXT, load_corpus

FORMAT = 1
"""Of runs on disk; raised when a change of this code would train other models."""

BYTES = "bytes"
TASKS: dict[str, type[Any]] = {
    "recall": HeteroAssociative,
    "completion": AutoAssociative,
    "translation": Translation,
}


@dataclass(frozen=True)
class TaskSettings:
    """What is learned.

    Attributes
    ----------
    name
        ``text``, or a task of `TASKS`.
    source, length, tokens
        Of text: as `load_corpus` takes it; tokens per window; ``bytes``, or the name of a model
        whose tokenizer is used.
    options
        Of another task: its arguments, as pairs.
    """

    name: str = "text"
    source: str = SHIPPED_TEXT
    length: int = 128
    tokens: str = BYTES
    options: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """One model to be trained: task, shape and training.

    ``n_encoder_layers`` is that of the shape; ``d_feedforward`` is four times `d_model`, and more
    where the variant gives parameters back.
    """

    task: TaskSettings
    variant: str
    positions: Positions
    d_model: int
    n_layers: int
    d_head: int
    training: TrainingSettings
    n_encoder_layers: int = 0

    @property
    def name(self) -> str:
        """A readable name; what it leaves out is in the identity."""
        training = self.training
        return (
            f"{self.task.name}-{self.positions}-d{self.d_model}-h{self.d_head}-{self.variant}-"
            f"lr{training.learning_rate:g}-seed{training.seed}"
        )

    def with_training(self, **changes: Any) -> RunSettings:
        """Return the run with other training settings."""
        return replace(self, training=replace(self.training, **changes))

    def make_shape(self, task: Task) -> ModelShape:
        """Return the model's shape.

        Raises
        ------
        UsageError
            If heads do not fill the model's width.
        """
        if self.d_model % self.d_head:
            raise UsageError(
                f"d_model {self.d_model} is no multiple of d_head {self.d_head}; heads fill it."
            )
        shape = ModelShape(
            vocabulary=task.vocabulary,
            length=task.length,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.d_model // self.d_head,
            d_head=self.d_head,
            d_feedforward=4 * self.d_model,
            variant=self.variant,
            positions=self.positions,
            n_encoder_layers=self.n_encoder_layers,
        )
        return give_back(shape)


@cache
def make_task(settings: TaskSettings) -> tuple[Task, str]:
    """Return a task and the hash of its data (of a text's documents; empty otherwise).

    Raises
    ------
    UsageError
        If there is no such task.
    TableError
        If the text cannot be read or is too short.
    """
    if settings.name == "text":
        corpus = load_corpus(settings.source)
        encode, vocabulary = encode_bytes, N_BYTES
        if settings.tokens != BYTES:
            from probes.models.load import load_model

            tokenizer = load_model(settings.tokens).tokenizer
            vocabulary = len(tokenizer)

            def encode(text: str) -> list[int]:
                return list(tokenizer.encode(text, add_special_tokens=False))

        packed = PackedText(corpus, length=settings.length, encode=encode, vocabulary=vocabulary)
        return packed, corpus.hash
    if settings.name not in TASKS:
        raise UsageError(f"there is no task {settings.name!r}; there are text, {', '.join(TASKS)}.")
    return TASKS[settings.name](**dict(settings.options)), ""


@dataclass(frozen=True)
class RunFolder:
    """``<name>-<hash>/``: the model, its log, its tieability, and a manifest, written last."""

    root: Path
    settings: RunSettings
    data_hash: str

    @property
    def identity(self) -> dict[str, Any]:
        """Everything the trained model follows from, except for the machine and the versions."""
        identity = {"format": FORMAT, "data": self.data_hash, "settings": asdict(self.settings)}
        return json.loads(json.dumps(identity))  # type: ignore[no-any-return]

    @property
    def path(self) -> Path:
        """Where the run is."""
        return self.root / f"{self.settings.name}-{hash_json(self.identity)[:10]}"

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished run is kept."""
        return self.path / "checkpoint.safetensors"

    def read_manifest(self) -> dict[str, Any] | None:
        """Return the manifest of a finished run, or None if it is not finished or is damaged."""
        return read_if_whole(self.path / "manifest.json", identity=self.identity)


def find_run(root: Path, settings: RunSettings) -> RunFolder:
    """Return where a run is, or would be."""
    return RunFolder(root, settings, make_task(settings.task)[1])


def run_once(
    root: Path,
    settings: RunSettings,
    *,
    device: str = "cpu",
    on_step: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Train, score and keep one model, or go on with it, or return what is there.

    Returns
    -------
    dict
        The manifest: identity, score on the test part, counts, time, versions, machine, files.

    Raises
    ------
    KvprobesError
        If anything is wrong with the settings, the data or the folder, or if another process
        trains this model there.
    """
    folder = find_run(root, settings)
    with holding(folder.path):
        manifest = folder.read_manifest()
        if manifest is None:
            return _train(folder, device=device, on_step=on_step)
    on_step(settings.training.steps)
    return manifest


def _train(folder: RunFolder, *, device: str, on_step: Callable[[int], None]) -> dict[str, Any]:
    """Train, score and keep the model of a folder that this process holds."""
    settings = folder.settings
    task, _ = make_task(settings.task)
    shape = settings.make_shape(task)
    model = Transformer(shape, seed=settings.training.seed)
    sample = list(islice(task.unseen("validation"), 1))
    untrained = measure_tieability(model, sample)
    progress = train(
        model,
        task,
        settings.training,
        checkpoint=folder.checkpoint,
        identity=hash_json(folder.identity),
        device=device,
        on_step=on_step,
    )
    found = score(model, task.unseen("test"), device=device, precision=settings.training.precision)
    trained = measure_tieability(model.to("cpu"), sample)
    files = _write(folder.path, model, progress, {"untrained": untrained, "trained": trained})
    manifest = {
        "identity": folder.identity,
        "shape": asdict(shape),
        "parameters": count_parameters(shape),
        "scaled_parameters": count_scaled_parameters(shape),
        "validation": {
            name: progress.log[-1][f"validation_{name}"] for name in ("nats", "accuracy")
        },
        "test": {**asdict(found), "bits_per_byte": found.bits_per_byte(task.bytes_per_token)},
        "seconds": progress.seconds,
        "processor_seconds": progress.processor_seconds,
        "threads": torch.get_num_threads(),
        "device": device,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("kvprobes", "torch", "numpy")},
        "files": files,
    }
    write_sealed(folder.path / "manifest.json", manifest)
    folder.checkpoint.unlink(missing_ok=True)
    return manifest


def _write(
    folder: Path, model: Transformer, progress: Progress, tieability: dict[str, pd.DataFrame]
) -> dict[str, str]:
    """Write what a run leaves behind; returns the hash of each file."""
    with replacing(folder / "model.safetensors") as temporary:
        temporary.write_bytes(save({n: p.contiguous() for n, p in model.state_dict().items()}))
    tables = {
        "log": pd.DataFrame(progress.log),
        "tieability": pd.concat(
            [table.assign(when=when) for when, table in tieability.items()], ignore_index=True
        ),
    }
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    names = ("model.safetensors", "log.csv", "tieability.csv")
    return {name: hash_once(folder / name) for name in names}
