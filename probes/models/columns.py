"""Which columns of fused projections belong to which head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

Columns = Int[Tensor, "_ _"]

_CODEGEN_STRIPS = 4  # CodeGen was trained on four cores, and its fused weights still show it


def cut_columns(
    layout: str, widths: Sequence[int], numbers: Mapping[str, int]
) -> tuple[Columns, Columns, Columns] | None:
    """Return the columns of q, k and v, [head, d_own], in the outputs of their modules.

    Parameters
    ----------
    layout
        See `probes.models.families.Layout`.
    widths
        How many columns the modules of q, k and v have.
    numbers
        ``d_head``, ``n_heads``, ``n_kv_heads``, and with latent attention ``d_own`` (of a key's
        coordinates that come from the latent) and ``d_value``.

    Returns
    -------
    None if the widths do not fit.
    """
    d_head = numbers["d_head"]
    if layout == "separate":
        return _cut_separate(widths, d_head)
    if layout == "latent":
        return _cut_latent(widths, numbers)
    if layout == "blocks":
        return _cut_blocks(widths[0], numbers)
    if layout == "by group":
        return _cut_groups(widths[0], numbers)
    if widths[0] % (3 * d_head):
        return None
    heads = torch.arange(widths[0])
    if layout == "by head":
        q, k, v = torch.unflatten(heads, 0, (-1, 3, d_head)).unbind(1)
        return q, k, v
    strips = torch.unflatten(heads, 0, (_CODEGEN_STRIPS, 3, -1))
    q, v, k = (part.reshape(-1, d_head) for part in strips.unbind(1))
    return q, k, v


def _cut_separate(widths: Sequence[int], d_head: int) -> tuple[Columns, Columns, Columns] | None:
    if any(width % d_head for width in widths) or widths[0] % widths[1] or widths[1] != widths[2]:
        return None
    q, k, v = (torch.unflatten(torch.arange(width), 0, (-1, d_head)) for width in widths)
    return q, k, v


def _cut_blocks(width: int, numbers: Mapping[str, int]) -> tuple[Columns, Columns, Columns] | None:
    d_head, n_heads, n_kv_heads = (numbers[n] for n in ("d_head", "n_heads", "n_kv_heads"))
    if width != d_head * (n_heads + 2 * n_kv_heads):
        return None
    heads = torch.unflatten(torch.arange(width), 0, (-1, d_head))
    q, k, v = torch.split(heads, [n_heads, n_kv_heads, n_kv_heads])
    return q, k, v


def _cut_groups(width: int, numbers: Mapping[str, int]) -> tuple[Columns, Columns, Columns] | None:
    d_head, n_heads, n_kv_heads = (numbers[n] for n in ("d_head", "n_heads", "n_kv_heads"))
    if width != d_head * (n_heads + 2 * n_kv_heads) or n_heads % n_kv_heads:
        return None
    groups = torch.unflatten(torch.arange(width), 0, (n_kv_heads, -1, d_head))
    return groups[:, :-2].flatten(0, 1), groups[:, -2], groups[:, -1]


def _cut_latent(
    widths: Sequence[int], numbers: Mapping[str, int]
) -> tuple[Columns, Columns, Columns] | None:
    d_head, d_own, d_value = (numbers[n] for n in ("d_head", "d_own", "d_value"))
    if widths[0] % d_head or widths[1] % (d_own + d_value):
        return None
    query = torch.unflatten(torch.arange(widths[0]), 0, (-1, d_head))
    heads = torch.unflatten(torch.arange(widths[1]), 0, (-1, d_own + d_value))
    return query, heads[:, :d_own], heads[:, d_own:]
