"""What probes read at one layer of a capture, and the controls of equal width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.naming import require_known
from probes.similarity.coordinates import metric_root
from probes.similarity.random_heads import random_slice
from probes.similarity.spaces import HeadMetrics, read_heads

if TYPE_CHECKING:
    from probes.capture.store import Store

Basis = Literal["raw", "functional"]


def read_inputs(
    store: Store, layer: int, *, basis: Basis, metrics: HeadMetrics, seed: int
) -> dict[str, Float[Tensor, "kv_head occurrence d"]]:
    """Read ``keys``, ``values`` and ``random_slice`` of one layer, head by head.

    A ``random_slice`` is a random Gaussian projection of x, as wide as a key, one for each head:
    what any projection of x knows, whether trained or not.

    For parameters and errors see `read_keys_and_values`.
    """
    found = read_keys_and_values(store, layer, basis=basis, metrics=metrics)
    n_slices, _, width = found["keys"].shape
    generator = torch.Generator().manual_seed(seed * 10_007 + layer + 7_001)
    x = store.read("x", layer)
    blind = random_slice(x, n_slices=n_slices, width=width, generator=generator)
    return {**found, "random_slice": blind}


def read_keys_and_values(
    store: Store, layer: int, *, basis: Basis, metrics: HeadMetrics
) -> dict[str, Float[Tensor, "kv_head occurrence d"]]:
    """Read ``keys`` and ``values`` of one layer, head by head.

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
    require_known("basis", basis, get_args(Basis))
    keys, values = read_heads(store, "k", layer), read_heads(store, "v", layer)
    if basis == "functional":
        keys = keys @ metric_root(metrics.key).to(keys)
        values = values @ metric_root(metrics.value).to(values)
    return {"keys": keys, "values": values}


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
