"""The capture of coordinations: two modifiers, and the head that attends to both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kvprobes.captures.find import COORDINATION, suits_words
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import StoreMismatchError

if TYPE_CHECKING:
    from kvprobes.session import Session
    from probes.capture.store import Store


def capture_coordination(
    session: Session, *, batch_size: int = 128, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture coordinations of the main capture's modifiers, or go on with or reuse what is there.

    Which two modifiers are set side by side is drawn by chance among those of a head noun, so that
    a table chosen by relatedness does not decide; the founding pairs are always among them.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the words or the folder.
    """
    from probes.capture.plan_contexts import plan_coordination
    from probes.capture.run import CaptureSettings, capture
    from probes.words.coordination import load_coordinations
    from probes.words.coordination_pairs import choose_coordinations
    from probes.words.pairs import load_pairs

    main, model = session.store, session.captured_model()
    identity, pairs = main.manifest["identity"], main.table("pairs")
    is_english = suits_words(main)
    chosen = choose_coordinations(
        pairs,
        seed=identity["seed"],
        include=load_pairs("seed_pairs", limit=2) if is_english else None,
    )
    plan = plan_coordination(
        model.tokenizer,
        chosen,
        load_coordinations("templates_coordination" + ("" if is_english else "_zh")),
        causal=model.geometry.causal,
        take=identity["take"],
        prefix=model.source_prefix,
        seed=identity["seed"],
    )
    settings = {name: identity[name] for name in ("key_stage", "dtype", "query_sample", "seed")}
    make = partial(
        capture,
        model,
        plan,
        session.folder.capture_named(COORDINATION),
        settings=CaptureSettings(**settings),
        batch_size=batch_size,
        cluster=cluster,
        edited=session.edited,
        say=session.say,
    )
    try:
        return make()
    except StoreMismatchError:  # it follows from the main capture, which is another one now
        return make(overwrite=True)
