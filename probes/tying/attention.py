"""Attention of every variant in one module: which of q, k and v have a projection of their own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from probes.tying.shape import ModelShape

ROTARY_BASE = 10_000.0


class Attention(nn.Module):
    """Multi-head attention that shares what its variant says.

    Parameters
    ----------
    cross
        Keys and values come from another sequence; positions are then never rotated.
    """

    def __init__(self, shape: ModelShape, *, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.kind, self.causal = shape.kind, causal
        self.n_heads, self.n_kv_heads, self.d_head = shape.n_heads, shape.n_kv_heads, shape.d_head
        self.d_rotated = 0 if cross else shape.d_rotated
        d_query, d_key_value = self.n_heads * self.d_head, self.n_kv_heads * self.d_head
        d_key = d_key_value // 2 if self.kind.value == "half" else d_key_value
        if not self.kind.query_is_key:
            self.query = nn.Linear(shape.d_model, d_query, bias=False)
        self.key = nn.Linear(shape.d_model, d_key, bias=False)
        if self.kind.value in ("own", "half"):
            self.value = nn.Linear(shape.d_model, d_key_value, bias=False)
        elif self.kind.value == "diagonal":
            self.value_map = nn.Parameter(torch.ones(self.n_kv_heads, 1, self.d_head))
        elif self.kind.value == "per head":
            self.value_map = nn.Parameter(torch.eye(self.d_head).repeat(self.n_kv_heads, 1, 1))
        self.output = nn.Linear(d_query, shape.d_model, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch position d_model"],
        source: Float[Tensor, "batch source_position d_model"] | None = None,
    ) -> Float[Tensor, "batch position d_model"]:
        """Attend from `x` to `source`, or to itself."""
        k, v = self.read_keys_values(x if source is None else source)
        if not self.kind.query_is_key:
            q = self._split(self.query(x), self.n_heads)
        else:
            q = k if source is None else self._split(self.key(x), self.n_heads)
        if self.d_rotated:
            q, k = rotate(q, self.d_rotated), rotate(k, self.d_rotated)
        if self.n_kv_heads < self.n_heads:
            k, v = (t.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1) for t in (k, v))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def read_keys_values(
        self, x: Float[Tensor, "batch position d_model"]
    ) -> tuple[
        Float[Tensor, "batch kv_head position d_head"],
        Float[Tensor, "batch kv_head position d_head"],
    ]:
        """Return keys, before any rotation, and values."""
        k = self._split(self.key(x), self.n_kv_heads)
        match self.kind.value:
            case "own":
                return k, self._split(self.value(x), self.n_kv_heads)
            case "half":
                v = self._split(self.value(x), self.n_kv_heads)
                return torch.cat([v[..., : self.d_head // 2], k], dim=-1), v
            case "diagonal":
                return k, k * self.value_map
            case "per head":
                return k, k @ self.value_map
            case "key":
                return k, k

    def _split(self, projected: Tensor, n_heads: int) -> Tensor:
        batch, position, _ = projected.shape
        return projected.reshape(batch, position, n_heads, -1).transpose(1, 2)


def rotate(
    x: Float[Tensor, "batch head position d_head"], d_rotated: int
) -> Float[Tensor, "batch head position d_head"]:
    """Rotate the last `d_rotated` channels, in pairs, by angles that grow with the position.

    Channel i is paired with channel i + d_rotated / 2 (of those rotated), as in GPT-NeoX and Llama;
    Su et al. 2021, "RoFormer".
    """
    kept, rotated = x[..., : x.shape[-1] - d_rotated], x[..., x.shape[-1] - d_rotated :]
    half = d_rotated // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * rates
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = rotated[..., :half], rotated[..., half:]
    return torch.cat([kept, first * cosine - second * sine, first * sine + second * cosine], dim=-1)
