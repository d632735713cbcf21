"""Rotary positions, as the model itself computes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.errors import UnsupportedModelError

_FIXED_TYPES = frozenset({"default", "linear", "llama3", "yarn", "proportional"})


@dataclass(frozen=True, eq=False)
class Rotation:
    """The rotation R_p that a model applies to queries and keys at position p.

    It wraps the model's own rotary module, so scaled frequencies and ``attention_scaling`` are
    included. The first `d_rotary` coordinates turn in pairs (i, i + d_rotary / 2); the rest of a
    partially rotary head passes unchanged. With ``attention_scaling`` s, R_p is s times a rotation
    there, so its transpose is not its inverse.

    Raises
    ------
    UnsupportedModelError
        If the frequencies depend on the length of the sequence or on the layer.
    """

    module: nn.Module
    d_rotary: int

    @classmethod
    def wrap(cls, module: nn.Module) -> Rotation:
        """Wrap a model's rotary module, after checking that R_p depends on p alone."""
        kind = getattr(module, "rope_type", None)
        frequencies = getattr(module, "inv_freq", None)
        if kind not in _FIXED_TYPES or not isinstance(frequencies, Tensor):
            raise UnsupportedModelError(
                f"{type(module).__name__} has rope_type {kind!r}; kvprobes needs a rotation that "
                "depends on the position alone and is the same in every layer "
                f"(rope_type one of {', '.join(sorted(_FIXED_TYPES))}), because keys at different "
                "positions are compared after undoing it. Use a model (or a config) with one of "
                "these."
            )
        return cls(module=module, d_rotary=2 * frequencies.shape[-1])

    def cos_sin(
        self, positions: Int[Tensor, "..."]
    ) -> tuple[Float[Tensor, "... d_rotary"], Float[Tensor, "... d_rotary"]]:
        """Return cosines and sines (float32, attention_scaling included) at `positions`."""
        device = self.module.get_buffer("inv_freq").device
        flat = positions.reshape(1, -1).to(device)
        cos, sin = self.module(torch.zeros((), device=device), position_ids=flat)
        shape = (*positions.shape, self.d_rotary)
        return cos.reshape(shape), sin.reshape(shape)

    def rotate(
        self, vectors: Float[Tensor, "... d_head"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_head"]:
        """Return R_p v for every vector, as the model does.

        `positions` has the leading axes of `vectors`, or axes that broadcast to them: for vectors
        ``[batch, position, head, d_head]`` pass ``positions[:, None]`` of shape ``[position, 1]``.
        """
        cos, sin, turning, rest = self._prepare(vectors, positions)
        return torch.cat((turning * cos + _half_turn(turning) * sin, rest), dim=-1)

    def transpose(
        self, vectors: Float[Tensor, "... d_head"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_head"]:
        """Return R_p' v, so that (R_p v) . w = v . (R_p' w)."""
        cos, sin, turning, rest = self._prepare(vectors, positions)
        return torch.cat((turning * cos - _half_turn(turning * sin), rest), dim=-1)

    def _prepare(self, vectors: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cos, sin = self.cos_sin(positions)
        turning, rest = vectors[..., : self.d_rotary], vectors[..., self.d_rotary :]
        return cos.to(vectors), sin.to(vectors), turning, rest


def _half_turn(vectors: Tensor) -> Tensor:
    """Return (-b, a) for the halves (a, b): a skew matrix, so its transpose is its negative."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
