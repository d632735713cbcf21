"""What probes read at one layer of a capture, and the controls of equal width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.coordinates import metric_root
from probes.similarity.nulls import random_slice
from probes.similarity.spaces import HeadMetrics, read_heads

if TYPE_CHECKING:
    from probes.capture.store import Store

Basis = Literal["raw", "functional"]
BASES = ("raw", "functional")


def read_inputs(
    store: Store, layer: int, *, basis: Basis, metrics: HeadMetrics, seed: int
) -> dict[str, Float[Tensor, "kv_head occurrence d"]]:
    """Read ``k``, ``v`` and ``slice`` of one layer: as many numbers each, head by head.

    ``slice`` is a random Gaussian slice of x, as wide as a key, one for each head: what any
    projection of x knows, whether trained or not.

    Parameters
    ----------
    basis
        "raw": the vectors as they are. "functional": keys and values in the metrics in which the
        model tells them apart (see `probes.similarity.spaces`), so that no change of basis moves
        the probes' penalty.

    Raises
    ------
    UsageError
        If the basis is unknown.
    """
    if basis not in BASES:
        raise UsageError(f"There is no basis {basis!r}; choose one of {', '.join(BASES)}.")
    k, v = read_heads(store, "k", layer), read_heads(store, "v", layer)
    x = store.read("x", layer)
    generator = torch.Generator().manual_seed(seed * 10_007 + layer + 7_001)
    blind = random_slice(x, n_slices=len(k), width=k.shape[-1], generator=generator)
    if basis == "functional":
        k = k @ metric_root(metrics.key).to(k)
        v = v @ metric_root(metrics.value).to(v)
    return {"k": k, "v": v, "slice": blind}


def join_pairs(
    x: Float[Tensor, "*head occurrence d"], pairs: Int[Tensor, "pair member"]
) -> Float[Tensor, "*head pair two_d"]:
    """Describe pairs of vectors by |a - b| and a * b, the same in either order.

    No linear probe of the two vectors side by side could tell how they relate to each other, as it
    adds up what each says by itself. (Features after Conneau et al. 2017, "Supervised learning of
    universal sentence representations".) The vectors are centred first; the features do depend on
    the basis.
    """
    centred = x - x.mean(-2, keepdim=True)
    one, other = centred[..., pairs[:, 0], :], centred[..., pairs[:, 1], :]
    return torch.cat([(one - other).abs(), one * other], -1)
