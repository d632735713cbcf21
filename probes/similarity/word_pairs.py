"""A list of pairs as words: which occurrences stand for a word, and which two words make a pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from probes.stats.checks import require_same_shape


@dataclass(frozen=True)
class WordPairs:
    """The distinct words of a list of pairs, in every template, and the pairs as their numbers.

    A word is what is captured once: in a causal model a modifier, in a bidirectional one a modifier
    before one head noun, since it has seen the noun.
    """

    rows: Int[Tensor, "word template"]
    left_word: Int[Tensor, " pair"]
    right_word: Int[Tensor, " pair"]

    @classmethod
    def of(
        cls, left: Int[Tensor, "pair template"], right: Int[Tensor, "pair template"]
    ) -> WordPairs:
        """Give every distinct word a number: words that have the same occurrences are one.

        Parameters
        ----------
        left, right
            The rows of each pair's words (`locate_pairs`), all of them found.

        Raises
        ------
        UsageError
            If the two differ in shape.
        """
        require_same_shape("left", left, "right", right)
        rows, number = torch.unique(torch.cat([left, right]), dim=0, return_inverse=True)
        return cls(rows, number[: len(left)], number[len(left) :])

    @property
    def left(self) -> Int[Tensor, "pair template"]:
        """The rows of each pair's first word."""
        return self.rows[self.left_word]

    @property
    def right(self) -> Int[Tensor, "pair template"]:
        """The rows of each pair's second word."""
        return self.rows[self.right_word]

    def sample_rows(self, count: int, *, seed: int) -> Int[Tensor, "chosen template"]:
        """Return the rows of `count` words drawn at random (of all, if there are no more)."""
        n_words = len(self.rows)
        if n_words <= count:
            return self.rows
        chosen = np.random.default_rng(seed).choice(n_words, size=count, replace=False)
        chosen.sort()
        return self.rows[torch.from_numpy(chosen)]
