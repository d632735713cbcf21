"""What to run and what to keep: pairs and templates -> distinct token sequences and read-outs.

In a causal model a word's key and value depend on nothing to its right. So a modifier occurrence is
identified by its tokens and those before it, captured once however many compounds share it, and
every sequence ends at its last word of interest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Int

from probes.errors import AlignmentError, UsageError
from probes.words.align import Tokens, TokenSpan, align, tokenise
from probes.words.templates import Sentence, fill_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Take = Literal["last", "mean"]

TOKENISED = 4096
"""Sentences that are tokenised together."""

LOSS = ("template_id", "modifier", "head", "sentence", "reason")
"""What is said of a sentence that could not be aligned."""


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One forward pass: the ids to run and where in them to read."""

    ids: tuple[int, ...]
    prefix_length: int
    """How many leading tokens hold nothing to read, so that sequences can share them."""
    occurrences: tuple[tuple[int, TokenSpan], ...]
    """(occurrence, its tokens) whose key, value and x are read here."""
    queries: tuple[tuple[int, int, int], ...]
    """(query, position of the attending token, position of the attended token)."""
    target: tuple[int, ...] = ()
    """With an encoder-decoder, what the decoder is given; `ids` go to the encoder. At the decoder's
    self-attention all positions count in the target; at cross-attention only the attending ones."""


@dataclass(frozen=True)
class CapturePlan:
    """Everything a capture does, independent of device and batch size.

    ``occurrences`` has a row per distinct word occurrence, ``queries`` one per attending head word
    (compound x template) with the ``occurrence`` of its modifier, ``losses`` one per compound and
    template that could not be aligned, with the reason.
    """

    sequences: tuple[TokenSequence, ...]
    occurrences: pd.DataFrame
    queries: pd.DataFrame
    losses: pd.DataFrame
    pairs: pd.DataFrame
    templates: pd.DataFrame
    settings: dict[str, Any]


class Rows:
    """Rows of a table, kept by column: as dictionaries a million of them need a GiB more."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; all have the same columns."""
        for name, value in row.items():
            self._columns.setdefault(name, []).append(value)
        self._count += 1

    def tabulate(self) -> pd.DataFrame:
        """Return the table."""
        return pd.DataFrame(self._columns)


def plan_capture(
    tokenizer: PreTrainedTokenizerFast,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    causal: bool = True,
    take: Take = "last",
    prefix: str = "",
) -> CapturePlan:
    """Lay out the capture of every modifier and head of `pairs` in every template.

    Parameters
    ----------
    tokenizer
        A fast tokenizer.
    pairs
        With the columns ``head``, ``m1``, ``m2``.
    templates
        With the columns ``template_id``, ``text``.
    causal
        Whether a word's key can only depend on what precedes it.
    take
        Which token stands for a word of several pieces: its ``last``, or the ``mean`` of all.
    prefix
        What the model wants before every sentence, such as T5's "translate English to German: ".

    Raises
    ------
    AlignmentError
        If no compound at all can be aligned; single losses are reported in the plan.
    UsageError
        If `take` is unknown.
    """
    aligned, losses = align_sentences(tokenizer, pairs, templates, prefix=prefix)
    return lay_out_capture(
        tokenizer, aligned, losses, pairs=pairs, templates=templates, causal=causal, take=take
    )


def lay_out_capture(
    tokenizer: PreTrainedTokenizerFast,
    aligned: list[AlignedSentence],
    losses: Sequence[dict[str, str]],
    *,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    causal: bool,
    take: Take,
) -> CapturePlan:
    """Order aligned sentences, and number what each is to read.

    Raises
    ------
    UsageError
        If `take` is unknown.
    """
    require_take(take)
    # Sequences that share a prefix are together, the shortest first, so that a batch needs one
    # prefix and hardly any padding. The order decides the row numbers, never a batch size.
    aligned = sorted(aligned, key=lambda item: _order(item, causal=causal))
    sequences, occurrences, queries = _lay_out(tokenizer, aligned, causal=causal, take=take)
    return CapturePlan(
        sequences=tuple(sequences),
        occurrences=occurrences.tabulate(),
        queries=queries.tabulate(),
        losses=tabulate_losses(losses),
        pairs=pairs,
        templates=templates,
        settings={"take": take, "site": "decoder" if causal else "encoder"},
    )


