"""A translation whose rules are known: a dictionary, and words in the opposite order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from probes.errors import UsageError
from probes.tying.batch import Batch, seeded
from probes.tying.drawn import LANGUAGE, DrawnTask


@dataclass(frozen=True)
class Translation(DrawnTask):
    """Source sentences of `words` words; the target has their translations, last word first.

    The source language is a random bigram language (each word is followed by one of `followers`
    words); each of its words has one translation, and translations are drawn once, by `language`.
    Every target token is scored, the end included.

    Tokens: source words, then target words, then the token that begins a target, then its end.
    """

    unseen_size: ClassVar[int] = 128

    words: int = 16
    lexicon: int = 64
    followers: int = 16
    language: int = 0
    bytes_per_token: float = math.nan

    def __post_init__(self) -> None:
        if not (self.words >= 1 and 1 <= self.followers <= self.lexicon):
            raise UsageError(
                f"{self.words} words, {self.followers} followers, {self.lexicon} in the lexicon: "
                "give at least one word, and no more followers than words there are."
            )

    @property
    def vocabulary(self) -> int:
        """Source words, target words, begin, end."""
        return 2 * self.lexicon + 2

    @property
    def length(self) -> int:
        """Positions of a target, with its beginning."""
        return self.words + 1

    def _draw(self, size: int, generator: torch.Generator) -> Batch:
        rules = seeded(LANGUAGE, self.language)
        dictionary = torch.randperm(self.lexicon, generator=rules)
        followers = torch.rand(self.lexicon, self.lexicon, generator=rules).argsort(dim=1)
        choices = torch.randint(self.followers, (size, self.words), generator=generator)
        words = [torch.randint(self.lexicon, (size,), generator=generator)]
        for place in range(1, self.words):
            words.append(followers[words[-1], choices[:, place]])
        source = torch.stack(words, dim=1)
        translated = self.lexicon + dictionary[source].flip(1)
        begin = torch.full((size, 1), 2 * self.lexicon)
        return Batch(
            tokens=torch.cat([begin, translated], dim=1),
            targets=torch.cat([translated, begin + 1], dim=1),
            source=source,
        )
