"""The capture of every word of a treebank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kvprobes.captures.options import CaptureOptions
from probes.cluster import IN_PROCESS, Cluster

if TYPE_CHECKING:
    from kvprobes.session import Session
    from probes.capture.store import Store


def capture_treebank(
    session: Session, options: CaptureOptions, treebank: Path, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture every word of a treebank's train, dev and test files, or go on with it.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the treebank, the folder or the cluster.
    """
    from probes.capture.plan_treebank import plan_treebank
    from probes.capture.run import CaptureSettings, capture
    from probes.words.treebank import read_treebank_splits

    words = read_treebank_splits(treebank)
    model = session.load()
    store = capture(
        model,
        plan_treebank(model.tokenizer, words, causal=model.geometry.causal),
        session.folder.capture,
        settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed),
        batch_size=options.batch_size,
        cluster=cluster,
        overwrite=options.overwrite,
        say=session.say,
    )
    session.forget_captures()
    return store
