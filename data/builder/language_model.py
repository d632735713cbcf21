"""Word and bigram probabilities of the CMU Sphinx language model of US English."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median

UNIT = math.log10(1.0001)  # the model's integers are logarithms to the base 1.0001
TWICE = math.log10(2) / UNIT
UNKNOWN = -100_000_000  # below every known word's log-probability


class LanguageModel:
    """The n-gram model in an unpacked pocketsphinx wheel.

    Parameters
    ----------
    folder
        The unpacked wheel; it is put on the import path, as the model is read by pocketsphinx.
    probes
        Rare nouns, used to distinguish a bigram that the model lists from one that it backs off to.
    """

    def __init__(self, folder: Path, probes: Sequence[str]):
        sys.path.insert(0, str(folder))
        from pocketsphinx import LogMath, NGramModel

        self._math = LogMath()  # must outlive the model
        model = folder / "pocketsphinx/model/en-us/en-us.lm.bin"
        self._model = NGramModel.readfile(str(model))
        self._probes = [word for word in probes if self.knows(word)]
        self.measure_word = cache(self._measure_word)
        self._measure_backoff = cache(self._find_backoff)

    def knows(self, word: str) -> bool:
        """Tell whether `word` is in the model's vocabulary."""
        return self._model.prob([word]) > UNKNOWN

    def z(self, word: str) -> float:
        """Return log10 of occurrences per thousand million words (Zipf scale), 0 if unknown."""
        return round(self.measure_word(word) * UNIT + 9, 2) if self.knows(word) else 0.0

    def information(self, modifier: str, head: str) -> float:
        """Return a bigram's pointwise mutual information, log10 P(head | modifier) / P(head)."""
        return self._gain(modifier, head) * UNIT

    def z_bigram(self, modifier: str, head: str) -> float:
        """Return log10 of the bigram's occurrences per thousand million words."""
        total = self.measure_word(modifier) + self._model.prob([head, modifier])
        return total * UNIT + 9

    def lists(self, modifier: str, head: str) -> bool:
        """Tell whether the bigram itself is in the model, rather than a value backed off to.

        A value backed off to is P(head) times a constant of the modifier; that constant is the
        median over rare nouns, few of which can follow any one modifier.
        """
        return abs(self._gain(modifier, head) - self._measure_backoff(modifier)) * UNIT > 0.01

    def find_modifiers(self, head: str, modifiers: Sequence[str], least: float) -> list[str]:
        """Return the modifiers whose listed bigram with `head` has at least `least` information."""
        prob, threshold = self._model.prob, self.measure_word(head) + least / UNIT
        near = [word for word in modifiers if prob([head, word]) >= threshold and word != head]
        return [word for word in near if self.lists(word, head)]

    def find_preceding(self, modifier: str, words: Sequence[str]) -> list[str]:
        """Return those of `words` that the model lists before `modifier`, and often."""
        return self.find_modifiers(modifier, words, least=0.5)

    def share_in_phrases(self, modifier: str, head: str, preceding: Sequence[str]) -> float:
        """Return how much of "modifier head" is in longer phrases ("last ditch attempt").

        A word before counts only if it at least doubles the head's probability. The share is a
        model's estimate and may pass 1.
        """
        bigram = self.measure_word(modifier) + self._model.prob([head, modifier])
        share = 0.0
        for word in preceding:
            longer = self._model.prob([head, modifier, word])
            if longer - self._model.prob([head, modifier]) > TWICE:
                phrase = self.measure_word(word) + self._model.prob([modifier, word]) + longer
                share += 10 ** ((phrase - bigram) * UNIT)
        return share

    def _gain(self, modifier: str, head: str) -> int:
        return self._model.prob([head, modifier]) - self.measure_word(head)

    def _measure_word(self, word: str) -> int:
        return int(self._model.prob([word]))

    def _find_backoff(self, modifier: str) -> float:
        return median(self._gain(modifier, probe) for probe in self._probes)
