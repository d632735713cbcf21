"""What to run for a user's own sentences: the marked words, and what attends to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from probes.capture.contexts_layout import (
    WHOLE_CONTEXTS,
    Context,
    MarkedWord,
    Question,
    lay_out_contexts,
)
from probes.capture.plan import CapturePlan, Take, tabulate_losses
from probes.capture.plan_contexts import check_settings, describe_settings
from probes.errors import AlignmentError
from probes.words.align import Tokens, TokenSpan, align, tokenise
from probes.words.lexicon import read_frequencies
from probes.words.tables import require_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NEEDED = ("sentence", "word", "start", "end", "query_start", "query_end")
FEWEST_IN_GROUP = 20
"""The mean of fewer occurrences holds too much of each of them to be removed."""

POOLED, YOURS = "(pooled)", "your sentences"
"""The centring group of labels that are too rare, and what a user's sentences are called."""


def plan_sentences(
    tokenizer: PreTrainedTokenizerFast,
    sentences: pd.DataFrame,
    *,
    causal: bool = True,
    take: Take = "last",
    prefix: str = "",
    fewest: int = FEWEST_IN_GROUP,
    whole_contexts: int = WHOLE_CONTEXTS,
    seed: int = 0,
    source: str = YOURS,
) -> CapturePlan:
    """Lay out the capture of every marked word of every sentence, and of what attends to them.

    *What attends* is the last token of the query where the table marks one; else the token that
    follows the last marked word, the first that has seen them all. *Events* are every two marked
    words of one sentence and query, the earlier one on the left.

    *Centring*: what is subtracted is the mean over all occurrences of one label (``group``), over
    all sentences. Labels with fewer than `fewest` occurrences are pooled; should the pool be
    smaller than that, the rarest other label joins it. Without labels all occurrences are one
    group. *Unbalanced counts*: each distinct pair of words counts once, in either order and
    however often it comes; its events weigh 1 over their number
    (`probes.capture.contexts.ContextPairs.weight`).

    Tables are those of `probes.capture.contexts_layout`; a row of ``pairs`` also has ``pair_id``
    (the same for the same two words), ``left_label``, ``right_label``, and ``z_left``, ``z_right``,
    the words' frequencies, where the shipped lexicon has them.

    Parameters
    ----------
    sentences
        Of `probes.words.load_sentences`; columns beside its own are kept in the occurrences.
    causal, take, prefix, whole_contexts, seed
        As in `probes.capture.plan_coordination`.
    source
        What the sentences are called; it is in the place of a template's name.

    Raises
    ------
    AlignmentError
        If no event at all is left; what was lost, and why, is in the plan: a word that shares a
        token with its neighbour, or that a causal model's query cannot see, or a sentence in which
        no token follows the last marked word.
    TableError
        If a column is missing.
    UsageError
        If `take` is unknown, or `whole_contexts` negative.
    """
    check_settings(take, whole_contexts)
    require_columns("the table of sentences", sentences, NEEDED)
    labels = sentences.get("label", pd.Series("", index=sentences.index)).astype(str)
    losses: list[dict[str, str]] = []
    contexts = []
    rows = sentences.assign(label=labels).groupby("sentence", sort=False)
    texts = [prefix + str(text) for text, _ in rows]
    for (_, marked), tokens in zip(rows, tokenise(tokenizer, texts), strict=True):
        context = _align(tokens, marked, len(prefix), source, causal=causal, losses=losses)
        if context is not None:
            contexts.append(context)
    if not contexts:
        reason = f" The first: {losses[0]['reason']}." if losses else ""
        raise AlignmentError(f"no two words of the {len(rows)} sentences can be compared.{reason}")
    if causal:
        contexts = list(_settle_labels(contexts, losses))
    layout = lay_out_contexts(
        tokenizer, contexts, causal=causal, take=take, whole_contexts=whole_contexts, seed=seed
    )
    occurrences, words = layout.occurrences, layout.occurrences["slot"] >= 0
    # Counted only now: what a causal model sees the same is one occurrence.
    pooled = pool_rare(occurrences["group"][words].tolist(), fewest)
    occurrences.loc[words, "group"] = pooled
    return CapturePlan(
        sequences=layout.sequences,
        occurrences=occurrences,
        queries=layout.queries,
        losses=tabulate_losses(losses).assign(template_id=source),
        pairs=_describe_pairs(layout.pairs, occurrences),
        templates=pd.DataFrame(columns=["template_id", "text"]),
        settings=describe_settings(take, causal=causal),
    )


def pool_rare(groups: Sequence[str], fewest: int) -> list[str]:
    """Give groups of fewer than `fewest` members one name; see `plan_sentences`."""
    counts = Counter(groups)
    rare = {name for name, count in counts.items() if count < fewest}
    others = sorted((count, name) for name, count in counts.items() if name not in rare)
    if rare and others and sum(counts[name] for name in rare) < fewest:
        rare.add(others[0][1])
    if len(rare) < 2:
        return list(groups)
    return [POOLED if name in rare else name for name in groups]


