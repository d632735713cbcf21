"""Capture: run the planned sequences and write what the hooks read, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from probes.capture.begin import Pace, begin_capture
from probes.capture.faithfulness import check_faithfulness
from probes.capture.pair_shard import PairJob
from probes.capture.plan import CapturePlan, TokenSequence
from probes.capture.read import KEY_STAGES, KeyStage
from probes.capture.shards import make_shards
from probes.capture.size import estimate_size, require_room
from probes.capture.store import TABLES, Store
from probes.capture.worker import ModelReference, refer_to
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import NoMatrixError, UsageError
from probes.files import hash_json, hash_list
from probes.locks import holding
from probes.models.geometry import AttentionGeometry
from probes.models.model import Model

SHARD_LENGTH = 1024
"""Sequences per shard: a kill costs a few seconds of work."""

DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class CaptureSettings:
    """What decides the captured numbers, beside the model, the pairs and the templates.

    ``key_stage`` is ``projected`` (as W_K gives it), ``normed`` (after QK-norm, where there is one)
    or ``rotated``; ``dtype`` is what the rows are stored in; ``query_sample`` is how many attending
    words also keep their x, for the random heads. Without ``x`` no word keeps it.
    """

    key_stage: KeyStage = "normed"
    dtype: str = "bfloat16"
    query_sample: int = 2048
    seed: int = 0
    x: bool = True

    @classmethod
    def of(cls, store: Store) -> CaptureSettings:
        """Return the settings that a capture was made with."""
        identity = store.manifest["identity"]
        return cls(**{f.name: identity.get(f.name, f.default) for f in fields(cls)})


@dataclass(frozen=True)
class Edited:
    """An edit of the model that holds while it is captured, and not while it is examined.

    Attributes
    ----------
    name
        Says what is edited; part of the capture's identity.
    editing
        Edits the model for as long as its block runs.
    """

    name: str
    editing: Callable[[Model], AbstractContextManager[None]]


def capture(
    model: Model,
    plan: CapturePlan,
    folder: Path,
    *,
    settings: CaptureSettings | None = None,
    batch_size: int = 128,
    cluster: Cluster = IN_PROCESS,
    overwrite: bool = False,
    edited: Edited | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Store:
    """Capture k, v and x at every planned occurrence and what attends to it, into `folder`.

    A capture that was interrupted resumes; one that is finished is reused; damaged
    shards are done again. Before anything runs, the model passes `check_faithfulness`.

    Parameters
    ----------
    batch_size
        Sequences per batch; changes speed, and the last digits. A resumed capture keeps
        the batch size and threads that it was begun with.
    cluster
        Where the shards are made; all its workers must see `folder`, and load the model by its
        name.
    overwrite
        Delete a capture of other settings that is in the folder.
    edited
        Capture what the model makes while it is edited, in this process.
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
    ClusterError
        If the cluster is lost.
    UsageError
        If a setting is out of range, or the cluster's workers cannot load the model.
    """
    settings = settings or CaptureSettings()
    check_settings(settings, batch_size, query_sample=0)
    geometry = model.at(plan.settings["site"])
    reference = refer_to(model, cluster)
    identity = {
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "compute_dtype": reference.dtype,
        "key_stage": settings.key_stage,
        "dtype": settings.dtype,
        "query_sample": settings.query_sample,
        "seed": settings.seed,
        "take": plan.settings["take"],
        "site": plan.settings["site"],
        "sequences": hash_list(astuple(sequence) for sequence in plan.sequences),
        "pairs": hash_table(plan.pairs),
        "templates": hash_table(plan.templates),
        **({} if settings.x else {"x": False}),
        **({"sizes": True} if plan.settings.get("sizes") else {}),
        **({"edited": edited.name} if edited is not None else {}),
    }
    if edited is not None and not cluster.is_here:
        raise UsageError(
            f"the model is edited ({edited.name}), and workers of a cluster do not have the edit. "
            "Capture in this process."
        )
    with holding(folder):
        store, missing, pace = begin_capture(
            folder,
            model,
            geometry,
            identity,
            tables={name: getattr(plan, name) for name in TABLES},
            constants=_read_constants(geometry),
            n_shards=-(-len(plan.sequences) // SHARD_LENGTH),
            batch_size=batch_size,
            cluster=cluster,
            overwrite=overwrite,
            say=say,
        )
        if missing:
            made = [own for shard in missing for own in _cut(plan, shard)]
            rows = sum(len(sequence.occurrences) for sequence in made)
            size = estimate_size(geometry, rows, dtype=settings.dtype, x=settings.x)
            require_room(folder, size)
            say(f"It takes about {size / 1e6:,.0f} MB on disk")
            check_faithfulness(
                model, plan.sequences, site=geometry.site, key_stage=settings.key_stage
            )
            jobs = _list_jobs(
                plan, folder, missing, settings=settings, pace=pace, reference=reference
            )
            with nullcontext() if edited is None else edited.editing(model):
                make_shards(model, jobs, cluster, unit="tokens")
        return store


def _read_constants(geometry: AttentionGeometry) -> dict[str, Tensor]:
    """Collect what the measures need of the weights, by layer, where they are matrices."""
    constants = {f"value_metric.{i}": metric for i, metric in enumerate(geometry.value_metrics())}
    with suppress(NoMatrixError):  # a measure that needs them says so; see `Store.read_constants`
        for layer in range(geometry.n_layers):
            for part, singular in geometry.spectra(layer).items():
                constants[f"spectrum.{part}.{layer}"] = singular.cpu()
    return constants


def hash_table(table: pd.DataFrame) -> str:
    """Return the sha256 of a table's cells, as a capture's identity holds it."""
    return hash_json(table.astype(str).to_dict("split", index=False))


def check_settings(settings: Any, batch_size: int, **least: int) -> None:
    """Refuse settings of a capture, of pairs or of text, that are out of range.

    Parameters
    ----------
    least
        The smallest value of each setting that is a number.
    """
    for name, known in (("key_stage", KEY_STAGES), ("dtype", DTYPES)):
        if getattr(settings, name) not in known:
            raise UsageError(f"{name} must be one of {known}, not {getattr(settings, name)!r}")
    values = {name: (getattr(settings, name), bound) for name, bound in least.items()}
    for name, (value, bound) in (values | {"batch_size": (batch_size, 1)}).items():
        if value < bound:
            raise UsageError(f"{name} must be at least {bound}, not {value}")


def _cut(plan: CapturePlan, shard: int) -> tuple[TokenSequence, ...]:
    return plan.sequences[shard * SHARD_LENGTH : (shard + 1) * SHARD_LENGTH]


def _list_jobs(
    plan: CapturePlan,
    folder: Path,
    shards: Sequence[int],
    *,
    settings: CaptureSettings,
    pace: Pace,
    reference: ModelReference,
) -> list[PairJob]:
    """Describe each shard that is to be made, with its own of the sampled queries."""
    generator = np.random.default_rng(settings.seed)
    n_sampled = min(settings.query_sample if settings.x else 0, len(plan.queries))
    sampled = frozenset(generator.choice(len(plan.queries), size=n_sampled, replace=False).tolist())
    centred_in = plan.occurrences["group" if "group" in plan.occurrences else "template_id"]
    groups = pd.factorize(centred_in)[0].tolist()
    jobs = []
    for shard in shards:
        sequences = _cut(plan, shard)
        queries = {query for sequence in sequences for query, _, _ in sequence.queries}
        jobs.append(
            PairJob(
                folder=folder.resolve(),
                shard=shard,
                pace=pace,
                model=reference,
                sequences=sequences,
                groups=tuple(groups[row] for one in sequences for row, _ in one.occurrences),
                sampled=sampled & queries,
                site=plan.settings["site"],
                take=plan.settings["take"],
                key_stage=settings.key_stage,
                dtype=settings.dtype,
                x=settings.x,
                sizes=plan.settings.get("sizes", False),
            )
        )
    return jobs
