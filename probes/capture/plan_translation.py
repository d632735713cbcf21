"""What to read in a translation: the words of the source, and the steps that translate them.

The model's own cross-attention says which token of the translation stands for a word, not
an aligner from outside. Some layers look at the word whose translation has just been read in,
others at the one about to be written (in opus-mt-zh-en the first three and the last three), so a
token is scored by either, whichever is more, averaged over layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from probes.capture.plan import (
    AlignedSentence,
    CapturePlan,
    Rows,
    Take,
    TokenSequence,
    align_sentences,
    describe_loss,
    describe_occurrence,
    describe_query,
    require_take,
    tabulate_losses,
)
from probes.capture.translate import Ids, Translation
from probes.errors import AlignmentError
from probes.models.geometry import Site
from probes.models.model import Model
from probes.words.align import TokenSpan

Translate = Callable[[Sequence[Ids]], list[Translation]]
ORDER: tuple[Site, ...] = ("encoder", "decoder", "cross")


def plan_translation(
    model: Model,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    translate: Translate,
    take: Take = "last",
) -> dict[Site, CapturePlan]:
    """Lay out the capture of every compound at the three sites of an encoder-decoder.

    At ``encoder`` and ``cross`` the modifier's keys and values are those of its source tokens; at
    ``decoder`` those of its translation (one token of it). What attends is the head noun at
    ``encoder``, the step that writes the modifier's translation at ``cross``, and the head noun's
    translation (or the modifier's own, if that comes later) at ``decoder``.

    Parameters
    ----------
    translate
        Gives the model's own translations (`probes.capture.translate.translate`).

    Returns
    -------
    A plan a site. Its ``queries`` also have ``written`` (the token taken for the modifier's
    translation), ``weight`` (its cross-attention to the modifier) and ``translation``.

    Raises
    ------
    AlignmentError
        If no compound at all can be aligned at a site; single losses are reported in the plans.
    UsageError
        If `take` is unknown.
    """
    require_take(take)
    aligned, losses = align_sentences(model.tokenizer, pairs, templates, prefix=model.source_prefix)
    aligned.sort(
        key=lambda item: (
            item.sentence.template_id,
            len(item.ids),
            item.sentence.modifier,
            item.sentence.head,
        )
    )
    translations = translate([item.ids for item in aligned])
    return {
        site: _lay_out(model, site, aligned, translations, losses, pairs, templates, take)
        for site in ORDER
    }


def find_translated(translation: Translation, span: TokenSpan) -> tuple[int, float]:
    """Return which token of a translation stands for a word of the source, and its score.

    The score of the token at position p is the cross-attention to the word's tokens at the step
    before, which writes it, or at its own, which reads it, whichever is more; the mean over layers.
    Where all layers look from one step alone, it is unclear which of the two it is, and the token
    that is read there is taken.
    """
    looks = translation.attention[:, :, span.first : span.last + 1].sum(dim=2)
    scores = torch.maximum(looks[:, :-1], looks[:, 1:]).mean(dim=0)
    best = int(scores.argmax())
    return best + 1, float(scores[best])


def _lay_out(
    model: Model,
    site: Site,
    aligned: Sequence[AlignedSentence],
    translations: Sequence[Translation],
    losses: Sequence[dict[str, str]],
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    take: Take,
) -> CapturePlan:
    sequences: list[TokenSequence] = []
    occurrences, queries = Rows(), Rows()
    lost = list(losses)
    for item, translation in zip(aligned, translations, strict=True):
        if len(translation.ids) < 2:
            lost.append(describe_loss(item.sentence, "the translation is empty"))
            continue
        token, weight = find_translated(translation, item.modifier)
        word, position = item.modifier, item.head.last
        if site == "cross":
            position = token - 1
        if site == "decoder":
            word = TokenSpan(token, token)
            position = max(token, find_translated(translation, item.head)[0])
        number = len(queries)
        ids = translation.ids if site == "decoder" else item.ids
        tokenizer = model.tokenizer
        occurrences.append(describe_occurrence(tokenizer, item, number, word, ids, take))
        distance = position - word.last if site != "cross" else 0
        queries.append(
            describe_query(item, number, number, position=position, distance=distance)
            | {
                "written": tokenizer.convert_ids_to_tokens(translation.ids[token]),
                "weight": weight,
                "translation": tokenizer.decode(translation.ids, skip_special_tokens=True),
            }
        )
        sequences.append(
            TokenSequence(
                ids=item.ids,
                prefix_length=0,
                occurrences=((number, word),),
                queries=((number, position, word.last),),
                target=translation.ids,
            )
        )
    if not queries:
        raise AlignmentError(f"no compound could be followed to the {site} of {model.name}.")
    return CapturePlan(
        sequences=tuple(sequences),
        occurrences=occurrences.tabulate(),
        queries=queries.tabulate(),
        losses=tabulate_losses(lost),
        pairs=pairs,
        templates=templates,
        settings={"take": take, "site": site},
    )
