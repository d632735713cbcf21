"""How alike the keys and the values of word pairs are, for all heads of a layer at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.pairs import pair_cosines, pair_distances


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

    def over_templates(figures: Float[Tensor, "head flat"]) -> Float[Tensor, "head pair"]:
        return figures.reshape(-1, *left.shape).mean(dim=2)

    flat = (left.flatten(), right.flatten())
    return PairComparison(
        s_k=over_templates(pair_cosines(keys, *flat)),
        s_v=over_templates(pair_cosines(values, *flat)),
        d_k=over_templates(pair_distances(keys, *flat)),
        d_v=over_templates(pair_distances(values, *flat)),
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