@dataclass(frozen=True, slots=True)
class AlignedSentence:
    """A filled template, the ids of its tokens, and where among them the two words are."""

    sentence: Sentence
    ids: tuple[int, ...]
    modifier: TokenSpan
    head: TokenSpan


def align_sentences(
    tokenizer: PreTrainedTokenizerFast,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    prefix: str = "",
) -> tuple[list[AlignedSentence], list[dict[str, str]]]:
    """Fill every template with every compound of `pairs` and find the words among the tokens.

    Returns
    -------
    aligned, losses
        What was found, and the rest: ``template_id, modifier, head, sentence, reason``.

    Raises
    ------
    AlignmentError
        If no compound at all can be aligned.
    """
    compounds = sorted(
        {
            (head, m)
            for side in ("m1", "m2")
            for head, m in zip(pairs["head"], pairs[side], strict=True)
        }
    )
    sentences = [
        fill_template(text, modifier, head, template_id).after(prefix)
        for template_id, text in zip(templates["template_id"], templates["text"], strict=True)
        for head, modifier in compounds
    ]
    return align_filled(tokenizer, sentences)


def align_filled(
    tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sentence]
) -> tuple[list[AlignedSentence], list[dict[str, str]]]:
    """Find the words of filled templates among the tokens; see `align_sentences`."""
    if not sentences:
        raise AlignmentError("there is no sentence to align. Give words, and templates for them.")
    aligned: list[AlignedSentence] = []
    losses: list[dict[str, str]] = []
    known: dict[Any, Sentence] = {}
    shared: dict[int, int] = {}  # one object for every id, however many sentences hold it
    for sentence, tokens in _tokenise_in_turn(tokenizer, sentences):
        try:
            modifier_tokens = align(tokens, sentence.modifier_span)
            head_tokens = align(tokens, sentence.head_span)
            ids = tuple(shared.setdefault(token, token) for token in tokens.ids)
            first = known.setdefault((sentence.template_id, ids), sentence)
            refuse_one_form((first.modifier, first.head), (sentence.modifier, sentence.head))
        except AlignmentError as error:
            losses.append(describe_loss(sentence, str(error)))
        else:
            aligned.append(AlignedSentence(sentence, ids, modifier_tokens, head_tokens))
    if not aligned:
        reason = f" The first: {losses[0]['reason']}." if losses else ""
        raise AlignmentError(
            f"none of the {len(sentences)} sentences could be aligned with its tokens.{reason}"
        )
    return aligned, losses


def _tokenise_in_turn(
    tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sentence]
) -> Iterator[tuple[Sentence, Tokens]]:
    """Tokenise some sentences at a time: offsets of a million need more memory than all else."""
    for start in range(0, len(sentences), TOKENISED):
        some = sentences[start : start + TOKENISED]
        yield from zip(some, tokenise(tokenizer, [one.text for one in some]), strict=True)


def refuse_one_form(known: Sequence[str], words: Sequence[str]) -> None:
    """Raise an AlignmentError if words with the same token ids are not the same words."""
    for first, word in zip(known, words, strict=True):
        if first != word:
            raise AlignmentError(f"{first!r} and {word!r} have the same token ids")


def tabulate_losses(losses: Sequence[dict[str, str]]) -> pd.DataFrame:
    """Return the table of what could not be aligned."""
    return pd.DataFrame(losses, columns=list(LOSS))


def require_take(take: str) -> None:
    """Raise a UsageError unless it is known which token stands for a word."""
    if take not in get_args(Take):
        raise UsageError(f"take must be 'last' or 'mean', not {take!r}")


def describe_loss(sentence: Sentence, reason: str) -> dict[str, str]:
    """Return a row of the losses."""
    told = (sentence.template_id, sentence.modifier, sentence.head, sentence.text, reason)
    return dict(zip(LOSS, told, strict=True))


