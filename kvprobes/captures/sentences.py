"""The capture of sentences that somebody else wrote: a user's own, or those of a treebank."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvprobes.captures.options import CaptureOptions
from probes.cluster import IN_PROCESS, Cluster

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from kvprobes.session import Session
    from probes.capture.plan import CapturePlan
    from probes.capture.store import Store
    from probes.models.model import Model


def capture_sentences(
    session: Session, options: CaptureOptions, source: Path, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture every marked word of a user's sentences, and what attends to it, or go on with it.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the table, the folder or the cluster.
    """
    from probes.words.sentences import load_sentences

    marked = _take_sentences(load_sentences(source), options)

    def plan(model: Model) -> CapturePlan:
        from probes.capture.plan_sentences import plan_sentences

        return plan_sentences(
            model.tokenizer,
            marked,
            causal=model.geometry.causal,
            prefix=model.source_prefix,
            seed=options.seed,
        )

    return _capture(session, options, plan, cluster)


def capture_treebank(
    session: Session, options: CaptureOptions, source: Path, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture every word of a treebank, a file or a folder with its splits, or go on with it.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the treebank, the folder or the cluster.
    """
    from probes.words.treebank import read_treebank, read_treebank_splits

    read = read_treebank_splits if source.is_dir() else read_treebank
    words = _take_sentences(read(source), options)

    def plan(model: Model) -> CapturePlan:
        from probes.capture.plan_treebank import plan_treebank

        return plan_treebank(model.tokenizer, words, causal=model.geometry.causal)

    return _capture(session, options, plan, cluster)


def _take_sentences(table: pd.DataFrame, options: CaptureOptions) -> pd.DataFrame:
    """Draw as many sentences as were asked for."""
    import numpy as np

    names = table["sentence"].unique()
    if options.limit is None or options.limit >= len(names):
        return table
    drawn = np.random.default_rng(options.seed).permutation(names)[: options.limit]
    return table[table["sentence"].isin(drawn)].reset_index(drop=True)


def _capture(
    session: Session,
    options: CaptureOptions,
    plan: Callable[[Model], CapturePlan],
    cluster: Cluster,
) -> Store:
    from probes.capture.run import CaptureSettings, capture

    model = session.load()
    laid_out = plan(model)
    if len(laid_out.losses):
        session.say(f"{len(laid_out.losses)} words are left out; the report says which and why")
    store = capture(
        model,
        laid_out,
        session.folder.capture,
        settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed),
        batch_size=options.batch_size,
        cluster=cluster,
        overwrite=options.overwrite,
        say=session.say,
    )
    session.forget_captures()
    return store
