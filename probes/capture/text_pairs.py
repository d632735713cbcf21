"""Pairs of tokens in windows of running text: which count, and with which others they compare.

Two tokens of one window are a pair. Its *stratum*, the class in which its similarity is ranked, is
made of the distance between the two, how frequent each token is in the text, and where in the
window they are. No model is needed to say so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from probes.capture.strata import FEWEST_IN_STRATUM
from probes.capture.text_windows import SHORTEST, Window
from probes.errors import TableError, UsageError
from probes.words.align import Tokens, tokenise
from probes.words.lexicon import load_lexicon
from probes.words.texts import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TokenPopulation = Literal["all tokens", "content words"]
POPULATIONS: tuple[TokenPopulation, ...] = ("all tokens", "content words")

DISTANCES = (1, 2, 4, 8, 16, 32, 64)
"""The last distance of each class; farther ones are a class of their own."""

FREQUENCIES, PLACES = 3, 3
"""Into how many classes the frequencies of tokens, and the places in a window, are parted."""

CONTENT = frozenset("nvar")
ENDINGS = (
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ed", ""),
    ("d", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ly", ""),
)
"""What may be removed from a word, and put in its place, to find it in the lexicon."""


@dataclass(frozen=True)
class TokenPairs:
    """The pairs of one window that count, for one population of tokens.

    Attributes
    ----------
    token
        Which tokens of the window belong to the population: these may be attended to.
    left, right
        The places of each pair's tokens in the window, the earlier one on the left.
    stratum
        The number of each pair's class; pairs of classes that are too small are left out.
    """

    token: Bool[Tensor, " token"]
    left: Int[Tensor, " pair"]
    right: Int[Tensor, " pair"]
    stratum: Int[Tensor, " pair"]


@dataclass(frozen=True)
class MarkedWindow:
    """One window with the pairs of every population."""

    window: Window
    pairs: dict[TokenPopulation, TokenPairs]


@dataclass(frozen=True)
class MarkedDocument:
    """The first windows of one document: the unit of every interval."""

    name: str
    windows: tuple[MarkedWindow, ...]


def mark_documents(
    tokenizer: PreTrainedTokenizerFast,
    documents: Sequence[Document],
    *,
    length: int,
    windows: int = 1,
    repeats: bool = False,
) -> list[MarkedDocument]:
    """Cut the beginning of each document into windows, and find the pairs of tokens in them.

    Never in a pair: special tokens, the first token of a window, tokens without a letter or digit,
    and two places of one token type (the same letters, whatever their case and the space before).
    *Content words* are the first tokens of words that the shipped lexicon has as nouns, verbs,
    adjectives or adverbs, with or without an ending.

    Parameters
    ----------
    documents
        In any order; the frequency of a token is how often it comes in all of them.
    length
        Tokens a window, special ones included.
    windows
        How many windows a document gives at most.
    repeats
        Count pairs of one token type too.

    Raises
    ------
    TableError
        If no document has a window.
    UsageError
        If `length` or `windows` is too small.
    """
    if length < SHORTEST or windows < 1:
        raise UsageError(
            f"windows of {length} tokens, {windows} a document, were asked for; give at least 1 "
            f"of at least {SHORTEST}."
        )
    texts = tokenise(tokenizer, [document.text for document in documents])
    plain = [np.flatnonzero(~np.array(tokens.special, dtype=bool)) for tokens in texts]
    types = [_name_types(tokens, places) for tokens, places in zip(texts, plain, strict=True)]
    marker = _Marker(Counter(name for names in types for name in names), repeats=repeats)
    probe = tokenise(tokenizer, ["a"])[0]
    before = probe.ids[: probe.special.index(False) if False in probe.special else len(probe.ids)]
    lexicon = load_lexicon()
    known = set(lexicon["word"][lexicon["pos"].isin(CONTENT)])
    marked = []
    for document, tokens, places, names in zip(documents, texts, plain, types, strict=True):
        content = np.array(list(_find_content(tokens, places, known)), dtype=bool)
        room = length - len(before)
        found = []
        for start in range(0, min(len(places), windows * room), room):
            part = slice(start, start + room)
            ids = (*before, *(tokens.ids[place] for place in places[part]))
            if len(ids) >= SHORTEST:
                window = Window(ids, max(1, len(before)), start)
                found.append(marker.mark(window, len(before), names[part], content[part]))
        if found:
            marked.append(MarkedDocument(document.name, tuple(found)))
    if not marked:
        raise TableError(f"no document has a window of {SHORTEST} tokens. Give longer text.")
    return marked


class _Marker:
    """Finds the pairs of a window, given how often every token type comes."""

    def __init__(self, counts: Counter[str], *, repeats: bool) -> None:
        self.repeats = repeats
        self.number = {name: number for number, name in enumerate(counts)}
        occurrences = np.sort(np.repeat(list(counts.values()), list(counts.values())))
        marks = [len(occurrences) * part // FREQUENCIES for part in range(1, FREQUENCIES)]
        edges = occurrences[marks]
        self.frequency = {
            name: int(np.searchsorted(edges, count, side="right")) for name, count in counts.items()
        }

    def mark(
        self, window: Window, n_special: int, names: Sequence[str], content: Bool[np.ndarray, " t"]
    ) -> MarkedWindow:
        """Find the pairs of every population."""
        blank = np.zeros(n_special, dtype=np.int64)
        kind = np.concatenate([blank, [self.number[name] for name in names]])
        frequency = np.concatenate([blank, [self.frequency[name] for name in names]])
        counted = np.concatenate([blank > 0, [any(map(str.isalnum, name)) for name in names]])
        counted[: window.first] = False
        both = np.concatenate([blank > 0, content])
        masks = (counted, counted & both)
        return MarkedWindow(
            window,
            {
                population: self._pair(mask, kind, frequency)
                for population, mask in zip(POPULATIONS, masks, strict=True)
            },
        )

    def _pair(
        self,
        counted: Bool[np.ndarray, " token"],
        kind: Int[np.ndarray, " token"],
        frequency: Int[np.ndarray, " token"],
    ) -> TokenPairs:
        first, second = np.triu_indices(len(counted), 1)
        chosen = counted[first] & counted[second]
        if not self.repeats:
            chosen &= kind[first] != kind[second]
        left, right = first[chosen], second[chosen]
        rarer = np.minimum(frequency[left], frequency[right])
        commoner = np.maximum(frequency[left], frequency[right])
        stratum = cross_classes(
            [
                np.searchsorted(DISTANCES, right - left),
                rarer * FREQUENCIES + commoner,
                left * PLACES // len(counted),
            ]
        )
        kept = stratum >= 0
        return TokenPairs(
            torch.from_numpy(counted),
            *(torch.from_numpy(part[kept]) for part in (left, right, stratum)),
        )


def cross_classes(
    classes: Sequence[Int[np.ndarray, " pair"]], *, fewest: int = FEWEST_IN_STRATUM
) -> Int[np.ndarray, " pair"]:
    """Cross several classes into strata of at least `fewest` pairs.

    Pairs whose stratum is too small join those of the same classes but the last, then but the last
    two, and so on: what must be alike above all comes first. A pair is in one stratum only.

    Parameters
    ----------
    classes
        Numbers from 0, for every pair.

    Returns
    -------
    Numbers from 0; -1 for pairs that are too few even together.

    Raises
    ------
    UsageError
        If there are no classes.
    """
    if not classes:
        raise UsageError("There are no classes to make strata of; give one or more.")
    strata = np.full(len(classes[0]), -1, dtype=np.int64)
    following = 0
    for kept in range(len(classes), -1, -1):
        rest = np.flatnonzero(strata < 0)
        if not len(rest):
            break
        code = np.zeros(len(rest), dtype=np.int64)
        for part in classes[:kept]:
            code = code * (int(part.max()) + 1) + part[rest]
        _, number, count = np.unique(code, return_inverse=True, return_counts=True)
        large = count >= fewest
        strata[rest] = np.where(large, large.cumsum() - 1 + following, -1)[number]
        following += int(large.sum())
    return strata


def _name_types(tokens: Tokens, places: Int[np.ndarray, " plain"]) -> list[str]:
    """Name each token by its letters, without case and the space around them."""
    spans = (tokens.offsets[place] for place in places)
    return [tokens.text[start:end].strip().lower() for start, end in spans]


def _find_content(
    tokens: Tokens, places: Int[np.ndarray, " plain"], known: Set[str]
) -> Iterator[bool]:
    """Say of each token whether it is the first of a content word."""
    words = {match.start(): match[0].lower() for match in re.finditer(r"[^\W\d_]+", tokens.text)}
    for place in places:
        start, end = tokens.offsets[place]
        space = len(tokens.text[start:end]) - len(tokens.text[start:end].lstrip())
        word = words.get(start + space, "")
        yield word in known or any(
            word.endswith(ending) and word[: -len(ending)] + instead in known
            for ending, instead in ENDINGS
        )
