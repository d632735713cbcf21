"""The capture of the same sentences by the untrained model, which is beside the trained one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.nulls import PAIRS as SAMPLE
from kvprobes.captures.find import PAIRS, UNTRAINED, has_sites, name_kind, open_untrained
from kvprobes.captures.options import CaptureOptions

if TYPE_CHECKING:
    from kvprobes.session import Session


def capture_untrained(session: Session, options: CaptureOptions) -> None:
    """Capture the trained capture's sentences with the same architecture at random init.

    Of the pairs that is a sample, as many as the nulls are measured on, unless the options ask for
    all; and it holds no x, which no question reads. Only word pairs, and models with one site, are
    captured so: no question asks an untrained model of other sentences, and what an untrained
    translator writes is noise.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model or the folder.
    """
    from probes.capture.plan import plan_capture
    from probes.capture.run import CaptureSettings, capture
    from probes.models.untrained import untrain
    from probes.words.pairs import sample_pairs

    trained, folder = session.store, session.folder.capture_named(UNTRAINED)
    if name_kind(trained) != PAIRS:
        return
    pairs = trained.table("pairs")
    if not options.full:
        pairs = sample_pairs(pairs, SAMPLE, seed=options.seed)
    found = open_untrained(session.folder, trained)
    if found is not None and len(found.table("pairs")) >= len(pairs):
        session.say(f"Reusing the finished capture in {folder}")
        return
    if has_sites(session.folder):
        return
    model = untrain(session.load(), seed=options.seed)
    capture(
        model,
        plan_capture(
            model.tokenizer,
            pairs,
            trained.table("templates"),
            causal=model.geometry.causal,
        ),
        folder,
        settings=CaptureSettings(key_stage=options.key_stage, seed=options.seed, x=False),
        batch_size=options.batch_size,
        overwrite=True,
        say=session.say,
    )
