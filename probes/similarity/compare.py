"""How alike the keys and the values of word pairs are, for all heads of a layer at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.similarity.measure import Takes
from probes.similarity.pairs import average_pairs, pair_cosines, pair_distances


@dataclass(frozen=True)
class PairComparison:
    """Cosines ``s_k``, ``s_v`` and distances ``d_k``, ``d_v`` of word pairs, means over templates.

    Each is [head, pair], or [layer, head, pair] once stacked.
    """

    s_k: Tensor
    s_v: Tensor
    d_k: Tensor
    d_v: Tensor

    @staticmethod
    def stack(layers: list[PairComparison]) -> PairComparison:
        """Put the layers in front."""
        names = ("s_k", "s_v", "d_k", "d_v")
        return PairComparison(*(torch.stack([getattr(c, n) for c in layers]) for n in names))

    def figures(self, takes: Takes) -> tuple[Tensor, Tensor]:
        """Return what a measure of pairs takes: the keys' figures and the values'."""
        if takes is Takes.PAIR_SIMILARITIES:
            return self.s_k, self.s_v
        return self.d_k, self.d_v

    def cut(self, pairs: slice | Bool[Tensor, " pair"]) -> PairComparison:
        """Keep a run of neighbouring pairs, or those of a mask."""
        sides = (self.s_k, self.s_v, self.d_k, self.d_v)
        return PairComparison(*(side[..., pairs] for side in sides))

    def mismatched(self) -> PairComparison | None:
        """Join each head's keys with the values of every other head of its layer.

        From [layer, head, pair] to [layer, head * (heads - 1), pair]; None where layers have only
        one kv head.
        """
        n_heads = self.s_k.shape[1]
        if n_heads < 2:
            return None
        shifts = range(1, n_heads)
        return PairComparison(
            s_k=torch.cat([self.s_k for _ in shifts], dim=1),
            s_v=torch.cat([self.s_v.roll(shift, dims=1) for shift in shifts], dim=1),
            d_k=torch.cat([self.d_k for _ in shifts], dim=1),
            d_v=torch.cat([self.d_v.roll(shift, dims=1) for shift in shifts], dim=1),
        )


def compare_pairs(
    keys: Float[Tensor, "head occurrence d_key"],
    values: Float[Tensor, "head occurrence d_value"],
    left: Int[Tensor, "pair template"],
    right: Int[Tensor, "pair template"],
) -> PairComparison:
    """Compare the two occurrences of every pair, in each template, and average over templates.

    Parameters
    ----------
    keys, values
        Coordinates in one space (`to_space`).
    left, right
        The rows of the pair's two words in each template.

    Returns
    -------
    Cosines and distances [head, pair]; NaN where a vector of the pair is zero (a cosine has no
    direction then).
    """
    return PairComparison(
        s_k=average_pairs(pair_cosines, keys, left, right),
        s_v=average_pairs(pair_cosines, values, left, right),
        d_k=average_pairs(pair_distances, keys, left, right),
        d_v=average_pairs(pair_distances, values, left, right),
    )


def compare_templates(
    keys: Float[Tensor, "head occurrence d_key"],
    values: Float[Tensor, "head occurrence d_value"],
    left: Int[Tensor, "pair template"],
    right: Int[Tensor, "pair template"],
) -> PairComparison:
    """Compare the two occurrences of every pair in each template by itself.

    As :func:`compare_pairs`, whose figures are the means over the first axis of these.

    Returns
    -------
    Cosines and distances [template, head, pair].
    """
    columns = zip(torch.split(left, 1, dim=1), torch.split(right, 1, dim=1), strict=True)
    return PairComparison.stack([compare_pairs(keys, values, *column) for column in columns])
