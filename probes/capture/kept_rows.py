"""Rows as a shard keeps them: less a mean, so few bits are enough for their differences.

Two bytes a number (bfloat16) hold eight bits. Where one vector that all rows share is a hundred
times as long as what they differ by, all eight go to the vector, and ranks of what is left are
ranks of rounding errors. So each shard takes the mean of every group of its rows off before the
cast, and keeps the mean in float32. Any vector near the rows would do: the mean decides no number,
only how few bits are lost, so a shard's own mean serves and no shard waits for another.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

FEWEST_ROWS = 16
"""Groups with fewer rows in a shard share one mean: a float32 mean a row would double the shard."""

GROUP = "group"


def pool_groups(group: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """Give the groups of a shard's rows numbers from 0; those of few rows become one."""
    _, number, count = torch.unique(group, return_inverse=True, return_counts=True)
    rare = count[number] < FEWEST_ROWS
    pooled: Tensor = torch.unique(torch.where(rare, -1, number), return_inverse=True)[1]
    return pooled


def keep_rows(
    name: str,
    rows: Float[Tensor, "row *shape"],
    dtype: torch.dtype,
    *,
    group: Int[Tensor, " row"] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors that stand for some rows in a shard, on the CPU.

    In float32 the rows are as they are. Otherwise ``mean.NAME`` holds the means [group, *shape]
    and NAME the rows less those; see `read_rows`.

    Parameters
    ----------
    group
        Of `pool_groups`, which the shard keeps beside as `GROUP`; by default all rows are one.
    """
    if dtype == torch.float32 or not len(rows):
        return {name: rows.to("cpu", dtype)}
    if group is None:
        group = torch.zeros(len(rows), dtype=torch.long)
    whole, group = rows.float().cpu(), group.long()
    sums = torch.zeros(int(group.max()) + 1, *whole.shape[1:], dtype=torch.float64)
    count = torch.bincount(group).reshape(-1, *[1] * (whole.ndim - 1))
    mean = (sums.index_add_(0, group, whole.double()) / count).float()
    return {name: (whole - mean[group]).to(dtype), f"mean.{name}": mean}


def read_rows(shard: Any, name: str) -> Float[Tensor, "row *shape"]:
    """Read rows of an open shard (a safetensors file), float32, with their means added again.

    The sum has the digits of float32, which is what the model computed the rows in: what is centred
    again afterwards loses no more than that.
    """
    rows: Tensor = shard.get_tensor(name).float()
    if f"mean.{name}" not in shard.keys():  # noqa: SIM118 - not a mapping
        return rows
    mean: Tensor = shard.get_tensor(f"mean.{name}")
    return rows + (mean if len(mean) == 1 else mean[shard.get_tensor(GROUP).long()])
