"""How large the gap between two keys or two values is: ranks say nothing about that."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError


def express_key_gap(mean_square: Float[Tensor, "*more"]) -> Float[Tensor, "*more"]:
    """Return the root mean square, over queries and pairs, of the gap in logits, in nats.

    Below about .1 two keys are one to the model, at any rank: attention weights then differ
    by a tenth.

    Parameters
    ----------
    mean_square
        The statistic ``key_gap`` of `Contributions`.
    """
    return mean_square.sqrt()


def express_value_gap(
    mean_square: Float[Tensor, "*more head"],
    written_square: Float[Tensor, " head"],
    *,
    n_kv_heads: int,
) -> Float[Tensor, "*more head"]:
    """Return the root mean square value gap as a share of what the heads write.

    |W_O (v_i - v_j)| of a group's query heads together, over the root mean square of what these
    heads write together: 0 where two values do the same, about 1 where attending to one word and
    not to the other changes the output by as much as it holds.

    Parameters
    ----------
    mean_square
        The statistic ``value_gap`` of `Contributions`, which sums over the heads of each group.
    written_square
        Mean square of what each query head writes.
    n_kv_heads
        How many groups there are.

    Raises
    ------
    UsageError
        If the heads do not divide into groups.
    """
    groups = _by_group(written_square, n_kv_heads)
    together = groups.sum(-1).repeat_interleave(groups.shape[-1])
    return (mean_square / together).sqrt()


def relate_value_gap(
    mean_square: Float[Tensor, "*more head"],
    stream_square: Float[Tensor, ""] | float,
    *,
    n_kv_heads: int,
) -> Float[Tensor, "*more head"]:
    """Return the root mean square value gap of one query head as a share of the stream's norm.

    Parameters
    ----------
    mean_square
        The statistic ``value_gap`` of `Contributions`, which sums over the heads of each group.
    stream_square
        Mean square norm of the stream that enters the layer.
    n_kv_heads
        How many groups there are.

    Raises
    ------
    UsageError
        If the heads do not divide into groups.
    """
    group = mean_square.shape[-1] // n_kv_heads
    _by_group(mean_square, n_kv_heads)
    return (mean_square / group / stream_square).sqrt()


def _by_group(heads: Tensor, n_kv_heads: int) -> Float[Tensor, "*more kv_head query_head"]:
    if n_kv_heads < 1 or heads.shape[-1] % n_kv_heads:
        raise UsageError(
            f"{heads.shape[-1]} query heads cannot share {n_kv_heads} kv heads evenly."
        )
    return torch.unflatten(heads, -1, (n_kv_heads, -1))
