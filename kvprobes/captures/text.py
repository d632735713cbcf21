"""The capture of running text, as moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvprobes.captures.find import TEXT
from kvprobes.captures.options import CaptureOptions, TextOptions
from probes.cluster import IN_PROCESS, Cluster

if TYPE_CHECKING:
    from kvprobes.session import Session
    from probes.capture.store import Store

BATCH = 16


def capture_running_text(
    session: Session, options: CaptureOptions, text: TextOptions, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture a text into ``capture-text/``, or go on with or reuse what is there.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the text, the folder or the cluster.
    """
    from analyses.running_text.compute import FEWEST_FOLDS
    from probes.capture.text_run import MOST_SHARDS, capture_text
    from probes.capture.text_shard import SHARD_BYTES, TextSettings
    from probes.words.text_slices import cut_texts, list_texts

    settings = TextSettings(
        key_stage=options.key_stage,
        window=text.window,
        rows=text.rows,
        x=not text.without_x,
        column=text.column,
        shard_bytes=text.shard_bytes or SHARD_BYTES,
        seed=options.seed,
    )
    shards = cut_texts(
        list_texts(text.source), size=settings.shard_bytes, column=text.column, most=MOST_SHARDS
    )
    if len(shards) < FEWEST_FOLDS:
        session.say(
            f"{text.source} makes {len(shards)} shards of {settings.shard_bytes:,} bytes or more, "
            f"and `kvprobes analyse running_text` needs {FEWEST_FOLDS}: give more text, or smaller "
            "shards (--shard-bytes)"
        )
    store = capture_text(
        session.load(),
        text.source,
        session.folder.capture_named(TEXT),
        settings=settings,
        batch_size=min(options.batch_size, BATCH),
        cluster=cluster,
        overwrite=options.overwrite,
        say=session.say,
    )
    counts = [int(part.get_tensor("count.0")) for part in store.open_shards("count.0")]
    session.say(f"{sum(counts):,} tokens in {store.n_shards} shards")
    return store
