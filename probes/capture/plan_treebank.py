"""A capture of every word of running sentences, as a treebank or any table of spans gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from probes.capture.plan import (
    LOSS,
    CapturePlan,
    Take,
    TokenSequence,
    hash_ids,
    require_take,
    tabulate_losses,
)
from probes.errors import AlignmentError
from probes.words.align import TokenSpan, align, tokenise
from probes.words.tables import require_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NEEDED = ("sentence", "text", "word", "start", "end")


def plan_treebank(
    tokenizer: PreTrainedTokenizerFast,
    words: pd.DataFrame,
    *,
    causal: bool = True,
    take: Take = "last",
) -> CapturePlan:
    """Lay out the capture of every word of every sentence.

    Each word is also a query, by itself: it attends to its own token.

    Parameters
    ----------
    words
        Of `probes.words.treebank.read_treebank`, or any table with ``sentence`` (equal within a
        sentence), ``text``, ``word``, ``start`` and ``end`` (characters). All other columns are
        kept in the occurrences.
    causal, take
        As in `probes.capture.plan_capture`.

    Raises
    ------
    AlignmentError
        If no word at all can be aligned; single losses are reported in the plan.
    TableError
        If a column is missing.
    UsageError
        If `take` is unknown.
    """
    require_columns("the table of words", words, NEEDED)
    require_take(take)
    sequences: list[TokenSequence] = []
    occurrences: list[dict[str, Any]] = []
    queries: list[dict[str, Any]] = []
    losses: list[dict[str, str]] = []
    groups = list(words.groupby("sentence", sort=False))
    tokenised = tokenise(tokenizer, [str(rows["text"].iloc[0]) for _, rows in groups])
    for (_, rows), tokens in zip(groups, tokenised, strict=True):
        reads: list[tuple[int, TokenSpan]] = []
        asks: list[tuple[int, int, int]] = []
        for row in rows.to_dict("records"):
            try:
                if row.get("lost"):
                    raise AlignmentError(str(row["lost"]))
                span = align(tokens, (int(row["start"]), int(row["end"])))
            except AlignmentError as error:
                told = {"modifier": str(row["word"]), "sentence": tokens.text}
                losses.append(dict.fromkeys(LOSS, "") | told | {"reason": str(error)})
                continue
            number = len(occurrences)
            reads.append((number, span))
            asks.append((number, span.last, span.last))
            ids = list(tokens.ids[span.first : span.last + 1])
            occurrences.append(
                {str(key): value for key, value in row.items()}
                | {
                    "occurrence": number,
                    "template_id": str(row["sentence"]),
                    "head": None,
                    "first_token": span.first,
                    "last_token": span.last,
                    "token_ids": ids,
                    "pieces": tokenizer.convert_ids_to_tokens(ids),
                    "taken": take,
                    "sentence_hash": hash_ids(tokens.ids),
                }
            )
            queries.append(
                {
                    "query": number,
                    "template_id": str(row["sentence"]),
                    "modifier": row["word"],
                    "head": "",
                    "occurrence": number,
                    "position": span.last,
                    "distance": 0,
                    "head_tokens": span.last - span.first + 1,
                    "sentence": tokens.text,
                    "sentence_hash": hash_ids(tokens.ids),
                }
            )
        if reads:
            end = reads[-1][1].last + 1 if causal else len(tokens.ids)
            sequences.append(TokenSequence(tokens.ids[:end], 0, tuple(reads), tuple(asks)))
    if not occurrences:
        reason = f" The first: {losses[0]['reason']}." if losses else ""
        raise AlignmentError(f"none of the {len(words)} words could be aligned.{reason}")
    return CapturePlan(
        sequences=tuple(sequences),
        occurrences=pd.DataFrame(occurrences),
        queries=pd.DataFrame(queries),
        losses=tabulate_losses(losses),
        pairs=pd.DataFrame(columns=["pair_id", "head", "m1", "m2"]),
        templates=pd.DataFrame(columns=["template_id", "text"]),
        settings={"take": take, "site": "decoder" if causal else "encoder"},
    )
