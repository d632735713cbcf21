"""From aligned sentences to sequences and tables: words of one sentence, and what attends to them.

The tables of every source of contexts (coordinations, a user's sentences) are the same:

- ``occurrences``: ``occurrence, word, template_id, group, slot, context, first_token, last_token,
  token_ids, pieces, sentence`` and more. ``group`` names what is centred together. Tokens that are
  read only because a random head is to attend to the whole context have no word, and slot -1.
- ``queries``: ``query, template_id, modifier, head, occurrence, context, position, distance,
  sentence`` and more; a row for each attending token and word that it attends to.
- ``pairs``: a row for each *event*, two words that one token attends to: ``context, template_id,
  head, left_word, right_word, left, right`` (occurrences), ``left_query, right_query`` (queries),
  ``context_rows`` (the occurrence of every token of the context, in order, where it was chosen to
  be read whole; else empty) and what the source knows.

In a causal model a word is known by its tokens and those before it, so what two contexts share is
read once; in one that sees both ways every sentence has occurrences of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probes.capture.plan import Take, TokenSequence, hash_ids
from probes.words.align import Tokens, TokenSpan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FEWEST_SHARING = 16
"""A prefix runs by itself only where this many contexts share it: each needs batches of its own."""

WHOLE_CONTEXTS = 512
"""How many contexts are read token by token, unless told."""


@dataclass(frozen=True)
class MarkedWord:
    """A word of a context that may be attended to.

    ``characters`` are its (start, end) in the text; ``about`` are further columns of its
    occurrence, of which those named like one of the table's own are not kept.
    """

    word: str
    characters: tuple[int, int]
    tokens: TokenSpan
    slot: int
    group: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What attends in a context, and to which of its marked words, by their places there."""

    head: str
    tokens: TokenSpan
    words: tuple[int, ...]


