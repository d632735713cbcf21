"""Where pairs and their controls are among random pairs, and resamples of the words of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from analyses.relations.related import RelatedPairs
from analyses.shared.word_pairs import Similarities, compare_words, percentile_among
from probes.capture.located import LocatedPairs
from probes.stats.estimates import Estimate, PairBootstrap

SIDES = ("related", "control")
Place = tuple[str, str]
"""(space, condition)."""


@dataclass(frozen=True)
class RankedPairs:
    """Percentiles among random pairs of the same kind, [layer, head, pair], of pairs and controls.

    ``related`` and ``control`` go row by row with one table of pairs.
    """

    related: Similarities
    control: Similarities

    def __getitem__(self, side: str) -> Similarities:
        return self.related if side == "related" else self.control

    @classmethod
    def join(cls, parts: Sequence[RankedPairs]) -> RankedPairs:
        """Put the pairs of several captures behind each other."""
        return cls(
            *(
                Similarities(
                    torch.cat([part[side].keys for part in parts], dim=-1),
                    torch.cat([part[side].values for part in parts], dim=-1),
                )
                for side in SIDES
            )
        )


def rank_pairs(
    found: RelatedPairs, *, seed: int, on_layer: Callable[[int], None]
) -> dict[Place, RankedPairs]:
    """Compare the pairs of one capture, and rank each among the random pairs of its stratum."""
    lists = [found.related, found.control, *found.references.values()]
    compared = compare_words(found.store, LocatedPairs.join(lists), seed=seed, on_layer=on_layer)
    parts = [slice(*ends) for ends in pairwise(np.cumsum([0, *map(len, lists)]).tolist())]
    ranked = {}
    for place, similarities in compared.items():
        related, control, *others = (similarities.cut(part) for part in parts)
        references = dict(zip(found.references, others, strict=True))
        ranked[place] = RankedPairs(
            _rank_by_stratum(related, references, found.stratum),
            _rank_by_stratum(control, references, found.stratum),
        )
    return ranked


def _rank_by_stratum(
    pairs: Similarities, references: dict[str, Similarities], stratum: NDArray[np.object_]
) -> Similarities:
    sides = {"keys": pairs.keys, "values": pairs.values}
    ranked = {name: torch.full_like(side, torch.nan) for name, side in sides.items()}
    for kind, reference in references.items():
        mine = torch.from_numpy(np.flatnonzero(stratum == kind))
        for part, out in ranked.items():
            own = getattr(pairs, part)[..., mine]
            out[..., mine] = percentile_among(getattr(reference, part), own)
    return Similarities(**ranked)


@dataclass(frozen=True)
class SideBootstrap:
    """The same resamples of the words for pairs and controls; see `PairBootstrap`.

    Attributes
    ----------
    weights
        Side -> weights [resample, pair] by words and by pairs.
    """

    weights: dict[str, tuple[Tensor, Tensor]]

    @classmethod
    def draw(cls, table: pd.DataFrame, *, resamples: int, seed: int) -> SideBootstrap:
        """Draw resamples of the words of all relations and controls together."""
        words = table[["w1", "w2", "control"]].to_numpy(dtype=object).T
        numbers = torch.from_numpy(pd.factorize(words.ravel(), sort=True)[0])
        w1, w2, control = numbers.reshape(words.shape)
        # Pairs and controls are resampled as pairs of their own: what a word gives to both is in
        # the resamples of words.
        drawn = PairBootstrap.draw(
            torch.cat([w1, w1]), torch.cat([w2, control]), resamples=resamples, seed=seed
        )
        by_side = zip(
            SIDES, drawn.word_weights.chunk(2, 1), drawn.own_weights.chunk(2, 1), strict=True
        )
        return cls({side: (by_word, by_pair) for side, by_word, by_pair in by_side})

    def estimate(
        self,
        side: str,
        rows: slice,
        top: Float[Tensor, "*head pair"],
        bottom: Float[Tensor, " pair"] | None = None,
    ) -> Estimate:
        """Estimate the mean of `top` over some rows, or its sum over that of `bottom`.

        It is NaN in a resample that has nothing to divide by.
        """

        def measure(weights: Tensor) -> Tensor:
            flat = top[..., rows].reshape(-1, rows.stop - rows.start)
            sums = (weights[:, rows] @ flat.T).double()
            total = weights[:, rows] if bottom is None else weights[:, rows] * bottom[rows]
            mean = sums / total.sum(1, keepdim=True).double()
            return mean.reshape(-1, *top.shape[:-1])

        by_word, by_pair = self.weights[side]
        return Estimate(
            measure(torch.ones_like(by_word[:1]))[0], measure(by_word), measure(by_pair)
        )