def describe_occurrence(
    tokenizer: PreTrainedTokenizerFast,
    item: AlignedSentence,
    number: int,
    word: TokenSpan,
    ids: Sequence[int],
    take: Take,
) -> dict[str, Any]:
    """Return a row of the occurrences: the modifier of a sentence, whose tokens are among `ids`."""
    sentence, pieces = item.sentence, list(ids[word.first : word.last + 1])
    return {
        "occurrence": number,
        "word": sentence.modifier,
        "template_id": sentence.template_id,
        "head": sentence.head,
        "start": sentence.modifier_span[0],
        "end": sentence.modifier_span[1],
        "first_token": word.first,
        "last_token": word.last,
        "token_ids": pieces,
        "pieces": tokenizer.convert_ids_to_tokens(pieces),
        "taken": take,
        "sentence": sentence.text,
        "sentence_hash": hash_ids(item.ids),
    }


def describe_query(
    item: AlignedSentence, number: int, occurrence: int, *, position: int, distance: int
) -> dict[str, Any]:
    """Return a row of the queries: what attends to the modifier of a sentence, and from where."""
    sentence = item.sentence
    return {
        "query": number,
        "template_id": sentence.template_id,
        "modifier": sentence.modifier,
        "head": sentence.head,
        "occurrence": occurrence,
        "position": position,
        "distance": distance,
        "head_tokens": item.head.last - item.head.first + 1,
        "sentence": sentence.text,
        "sentence_hash": hash_ids(item.ids),
    }


def locate_pairs(
    pairs: pd.DataFrame, queries: pd.DataFrame, template_ids: Sequence[str]
) -> tuple[Int[np.ndarray, "pair template"], Int[np.ndarray, "pair template"]]:
    """Find each pair's two modifier occurrences in each template.

    Returns
    -------
    left, right
        Occurrence rows, -1 where a word was lost.
    """
    table = {
        (row.template_id, row.head, row.modifier): row.occurrence for row in queries.itertuples()
    }
    return tuple(  # type: ignore[return-value]
        np.array(
            [
                [table.get((template, head, word), -1) for template in template_ids]
                for head, word in zip(pairs["head"], pairs[side], strict=True)
            ],
            dtype=np.int64,
        )
        for side in ("m1", "m2")
    )


def _order(item: AlignedSentence, *, causal: bool) -> tuple[Any, ...]:
    ids, sentence = item.ids, item.sentence
    prefix = ids[: item.modifier.first] if causal else ()
    length = (item.head.last + 1 if causal else len(ids)) - len(prefix)
    return (sentence.template_id, prefix, length, sentence.modifier, sentence.head)


def _lay_out(
    tokenizer: PreTrainedTokenizerFast,
    aligned: Sequence[AlignedSentence],
    *,
    causal: bool,
    take: Take,
) -> tuple[list[TokenSequence], Rows, Rows]:
    """Give numbers to the distinct occurrences and queries; say which sequence reads which."""
    sequences: list[TokenSequence] = []
    occurrences, queries = Rows(), Rows()
    known: dict[tuple[tuple[int, ...], int, int], int] = {}
    for item in aligned:
        sentence, modifier, head = item.sentence, item.modifier, item.head
        ids = item.ids[: head.last + 1] if causal else item.ids
        seen_by_word = ids[: modifier.last + 1] if causal else ids
        identity = (seen_by_word, modifier.first, modifier.last)
        reads: tuple[tuple[int, TokenSpan], ...] = ()
        if identity not in known:
            known[identity] = len(occurrences)
            reads = ((known[identity], modifier),)
            row = describe_occurrence(tokenizer, item, known[identity], modifier, ids, take)
            if causal:  # it serves every head that follows
                seen = {"head": None, "sentence": sentence.text[: sentence.modifier_span[1]]}
                row |= seen | {"sentence_hash": hash_ids(seen_by_word)}
            occurrences.append(row)
        number, distance = len(queries), head.last - modifier.last
        queries.append(
            describe_query(item, number, known[identity], position=head.last, distance=distance)
        )
        sequences.append(
            TokenSequence(
                ids=ids,
                prefix_length=modifier.first if causal else 0,
                occurrences=reads,
                queries=((number, head.last, modifier.last),),
            )
        )
    return sequences, occurrences, queries


def hash_ids(ids: tuple[int, ...]) -> str:
    """Return a short hash of token ids, which names a sentence in the tables."""
    return hashlib.sha256(np.asarray(ids, dtype="<i8").tobytes()).hexdigest()[:16]