@dataclass(frozen=True)
class Context:
    """One sentence with its tokens, its marked words in their order, and what attends to them.

    ``about`` are further columns of its events.
    """

    tokens: Tokens
    template_id: str
    words: tuple[MarkedWord, ...]
    questions: tuple[Question, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def ids(self, *, causal: bool) -> tuple[int, ...]:
        """Return what is run: a causal model needs nothing behind the last query."""
        if not causal:
            return self.tokens.ids
        return self.tokens.ids[: 1 + max(question.tokens.last for question in self.questions)]


@dataclass(frozen=True)
class Layout:
    """The sequences of a capture, and its tables."""

    sequences: tuple[TokenSequence, ...]
    occurrences: pd.DataFrame
    queries: pd.DataFrame
    pairs: pd.DataFrame


def lay_out_contexts(
    tokenizer: PreTrainedTokenizerFast,
    contexts: Sequence[Context],
    *,
    causal: bool,
    take: Take,
    whole_contexts: int,
    seed: int,
) -> Layout:
    """Order contexts so that batches share prefixes, and number what each is to read.

    Parameters
    ----------
    whole_contexts
        How many contexts, drawn with `seed`, are read at every token.
    """
    random = np.random.default_rng(seed)
    n_whole = min(whole_contexts, len(contexts))
    whole = set(random.choice(len(contexts), size=n_whole, replace=False).tolist())
    prefixes = _find_shared_prefixes(contexts) if causal else [()] * len(contexts)
    order = sorted(
        range(len(contexts)),
        # What is read whole comes first, so that one context alone has to read the prefix.
        key=lambda number: (
            prefixes[number],
            number not in whole,
            len(contexts[number].ids(causal=causal)),
            contexts[number].template_id,
            contexts[number].tokens.text,
        ),
    )
    writing = _Writing(tokenizer, causal=causal, take=take)
    for number in order:
        writing.add(contexts[number], len(prefixes[number]), is_whole=number in whole)
    return writing.finish()


class _Writing:
    """Tables that grow context by context."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, causal: bool, take: Take) -> None:
        self.tokenizer, self.causal, self.take = tokenizer, causal, take
        self.sequences: list[TokenSequence] = []
        self.occurrences: list[dict[str, Any]] = []
        self.queries: list[dict[str, Any]] = []
        self.pairs: list[dict[str, Any]] = []
        self._known: dict[tuple[bool, tuple[int, ...], int, int], int] = {}

    def add(self, context: Context, prefix_length: int, *, is_whole: bool) -> None:
        """Lay out one context."""
        ids, number = context.ids(causal=self.causal), len(self.sequences)
        reads: list[tuple[int, TokenSpan]] = []
        words = [self._read(context, ids, word, reads) for word in context.words]
        tokens = self._read_tokens(context, ids, reads) if is_whole else []
        asks: list[tuple[int, int, int]] = []
        for question in context.questions:
            queries = {}
            for place in question.words:
                word, position = context.words[place], question.tokens.last
                queries[place] = len(self.queries)
                asks.append((len(self.queries), position, word.tokens.last))
                self.queries.append(
                    {
                        "query": len(self.queries),
                        "template_id": context.template_id,
                        "modifier": word.word,
                        "head": question.head,
                        "occurrence": words[place],
                        "context": number,
                        "position": position,
                        "distance": position - word.tokens.last,
                        "head_tokens": position - question.tokens.first + 1,
                        "sentence": context.tokens.text,
                        "sentence_hash": hash_ids(context.tokens.ids),
                    }
                )
            for left, right in combinations(question.words, 2):
                self.pairs.append(
                    {
                        **context.about,
                        "context": number,
                        "template_id": context.template_id,
                        "head": question.head,
                        "left_word": context.words[left].word,
                        "right_word": context.words[right].word,
                        "left": words[left],
                        "right": words[right],
                        "left_query": queries[left],
                        "right_query": queries[right],
                        "context_rows": tokens,
                    }
                )
        first_read = min((span.first for _, span in reads), default=prefix_length)
        self.sequences.append(
            TokenSequence(ids, min(prefix_length, first_read), tuple(reads), tuple(asks))
        )

    def finish(self) -> Layout:
        """Return all that was laid out."""
        return Layout(
            tuple(self.sequences),
            pd.DataFrame(self.occurrences),
            pd.DataFrame(self.queries),
            pd.DataFrame(self.pairs),
        )

    def _read_tokens(
        self, context: Context, ids: tuple[int, ...], reads: list[tuple[int, TokenSpan]]
    ) -> list[int]:
        """Read every token of a context; one that is a word of its own is read already."""
        rows = []
        for position in range(len(ids)):
            span = TokenSpan(position, position)
            known = self._known.get((True, self._seen(ids, span), position, position))
            if known is None:
                token = MarkedWord(
                    word="",
                    characters=context.tokens.offsets[position],
                    tokens=span,
                    slot=-1,
                    group=f"{context.template_id}/context",
                )
                known = self._read(context, ids, token, reads)
            rows.append(known)
        return rows

    def _read(
        self,
        context: Context,
        ids: tuple[int, ...],
        word: MarkedWord,
        reads: list[tuple[int, TokenSpan]],
    ) -> int:
        """Return the occurrence of a word, which is read here unless it has been before."""
        span, seen = word.tokens, self._seen(ids, word.tokens)
        identity = (word.slot >= 0, seen, span.first, span.last)
        if identity in self._known:
            return self._known[identity]
        number = len(self.occurrences)
        self._known[identity] = number
        reads.append((number, span))
        pieces = list(ids[span.first : span.last + 1])
        text = context.tokens.text
        self.occurrences.append(
            {
                **word.about,
                "occurrence": number,
                "word": word.word,
                "template_id": context.template_id,
                "group": word.group,
                "slot": word.slot,
                "head": None if self.causal else context.questions[0].head,
                "context": len(self.sequences),
                "start": word.characters[0],
                "end": word.characters[1],
                "first_token": span.first,
                "last_token": span.last,
                "token_ids": pieces,
                "pieces": self.tokenizer.convert_ids_to_tokens(pieces),
                "taken": self.take,
                "sentence": text[: word.characters[1]] if self.causal else text,
                "sentence_hash": hash_ids(seen),
            }
        )
        return number

    def _seen(self, ids: tuple[int, ...], span: TokenSpan) -> tuple[int, ...]:
        """Return all that a word's key and value depend on."""
        return ids[: span.last + 1] if self.causal else ids


def _find_shared_prefixes(contexts: Sequence[Context]) -> list[tuple[int, ...]]:
    """Return what precedes the first word of each context, empty where too few share it."""
    prefixes = [
        context.tokens.ids[: min(word.tokens.first for word in context.words)]
        for context in contexts
    ]
    counts = Counter(prefixes)
    return [prefix if counts[prefix] >= FEWEST_SHARING else () for prefix in prefixes]
