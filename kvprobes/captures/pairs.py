"""The capture of word pairs in sentence templates, at every site of a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kvprobes.captures.options import DEFAULT_TEMPLATES, CaptureOptions
from probes.cluster import IN_PROCESS, Cluster

if TYPE_CHECKING:
    import pandas as pd

    from kvprobes.session import Session
    from probes.capture.plan import CapturePlan
    from probes.capture.store import Store
    from probes.models.geometry import Site
    from probes.models.model import Model


def capture_pairs(
    session: Session, options: CaptureOptions, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture word pairs, or go on with or reuse the capture in the folder.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the tables, the folder or the cluster.
    """
    from analyses.co_attended.verdict import FEWEST_PAIRS as FEWEST
    from probes.capture.located import FEWEST_PAIRS
    from probes.capture.run import CaptureSettings, capture
    from probes.models.bundled import find_bundled
    from probes.words.pairs import load_pairs
    from probes.words.templates import choose_templates

    bundled = find_bundled(options.model)
    usual = ("compound_pairs", DEFAULT_TEMPLATES)
    if bundled is not None and bundled.tables is not None:
        usual = bundled.tables
    pairs = load_pairs(
        options.pairs or usual[0],
        limit=options.limit,
        seed=options.seed,
        skip=session.say if options.skip_bad_rows else None,
    )
    distinct = {frozenset(words) for words in zip(pairs["m1"], pairs["m2"], strict=True)}
    if len(distinct) < FEWEST:
        session.say(
            f"{len(distinct)} distinct pairs of words are few: questions about pairs need at least "
            f"{FEWEST_PAIRS}, and yes or no as an answer at least {FEWEST}"
        )
    templates = choose_templates(options.templates or usual[1])
    model = session.load()
    stores = []
    for site, plan in _plan(model, pairs, templates, session.folder.path).items():
        if len(plan.losses):
            session.say(
                f"{len(plan.losses)} sentences could not be aligned; the report says which and why"
            )
        is_main = site == model.geometry.site
        store = capture(
            model,
            plan,
            session.folder.capture if is_main else session.folder.capture_named(site),
            settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed),
            batch_size=options.batch_size,
            cluster=cluster,
            overwrite=options.overwrite,
            say=session.say,
        )
        stores.append(store)
    session.forget_captures()
    return stores[0]


def _plan(
    model: Model, pairs: pd.DataFrame, templates: pd.DataFrame, folder: Path
) -> dict[Site, CapturePlan]:
    """Lay out the capture at every site of a model, the main one first."""
    from probes.capture.plan import plan_capture
    from probes.capture.plan_translation import plan_translation
    from probes.capture.translate import translate

    if model.has_encoder_and_decoder:
        return plan_translation(
            model,
            pairs,
            templates,
            translate=partial(translate, model, folder=folder / "translations"),
        )
    plan = plan_capture(model.tokenizer, pairs, templates, causal=model.geometry.causal)
    return {model.geometry.site: plan}
