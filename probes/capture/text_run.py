"""Capture of running text of any length: moments by shards and, if asked, a sample of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path

import numpy as np

from probes.capture.begin import begin_capture
from probes.capture.faithfulness import check_faithfulness
from probes.capture.moments import LayerMoments, merge_in_order
from probes.capture.plan import TokenSequence
from probes.capture.run import check_settings
from probes.capture.shards import make_shards
from probes.capture.store import Store
from probes.capture.text_shard import TextJob, TextSettings, read_windows
from probes.capture.text_windows import SHORTEST, Window
from probes.capture.worker import refer_to
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import TableError, UsageError
from probes.files import hash_json
from probes.locks import holding
from probes.models.model import Model
from probes.words.align import TokenSpan
from probes.words.text_slices import cut_texts, hash_texts, list_texts

MOST_SHARDS = 64
"""Longer text has longer shards, so that what is on the disk does not grow with it."""

N_FIRST, N_EXAMINED = 8, 2
"""The model is checked on this many of the first windows, and on their shortest and longest."""


def capture_text(
    model: Model,
    source: str | Path,
    folder: Path,
    *,
    settings: TextSettings | None = None,
    batch_size: int = 16,
    cluster: Cluster = IN_PROCESS,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Store:
    """Stream a text through a model and add x, q, k, v of every token up to moments.

    Memory does not grow with the text. Shards are cut from the text, so the same text gives the
    same bytes on any number of workers; finished ones are kept in every case, and damaged ones
    are made again. Every token that counts (no special one, and not the first of a window) attends
    to one that it can see, drawn evenly: queries are turned back by its position.

    Parameters
    ----------
    source
        A ``.txt``, ``.jsonl`` or ``.parquet`` file, or a folder of them.
    batch_size
        Windows per batch; changes speed, and the last digits. A capture that is resumed keeps the
        batch size and threads that it was begun with.
    cluster
        Where the shards are made; all its workers must see `folder` and `source`, and load the
        model by its name.
    overwrite
        Delete a capture of other settings that is in the folder.
    say
        Hears in a sentence what is reused and what is done.

    Raises
    ------
    FaithfulnessError
        If what the hooks read is not what the model uses.
    StoreError
        If the folder is in use, cannot be written, or holds a capture of other settings.
    NonFiniteError
        If the model gives NaN or infinite numbers.
    TableError
        If there is no text, or it cannot be read.
    ClusterError
        If the cluster is lost.
    UsageError
        If a setting is out of range, or the cluster's workers cannot load the model.
    """
    settings = settings or TextSettings()
    _check_settings(model, settings, batch_size)
    reference = refer_to(model, cluster)
    files = list_texts(source)
    shards = cut_texts(files, size=settings.shard_bytes, column=settings.column, most=MOST_SHARDS)
    windows = chain.from_iterable(read_windows(model, shard, settings) for shard in shards)
    first = list(islice(windows, N_FIRST))
    if not first:
        raise TableError(f"{source} holds no text of {SHORTEST} tokens. Give longer text.")
    geometry = model.geometry
    identity = {
        "kind": "moments of text",
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "compute_dtype": reference.dtype,
        "site": geometry.site,
        "text": hash_json(hash_texts(files)),
        **asdict(settings),
    }
    constants = {f"value_metric.{i}": metric for i, metric in enumerate(geometry.value_metrics())}
    with holding(folder):
        store, missing, pace = begin_capture(
            folder,
            model,
            geometry,
            identity,
            tables={},
            constants=constants,
            n_shards=len(shards),
            batch_size=batch_size,
            cluster=cluster,
            context={"files": [file.name for file in files]},
            overwrite=overwrite,
            say=say,
        )
        if not missing:
            return store
        check_faithfulness(
            model,
            [_as_sequence(window) for window in first],
            key_stage=settings.key_stage,
            n_sequences=N_EXAMINED,
        )
        n_rows = -(-settings.rows // len(shards))
        jobs = [
            TextJob(
                folder=folder.resolve(),
                shard=shard,
                slices=shards[shard],
                n_rows=n_rows,
                settings=settings,
                pace=pace,
                model=reference,
            )
            for shard in missing
        ]
        make_shards(model, jobs, cluster, unit="shards")
    return store


def read_layer(store: Store, layer: int, *, folds: int | None = None) -> list[LayerMoments]:
    """Read one layer's moments, merged in the order of the text.

    Parameters
    ----------
    folds
        Into how many stretches of neighbouring shards; one, unless told.

    Raises
    ------
    UsageError
        If there are fewer shards than folds.
    """
    bounds = np.linspace(0, store.n_shards, (folds or 1) + 1).astype(int)
    if folds is not None and len(set(bounds)) <= folds:
        raise UsageError(
            f"{store.n_shards} shards cannot make {folds} folds. Capture more text, or smaller "
            "shards (--shard-bytes)."
        )
    parts: list[list[LayerMoments]] = [[] for _ in bounds[1:]]
    for shard, tensors in enumerate(store.open_shards(f"count.{layer}")):
        if int(tensors.get_tensor(f"count.{layer}")):
            fold = int(np.searchsorted(bounds, shard, side="right")) - 1
            made = LayerMoments.from_tensors(tensors.keys(), tensors.get_tensor, layer)
            parts[fold] = [merge_in_order([*parts[fold], made])]
    return [merge_in_order(part) for part in parts]


def _as_sequence(window: Window) -> TokenSequence:
    last = len(window.ids) - 1
    return TokenSequence(
        ids=window.ids,
        prefix_length=0,
        occurrences=((0, TokenSpan(last, last)),),
        queries=((0, last, window.first),),
    )


def _check_settings(model: Model, settings: TextSettings, batch_size: int) -> None:
    check_settings(settings, batch_size, window=SHORTEST, shard_bytes=1, rows=0)
    most = getattr(model.hf.config.get_text_config(), "max_position_embeddings", None)
    if most is not None and settings.window > most:
        raise UsageError(
            f"window is {settings.window}, but {model.name} has no more than {most} positions; "
            "give a shorter one."
        )
