"""What the measures would say of heads that never learned to go together.

*Mismatched heads*: the keys of one kv head with the values of another of the same layer, both as
trained. *Random heads*: Gaussian W_Q, W_K, W_V and W_O of the trained shapes on the trained x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.similarity.spaces import HeadMetrics


def mismatched(values: Float[Tensor, "kv_head *rest"]) -> Iterator[Float[Tensor, "kv_head *rest"]]:
    """Yield the values in every order that gives each head another head's, by rotation.

    A layer with one kv head has no mismatch, and yields nothing.
    """
    for shift in range(1, len(values)):
        yield values.roll(shift, dims=0)


@dataclass(frozen=True)
class RandomHeads:
    """Keys, values and functional metrics of random kv heads on one layer's trained x."""

    k: Float[Tensor, "kv_head occurrence d_head"]
    v: Float[Tensor, "kv_head occurrence d_value"]
    metrics: HeadMetrics


def draw_random_heads(
    x: Float[Tensor, "occurrence d_input"],
    x_query: Float[Tensor, "query d_model"],
    *,
    n_kv_heads: int,
    group_size: int,
    d_head: int,
    d_value: int | None = None,
    logit_scale: float,
    generator: torch.Generator,
) -> RandomHeads:
    """Draw kv heads with Gaussian weights and let them read the trained x.

    Weights have variance 1 / d_model; no measure depends on their scale. The rotation of rotary
    models is left out: a Gaussian W_Q times a rotation is the same Gaussian.

    Parameters
    ----------
    x, x_query
        What W_K and W_V read at the attended words, and W_Q at the attending ones.
    d_value
        The width of a value, if it is another than a key's.
    """
    d_value = d_value or d_head

    def draw(*shape: int) -> Tensor:
        weights = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return weights.div(shape[-1] ** 0.5).to(x.dtype)

    k = torch.einsum("om,hdm->hod", x, draw(n_kv_heads, d_head, x.shape[1]))
    v = torch.einsum("om,hdm->hod", x, draw(n_kv_heads, d_value, x.shape[1]))
    query_weights = draw(n_kv_heads, group_size, d_head, x_query.shape[1])
    q = torch.einsum("om,hgdm->hgod", x_query, query_weights).double()
    written = draw(n_kv_heads, group_size, d_value, x_query.shape[1]).double()
    n_queries = group_size * len(x_query)
    return RandomHeads(
        k=k,
        v=v,
        metrics=HeadMetrics(
            key=torch.einsum("hgod,hgoe->hde", q, q) / n_queries * logit_scale**2,
            value=torch.einsum("hgdm,hgem->hde", written, written),
        ),
    )


def random_slice(
    x: Float[Tensor, "occurrence d_model"],
    *,
    n_slices: int,
    width: int,
    generator: torch.Generator,
) -> Float[Tensor, "n_slices occurrence width"]:
    """Project x on random Gaussian directions: as many numbers as a key holds, chosen blindly."""
    weights = torch.randn(n_slices, width, x.shape[1], generator=generator, dtype=torch.float64)
    return torch.einsum("om,sdm->sod", x, (weights / x.shape[1] ** 0.5).to(x.dtype))
