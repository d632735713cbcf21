"""Capture: run the planned sequences and write what the hooks read, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes.capture.batch import BatchRunner, batches
from probes.capture.begin import begin_capture
from probes.capture.faithfulness import check_faithfulness
from probes.capture.lock import holding
from probes.capture.plan import CapturePlan
from probes.capture.read import KEY_STAGES, KeyStage, Reading
from probes.capture.store import TABLES, Store
from probes.errors import NonFiniteError, UsageError
from probes.files import hash_json
from probes.models.geometry import AttentionGeometry
from probes.models.model import Model
from probes.progress import progress_bar

SHARD_LENGTH = 1024
"""Sequences a shard: a kill costs a few seconds of work."""

DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class CaptureSettings:
    """What decides the captured numbers, beside the model, the pairs and the templates.

    ``key_stage`` is ``projected`` (as W_K gives it), ``normed`` (after QK-norm, where there is one)
    or ``rotated``; ``dtype`` is what the rows are stored in; ``query_sample`` is how many attending
    words also keep their x, for the random heads.
    """

    key_stage: KeyStage = "normed"
    dtype: str = "bfloat16"
    query_sample: int = 2048
    seed: int = 0


def capture(
    model: Model,
    plan: CapturePlan,
    folder: Path,
    *,
    settings: CaptureSettings | None = None,
    batch_size: int = 128,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Store:
    """Capture k, v and x at every planned occurrence and what attends to it, into `folder`.

    A capture that was interrupted goes on where it stood; one that is finished is reused; damaged
    shards are done again. Before anything runs, the model passes `check_faithfulness`.

    Parameters
    ----------
    overwrite
        Delete a capture of other settings that is in the folder.
    say
        Hears in a sentence what is reused and what is done.

    Raises
    ------
    FaithfulnessError
        If what the hooks read is not what the model uses.
    StoreMismatchError
        If `folder` holds a capture of other settings.
    StoreError
        If another run holds the folder, or it cannot be written.
    NonFiniteError
        If the model gives NaN or infinite numbers.
    UsageError
        If a setting is out of range.
    """
    settings = settings or CaptureSettings()
    _check_settings(settings, batch_size)
    geometry = model.at(plan.settings["site"])
    identity = {
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "compute_dtype": str(next(model.hf.parameters()).dtype).removeprefix("torch."),
        "key_stage": settings.key_stage,
        "dtype": settings.dtype,
        "query_sample": settings.query_sample,
        "seed": settings.seed,
        "take": plan.settings["take"],
        "site": plan.settings["site"],
        "sequences": hash_json([astuple(sequence) for sequence in plan.sequences]),
        "pairs": hash_table(plan.pairs),
        "templates": hash_table(plan.templates),
    }
    with holding(folder):
        store, missing = begin_capture(
            folder,
            model,
            geometry,
            identity,
            tables={name: getattr(plan, name) for name in TABLES},
            constants=_read_constants(geometry),
            n_shards=-(-len(plan.sequences) // SHARD_LENGTH),
            overwrite=overwrite,
            say=say,
        )
        if missing:
            check_faithfulness(
                model, plan.sequences, site=geometry.site, key_stage=settings.key_stage
            )
            _capture_shards(model, plan, store, missing, settings=settings, batch_size=batch_size)
        return store


def _read_constants(geometry: AttentionGeometry) -> dict[str, Tensor]:
    """Collect what the measures need of the weights, by layer."""
    constants = {}
    for layer in range(geometry.n_layers):
        constants[f"value_metric.{layer}"] = geometry.value_metric(layer).cpu()
        for part, singular in geometry.spectra(layer).items():
            constants[f"spectrum.{part}.{layer}"] = singular.cpu()
    return constants


def hash_table(table: pd.DataFrame) -> str:
    """Return the sha256 of a table's cells, as a capture's identity holds it."""
    return hash_json(table.astype(str).to_dict("split", index=False))


def _check_settings(settings: CaptureSettings, batch_size: int) -> None:
    if settings.key_stage not in KEY_STAGES:
        raise UsageError(f"key_stage must be one of {KEY_STAGES}, not {settings.key_stage!r}")
    if settings.dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {DTYPES}, not {settings.dtype!r}")
    if settings.query_sample < 0:
        raise UsageError(f"query_sample must be at least 0, not {settings.query_sample}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")


def _capture_shards(
    model: Model,
    plan: CapturePlan,
    store: Store,
    shards: Sequence[int],
    *,
    settings: CaptureSettings,
    batch_size: int,
) -> None:
    generator = np.random.default_rng(settings.seed)
    n_sampled = min(settings.query_sample, len(plan.queries))
    sampled = frozenset(generator.choice(len(plan.queries), size=n_sampled, replace=False).tolist())
    pieces = {n: plan.sequences[n * SHARD_LENGTH : (n + 1) * SHARD_LENGTH] for n in shards}
    total = sum(len(s.ids) - s.prefix_length for part in pieces.values() for s in part)
    runner = BatchRunner(
        model,
        site=plan.settings["site"],
        key_stage=settings.key_stage,
        take=plan.settings["take"],
        sampled=sampled,
    )
    with runner.attached(), progress_bar("Capturing", total=total, unit="tokens") as advance:
        for shard, sequences in pieces.items():
            readings = []
            for batch in batches(sequences, batch_size):
                readings.append(runner.run(batch))
                advance(sum(len(s.ids) - s.prefix_length for s in batch))
            tensors = _merge(readings, dtype=getattr(torch, settings.dtype))
            _check_finite(tensors, model.name)
            store.write_shard(shard, tensors)


def _merge(readings: Sequence[Reading], *, dtype: torch.dtype) -> dict[str, Tensor]:
    """Concatenate the batches' rows and add up their moments, layer by layer."""
    merged = {"query_count": torch.tensor([sum(len(r.attention[0]) for r in readings)]).double()}
    for layer in range(len(readings[0].k)):
        for name in ("k", "v", "x", "x_query"):
            rows = torch.cat([getattr(reading, name)[layer] for reading in readings])
            merged[f"{name}.{layer}"] = rows.to("cpu", dtype)
        weights = torch.cat([reading.attention[layer] for reading in readings])
        merged[f"attention.{layer}"] = weights.float().cpu()
        moments = torch.stack([reading.query_moment[layer] for reading in readings])
        merged[f"query_moment.{layer}"] = moments.sum(0).cpu()
    return merged


def _check_finite(tensors: dict[str, Tensor], name: str) -> None:
    for kind in ("x", "k", "v", "attention"):
        for layer in range(sum(key.startswith(f"{kind}.") for key in tensors)):
            bad = ~torch.isfinite(tensors[f"{kind}.{layer}"]).flatten(1).all(dim=1)
            if bad.any():
                raise NonFiniteError(
                    f"{name} gives NaN or infinite numbers: {kind} of layer {layer} (row "
                    f"{int(bad.nonzero()[0])} of the shard, {int(bad.sum())} rows in all). Nothing "
                    "of this shard was stored. Check the weights, or run in float32."
                )
