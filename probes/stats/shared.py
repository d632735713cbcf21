"""The same resamples for several captures: figures that share words are compared word by word.

Two sites of a model, or two models, are measured on the same words; a difference between them is
far more certain than if each had words of its own. Here words are known by name, so that a word
counts equally often in every capture, under any number and whichever others were lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.stats.bootstrap import pair_weights
from probes.stats.estimates import PairBootstrap, draw_counts

Pair = tuple[str, str]


@dataclass(frozen=True)
class SharedResamples:
    """Resamples of words and of pairs of words, by name.

    Attributes
    ----------
    word_counts, pair_counts
        How often each comes up in every resample.
    words, pairs
        The column of each; a pair's words are in alphabetical order.
    """

    word_counts: Float[Tensor, "resample word"]
    pair_counts: Float[Tensor, "pair_resample pair"]
    words: dict[str, int]
    pairs: dict[Pair, int]

    @classmethod
    def draw(
        cls, pairs: Iterable[Pair], *, resamples: int, seed: int, words: Iterable[str] = ()
    ) -> SharedResamples:
        """Draw `resamples` resamples of all words and half as many of all pairs.

        Parameters
        ----------
        pairs
            All pairs of all captures, in any order; the same two words are one pair.
        resamples, seed
            The same seed and sets of pairs and words give the same resamples.
        words
            Words that are in no pair, but whose counts will be asked for.

        Raises
        ------
        UsageError
            If there are no pairs.
        """
        distinct = sorted({_in_order(pair) for pair in pairs})
        if not distinct:
            raise UsageError("There are no pairs to resample; give those of all captures.")
        names = sorted({word for pair in distinct for word in pair} | set(words))
        return cls(
            *draw_counts(len(names), len(distinct), resamples=resamples, seed=seed),
            words={word: column for column, word in enumerate(names)},
            pairs={pair: column for column, pair in enumerate(distinct)},
        )

    def count_words(self, words: Sequence[str]) -> Float[Tensor, "resample word"]:
        """Say how often each of these words comes up: weights for `resampled_r2`.

        Raises
        ------
        UsageError
            If a word was not among those drawn.
        """
        missing = [word for word in words if word not in self.words]
        if missing:
            raise UsageError(
                f"{len(missing)} of the {len(words)} words, such as {missing[0]!r}, were not "
                "drawn. Draw once, with the pairs and words of every capture."
            )
        return self.word_counts[:, torch.tensor([self.words[word] for word in words])]

    def bootstrap(self, left: Sequence[str], right: Sequence[str]) -> PairBootstrap:
        """Weigh one capture's pairs; estimates of two captures may then be subtracted.

        Parameters
        ----------
        left, right
            The two words of each of the capture's pairs.

        Raises
        ------
        UsageError
            If a pair was not among those drawn, or is a word with itself.
        """
        pairs = [_in_order(pair) for pair in zip(left, right, strict=True)]
        missing = [pair for pair in pairs if pair not in self.pairs]
        if missing:
            raise UsageError(
                f"{len(missing)} of the {len(pairs)} pairs, such as {' / '.join(missing[0])}, were "
                "not drawn. Draw once, with the pairs of every capture."
            )
        numbers = torch.tensor([[self.words[word] for word in pair] for pair in pairs])
        columns = torch.tensor([self.pairs[pair] for pair in pairs])
        return PairBootstrap(
            word_weights=pair_weights(self.word_counts, numbers[:, 0], numbers[:, 1]),
            own_weights=self.pair_counts.index_select(1, columns),
        )


def _in_order(pair: Pair) -> Pair:
    first, second = pair
    return (first, second) if first <= second else (second, first)
