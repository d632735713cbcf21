"""The capture of contexts: two words, and one that attends to both in the same sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvprobes.captures.find import COORDINATION, PAIRS, SENTENCES, TREEBANK, name_kind, suits_words
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import StoreMismatchError

if TYPE_CHECKING:
    import pandas as pd

    from kvprobes.session import Session
    from probes.capture.plan import CapturePlan
    from probes.capture.store import Store
    from probes.models.model import Model


def capture_contexts(
    session: Session,
    *,
    include: pd.DataFrame | None = None,
    batch_size: int = 128,
    cluster: Cluster = IN_PROCESS,
) -> Store:
    """Give the contexts that belong to the main capture; go on with or reuse what is there.

    A capture of a user's own sentences holds them. To a treebank belong the content words that
    depend on one head. To word pairs belong coordinations of their modifiers: which two are set
    side by side is drawn by chance among those of a head noun, so that a table chosen by
    relatedness does not decide; the founding pairs are always among them.

    Parameters
    ----------
    include
        Word pairs (``head, m1, m2``) that are set side by side too.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the words or the folder.
    """
    from probes.capture.run import CaptureSettings, capture

    main = session.store
    kind = name_kind(main)
    if kind == SENTENCES:
        return main
    model = session.captured_model()
    plan, name = (
        (_plan_coordination(main, model, include), COORDINATION)
        if kind == PAIRS
        else (_plan_treebank(main, model), TREEBANK)
    )

    def make(*, overwrite: bool = False) -> Store:
        return capture(
            model,
            plan,
            session.folder.capture_named(name),
            settings=CaptureSettings.of(main),
            batch_size=batch_size,
            cluster=cluster,
            overwrite=overwrite,
            edited=session.edited,
            say=session.say,
        )

    try:
        return make()
    except StoreMismatchError:  # it follows from the main capture, which is another one now
        return make(overwrite=True)


def _plan_coordination(main: Store, model: Model, include: pd.DataFrame | None) -> CapturePlan:
    import pandas as pd

    from probes.capture.plan_contexts import plan_coordination
    from probes.words.coordination import load_coordinations
    from probes.words.coordination_pairs import choose_coordinations
    from probes.words.pairs import load_pairs

    identity, is_english = main.manifest["identity"], suits_words(main)
    wanted = [] if include is None else [include]
    wanted += [load_pairs("seed_pairs", limit=2)] if is_english else []
    chosen = choose_coordinations(
        main.table("pairs"),
        seed=identity["seed"],
        include=pd.concat(wanted, ignore_index=True) if wanted else None,
    )
    return plan_coordination(
        model.tokenizer,
        chosen,
        load_coordinations("templates_coordination" + ("" if is_english else "_zh")),
        causal=model.geometry.causal,
        take=identity["take"],
        prefix=model.source_prefix,
        seed=identity["seed"],
    )


def _plan_treebank(main: Store, model: Model) -> CapturePlan:
    from probes.capture.plan_sentences import plan_sentences
    from probes.words.sentences import mark_treebank

    identity, causal = main.manifest["identity"], model.geometry.causal
    return plan_sentences(
        model.tokenizer,
        mark_treebank(main.table("occurrences"), before_head=causal),
        causal=causal,
        take=identity["take"],
        prefix=model.source_prefix,
        seed=identity["seed"],
        source=TREEBANK,
    )
