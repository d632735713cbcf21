"""Running text as a stream of windows of token ids, and a number drawn for every token."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt64

from probes.words.align import tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHORTEST = 8
"""The end of a document is left out if it has fewer tokens."""


@dataclass(frozen=True)
class Window:
    """One row of tokens. `first` is the first that counts, `number` its place in the shard.

    Special tokens at the beginning do not count, nor does the first token where there are none:
    it attracts attention because it is the first, whatever it is.
    """

    ids: tuple[int, ...]
    first: int
    number: int

    @property
    def n_counted(self) -> int:
        """How many tokens count."""
        return len(self.ids) - self.first


def stream_windows(
    tokenizer: PreTrainedTokenizerFast, passages: Iterable[tuple[Hashable, str]], *, length: int
) -> Iterator[Window]:
    """Cut each document into windows of at most `length` tokens, its last one as long as it comes.

    Parameters
    ----------
    passages
        Pieces of documents in order, each with its document.
    """
    probe = tokenise(tokenizer, ["a"])[0]
    n_special = probe.special.index(False) if False in probe.special else len(probe.ids)
    before = probe.ids[:n_special]
    first, room, number = max(1, n_special), length - n_special, 0
    for _, pieces in groupby(passages, key=lambda passage: passage[0]):
        waiting: list[int] = []
        for _, text in pieces:
            tokens = tokenise(tokenizer, [text])[0]
            plain = zip(tokens.ids, tokens.special, strict=True)
            waiting += [token for token, special in plain if not special]
            while len(waiting) >= room:
                window = Window((*before, *waiting[:room]), first, number)
                del waiting[:room]
                yield window
                number += window.n_counted
        if n_special + len(waiting) >= SHORTEST:
            window = Window((*before, *waiting), first, number)
            yield window
            number += window.n_counted


def draw_numbers(
    shard: int, first: int, count: int, *, seed: int, purpose: int
) -> UInt64[np.ndarray, " token"]:
    """Draw a number for each of a shard's tokens, from its position and nothing else.

    Parameters
    ----------
    first, count
        The tokens' places within the shard.
    purpose
        Numbers of other purposes are independent.

    Notes
    -----
    Source: SplitMix64 (Steele, Lea & Flood 2014), its state hashed from seed, purpose and shard.
    """
    salt = _mix(np.array([(seed << 8) + purpose], dtype=np.uint64))
    stream = _mix(salt ^ np.array([shard], dtype=np.uint64))
    return _mix(stream + np.arange(first, first + count, dtype=np.uint64))


def _mix(numbers: UInt64[np.ndarray, " token"]) -> UInt64[np.ndarray, " token"]:
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