def _align(
    tokens: Tokens,
    rows: pd.DataFrame,
    shift: int,
    source: str,
    *,
    causal: bool,
    losses: list[dict[str, str]],
) -> Context | None:
    """Find the words and queries of one sentence; None if nothing is left to compare."""

    def lose(word: str, head: str, reason: str) -> None:
        losses.append(_describe_loss(tokens, word, head, reason))

    words: dict[TokenSpan, MarkedWord] = {}
    members: dict[tuple[int, int], list[TokenSpan]] = {}
    for row in rows.to_dict("records"):
        characters = (int(row["start"]) + shift, int(row["end"]) + shift)
        query = (int(row["query_start"]), int(row["query_end"]))
        try:
            span = align(tokens, characters)
        except AlignmentError as error:
            lose(row["word"], str(row.get("query", "")), str(error))
            continue
        about = {str(name): value for name, value in row.items() if name not in NEEDED}
        word = MarkedWord(row["word"], characters, span, 0, str(row["label"]), about)
        words.setdefault(span, word)
        members.setdefault(query, []).append(span)
    order = sorted(words, key=lambda span: (span.first, span.last))
    questions = []
    for query, spans in members.items():
        try:
            head, asking = _find_query(tokens, query, spans, shift)
        except AlignmentError as error:
            lose(", ".join(words[span].word for span in spans), "", str(error))
            continue
        seen = []
        for span in sorted(spans, key=order.index):
            if span.last >= asking.first and (causal or span.first <= asking.last):
                where = "is not before" if causal else "overlaps with"
                lose(words[span].word, head, f"the word {where} what attends, {head!r}")
            else:
                seen.append(order.index(span))
        if len(seen) >= 2:
            questions.append(Question(head, asking, tuple(seen)))
        elif seen:
            lose(words[order[seen[0]]].word, head, "no other word of its sentence is left")
    if not questions:
        return None
    used = sorted({place for question in questions for place in question.words})
    return Context(
        tokens=tokens,
        template_id=source,
        words=tuple(words[order[place]] for place in used),
        questions=tuple(
            Question(asked.head, asked.tokens, tuple(used.index(place) for place in asked.words))
            for asked in questions
        ),
    )


def _find_query(
    tokens: Tokens, query: tuple[int, int], spans: Sequence[TokenSpan], shift: int
) -> tuple[str, TokenSpan]:
    """Return what attends and its tokens: the query, or the token after the last of the words."""
    if query[0] >= 0:
        characters = (query[0] + shift, query[1] + shift)
        return tokens.text[slice(*characters)], align(tokens, characters)
    following = max(span.last for span in spans) + 1
    if following >= len(tokens.ids) or tokens.special[following]:
        raise AlignmentError("no token follows the last marked word")
    start, end = tokens.offsets[following]
    return tokens.text[start:end].strip(), TokenSpan(following, following)


def _settle_labels(contexts: Sequence[Context], losses: list[dict[str, str]]) -> Iterator[Context]:
    """Give words that a causal model cannot tell apart the label that comes first."""
    known: dict[tuple[int, ...], MarkedWord] = {}
    for context in contexts:
        words = []
        for word in context.words:
            first = known.setdefault(context.tokens.ids[: word.tokens.last + 1], word)
            if first.group != word.group:
                reason = (
                    "up to this word the sentence is the same as one in which it is labelled "
                    f"{first.group!r}, which counts for both, and not {word.group!r}"
                )
                losses.append(_describe_loss(context.tokens, word.word, "", reason))
                word = replace(word, group=first.group, about=first.about)
            words.append(word)
        yield replace(context, words=tuple(words))


def _describe_loss(tokens: Tokens, word: str, head: str, reason: str) -> dict[str, str]:
    return {
        "template_id": "",
        "modifier": word,
        "head": head,
        "sentence": tokens.text,
        "reason": reason,
    }


def _describe_pairs(pairs: pd.DataFrame, occurrences: pd.DataFrame) -> pd.DataFrame:
    """Add the pairs' names, their labels and frequencies."""
    known = read_frequencies()
    columns: dict[str, Any] = {
        "pair_id": [
            " / ".join(sorted(both))
            for both in zip(pairs["left_word"], pairs["right_word"], strict=True)
        ]
    }
    for side in ("left", "right"):
        columns[f"{side}_label"] = occurrences["label"].iloc[pairs[side]].to_numpy()
        words = pairs[f"{side}_word"].str.lower()
        columns[f"z_{side}"] = [known.get(word, float("nan")) for word in words]
    return pairs.assign(**columns)
