"""Rotary positions, as the model itself computes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.errors import UnsupportedModelError

_FIXED_TYPES = frozenset({"default", "linear", "llama3", "yarn", "proportional"})

Pairing = Literal["half", "half_back", "interleaved", "interleaved_to_half"]
"""Which coordinates turn together: (i, i + n) as in Llama, and the other way round in NanoChat, or
(2i, 2i + 1) as in GPT-J; and for DeepSeek-V3 (2i, 2i + 1) that come out as (i, i + n)."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """The rotation R_p that a model applies to queries and keys at position p.

    It asks the model's own rotary module, so scaled frequencies and ``attention_scaling`` are
    included. `d_rotary` coordinates from `start` on turn in pairs; the rest of a partially rotary
    head passes unchanged. With ``attention_scaling`` s, R_p is s times a rotation there, so its
    transpose is not its inverse.

    Parameters
    ----------
    module
        Gives cosines and sines; GPT-J's attention gives them as a table.
    layer_type
        What the module gets to know of the layer, where local and global layers turn differently.
    neighbours
        Whether the module repeats each angle at once (Cohere) and not by halves (Llama).
    """

    module: nn.Module
    d_rotary: int
    pairing: Pairing = "half"
    start: int = 0
    layer_type: str | None = None
    neighbours: bool = False

    @classmethod
    def wrap(
        cls,
        module: nn.Module,
        *,
        pairing: Pairing = "half",
        start: int = 0,
        layer_type: str | None = None,
    ) -> Rotation:
        """Wrap a model's rotary module, after checking that R_p depends on p alone.

        Raises
        ------
        UnsupportedModelError
            If the frequencies depend on the length of the sequence.
        """
        table = getattr(module, "embed_positions", None)
        if isinstance(table, Tensor):  # GPT-J and CodeGen keep sines and cosines of all positions
            return cls(module, table.shape[-1], pairing, start)
        kind = getattr(module, "rope_type", None)
        kind = kind.get(layer_type) if isinstance(kind, dict) else kind
        prefix = f"{layer_type}_" if layer_type is not None else ""
        frequencies = getattr(module, f"{prefix}inv_freq", None)
        if kind not in _FIXED_TYPES or not isinstance(frequencies, Tensor):
            raise UnsupportedModelError(
                f"{type(module).__name__} has rope_type {kind!r}; kvprobes needs a rotation that "
                "depends on the position alone "
                f"(rope_type one of {', '.join(sorted(_FIXED_TYPES))}), because keys at different "
                "positions are compared after undoing it. Use a model (or a config) with one of "
                "these."
            )
        d_rotary = 2 * frequencies.shape[-1]
        plain = cls(module, d_rotary, pairing, start, layer_type)
        _, sin = plain._angles(torch.ones(1, 1, dtype=torch.long))
        by_neighbour = sin.shape[-1] == d_rotary and torch.equal(sin[..., ::2], sin[..., 1::2])
        return replace(plain, neighbours=by_neighbour and d_rotary > 2)

    def cos_sin(
        self, positions: Int[Tensor, "..."]
    ) -> tuple[Float[Tensor, "... d_pair"], Float[Tensor, "... d_pair"]]:
        """Return cosines and sines of each pair (attention_scaling included) at `positions`."""
        n_pairs = self.d_rotary // 2
        once = slice(None, None, 2) if self.neighbours else slice(n_pairs)
        shape = (*positions.shape, n_pairs)
        if not positions.numel():  # some modules look for the largest position
            nothing = torch.zeros(shape, device=positions.device)
            return nothing, nothing
        cos, sin = self._angles(positions.reshape(1, -1))
        sin = -sin if self.pairing == "half_back" else sin
        return cos[..., once].reshape(shape), sin[..., once].reshape(shape)

    def rotate(
        self, vectors: Float[Tensor, "... d_head"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_head"]:
        """Return R_p v for every vector, as the model does.

        `positions` has the leading axes of `vectors`, or axes that broadcast to them: for vectors
        ``[batch, position, head, d_head]`` pass ``positions[:, None]`` of shape ``[position, 1]``.
        """
        cos, sin = self._at(vectors, positions)
        first, second = self._part(vectors, self.pairing.startswith("interleaved"))
        turned = (first * cos - second * sin, second * cos + first * sin)
        return self._join(vectors, *turned, interleaved=self.pairing == "interleaved")

    def transpose(
        self, vectors: Float[Tensor, "... d_head"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_head"]:
        """Return R_p' v, so that (R_p v) . w = v . (R_p' w)."""
        cos, sin = self._at(vectors, positions)
        first, second = self._part(vectors, self.pairing == "interleaved")
        turned = (first * cos + second * sin, second * cos - first * sin)
        return self._join(vectors, *turned, interleaved=self.pairing.startswith("interleaved"))

    def _angles(self, positions: Int[Tensor, "row position"]) -> tuple[Tensor, Tensor]:
        """Ask the model's module for its cosines and sines, in the form it has them."""
        table = getattr(self.module, "embed_positions", None)
        if isinstance(table, Tensor):
            sin, cos = table[positions.to(table.device)].chunk(2, dim=-1)
            return cos, sin
        device = next(self.module.buffers()).device
        options = () if self.layer_type is None else (self.layer_type,)
        answer = self.module(torch.zeros((), device=device), positions.to(device), *options)
        if isinstance(answer, Tensor):  # DeepSeek-V2 and Llama 4 turn complex numbers
            return answer.real, answer.imag
        cos, sin = answer
        return cos, sin

    def _at(self, vectors: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self.cos_sin(positions)
        return cos.to(vectors), sin.to(vectors)

    def _part(self, vectors: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
        turning = vectors[..., self.start : self.start + self.d_rotary]
        if interleaved:
            return turning[..., ::2], turning[..., 1::2]
        first, second = turning.chunk(2, dim=-1)
        return first, second

    def _join(self, vectors: Tensor, first: Tensor, second: Tensor, *, interleaved: bool) -> Tensor:
        if interleaved:
            turned = torch.stack((first, second), dim=-1).flatten(-2)
        else:
            turned = torch.cat((first, second), dim=-1)
        before = vectors[..., : self.start].expand(*turned.shape[:-1], -1)
        after = vectors[..., self.start + self.d_rotary :].expand(*turned.shape[:-1], -1)
        return torch.cat((before, turned, after), dim=-1)
