"""What to run for coordinations: two modifiers and the head that attends to both, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from probes.capture.contexts_layout import (
    WHOLE_CONTEXTS,
    Context,
    MarkedWord,
    Question,
    lay_out_contexts,
)
from probes.capture.plan import CapturePlan, Take, refuse_one_form, tabulate_losses
from probes.errors import AlignmentError, UsageError
from probes.words.align import Tokens, align, tokenise
from probes.words.coordination import Coordination, fill_coordination
from probes.words.tables import require_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NEEDED = ("pair_id", "head", "m1", "m2")
ORDERS = ("m1 first", "m2 first")


def plan_coordination(
    tokenizer: PreTrainedTokenizerFast,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    causal: bool = True,
    take: Take = "last",
    prefix: str = "",
    whole_contexts: int = WHOLE_CONTEXTS,
    seed: int = 0,
) -> CapturePlan:
    """Lay out the capture of every pair of modifiers in every coordination, in both orders.

    The query is the head's last token. Centred together are the words of one place in one template
    (``group``: ``template_id/slot``). Tables are those of `probes.capture.contexts_layout`; a row
    of ``pairs`` also has ``pair_id``, ``order`` (``m1 first``, ``m2 first``), ``z_left`` and
    ``z_right`` (frequency, where known), and all other columns of `pairs`.

    A pair given twice, in either order, is laid out once.

    Parameters
    ----------
    tokenizer
        A fast tokenizer.
    pairs
        With ``pair_id``, ``head``, ``m1``, ``m2``, as `probes.words.choose_coordinations` gives
        them.
    templates
        With ``template_id`` and ``text`` (`probes.words.load_coordinations`).
    causal
        Whether a word's key can only depend on what precedes it.
    take
        Which token stands for a word of several pieces: its ``last``, or the ``mean`` of all.
    prefix
        What the model wants before every sentence, such as T5's "translate English to German: ".
    whole_contexts
        So many contexts, drawn with `seed`, are read at every token, so that random heads can
        attend there too.

    Raises
    ------
    AlignmentError
        If no sentence at all can be aligned; single losses are reported in the plan.
    TableError
        If a column is missing, or a template and its words need a space between them.
    UsageError
        If `take` is unknown, or `whole_contexts` negative.
    """
    check_settings(take, whole_contexts)
    require_columns("the table of pairs", pairs, NEEDED)
    distinct = ~pd.Series(
        [(head, frozenset((m1, m2))) for head, m1, m2 in zip(*_words(pairs), strict=True)]
    ).duplicated()
    rows = pairs[distinct.to_numpy()].to_dict("records")
    sentences: list[Coordination] = []
    about: list[dict[str, object]] = []
    for template_id, text in zip(templates["template_id"], templates["text"], strict=True):
        for row in rows:
            known = {str(name): value for name, value in row.items() if name not in ("m1", "m2")}
            z_m1, z_m2 = (float(known.pop(name, "nan")) for name in ("z_m1", "z_m2"))
            for order, exchanged in zip(ORDERS, (False, True), strict=True):
                words = (row["m2"], row["m1"]) if exchanged else (row["m1"], row["m2"])
                z_left, z_right = (z_m2, z_m1) if exchanged else (z_m1, z_m2)
                filled = fill_coordination(text, *words, row["head"], template_id).after(prefix)
                sentences.append(filled)
                about.append(known | {"order": order, "z_left": z_left, "z_right": z_right})
    if not sentences:
        raise AlignmentError("there is no sentence to align. Give pairs, and templates for them.")
    tokenised = tokenise(tokenizer, [sentence.text for sentence in sentences])
    contexts: list[Context] = []
    losses: list[dict[str, str]] = []
    for sentence, tokens, known in zip(sentences, tokenised, about, strict=True):
        try:
            contexts.append(_align(sentence, tokens, known))
        except AlignmentError as error:
            losses.append(
                {
                    "template_id": sentence.template_id,
                    "modifier": f"{sentence.first}, {sentence.second}",
                    "head": sentence.head,
                    "sentence": sentence.text,
                    "reason": str(error),
                }
            )
    if not contexts:
        raise AlignmentError(
            f"none of the {len(sentences)} sentences could be aligned with its tokens. The first: "
            f"{losses[0]['reason']}."
        )
    layout = lay_out_contexts(
        tokenizer, contexts, causal=causal, take=take, whole_contexts=whole_contexts, seed=seed
    )
    return CapturePlan(
        sequences=layout.sequences,
        occurrences=layout.occurrences,
        queries=layout.queries,
        losses=tabulate_losses(losses),
        pairs=layout.pairs,
        templates=templates,
        settings=describe_settings(take, causal=causal),
    )


def check_settings(take: Take, whole_contexts: int) -> None:
    """Refuse settings of a plan of contexts that are out of range."""
    if take not in ("last", "mean"):
        raise UsageError(f"take must be 'last' or 'mean', not {take!r}")
    if whole_contexts < 0:
        raise UsageError(f"whole_contexts must be at least 0, not {whole_contexts}")


def describe_settings(take: Take, *, causal: bool) -> dict[str, object]:
    """Return what a capture needs of a plan of contexts: it reads sizes as well."""
    return {"take": take, "site": "decoder" if causal else "encoder", "sizes": True}


def _words(pairs: pd.DataFrame) -> list[pd.Series]:
    return [pairs[name] for name in ("head", "m1", "m2")]


def _align(sentence: Coordination, tokens: Tokens, about: dict[str, object]) -> Context:
    words = (
        (sentence.first, sentence.first_span),
        (sentence.second, sentence.second_span),
    )
    spans = [align(tokens, span) for _, span in words]
    first, second = (tokens.ids[span.first : span.last + 1] for span in spans)
    if first == second:
        refuse_one_form([sentence.first], [sentence.second])
    return Context(
        tokens=tokens,
        template_id=sentence.template_id,
        words=tuple(
            MarkedWord(
                word=word,
                characters=characters,
                tokens=span,
                slot=slot,
                group=f"{sentence.template_id}/{slot}",
            )
            for slot, ((word, characters), span) in enumerate(zip(words, spans, strict=True))
        ),
        questions=(Question(sentence.head, align(tokens, sentence.head_span), (0, 1)),),
        about=about,
    )
