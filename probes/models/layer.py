"""One attention layer: its modules, weights, norms, rotation and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.models.matrices import read_matrix
from probes.models.projections import HeadNorm, Projection
from probes.models.rotary import Rotation

Part = Literal["query", "key", "value"]


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """How one layer makes its queries, keys and values, and what it does with them.

    Query head h reads key and value head ``h // group_size``.

    Parameters
    ----------
    index
        The layer's number in the model. Layers without attention have a number too, so these may
        skip some.
    name, module
        The attention module inside the HF model.
    query, key, value
        What makes them. Values may be made by the same columns as the keys (Gemma 4); a layer that
        shares keys and values (`source`) has the projections of the layer it takes them from.
    output_name, output_module
        What maps the heads' results into the residual stream.
    logit_scale
        The attention logits are ``logit_scale * q . k``, before any soft cap or bias.
    softcap
        Logits z become ``softcap * tanh(z / softcap)``; None where they do not.
    window
        How many tokens back (itself included) a position sees; None where it sees all.
    source
        Place in the geometry of the layer whose keys and values are used; None for its own.
    latent_modules
        With multi-head latent attention, the two modules whose outputs make up the shared latent
        that W_K and W_V read: the latent's norm, and the joint projection (its last coordinates).
    chunk
        Where tokens see only those of their own chunk (Llama 4): how many make up one.
    late_norm
        Whether the model norms queries and keys after it rotates them. Their length is the same
        before and after, so they are taken as divided by it before, and the norm's weights, if it
        has any, belong to `attend`.
    temper
        What queries are multiplied with at each position, beside the scale (Llama 4).
    """

    index: int
    name: str
    module: nn.Module
    query: Projection
    key: Projection
    value: Projection
    output_name: str
    output_module: nn.Module
    logit_scale: float
    query_norm: HeadNorm | None = None
    key_norm: HeadNorm | None = None
    value_norm: HeadNorm | None = None
    rotation: Rotation | None = None
    softcap: float | None = None
    window: int | None = None
    source: int | None = None
    latent_modules: tuple[nn.Module, nn.Module] | None = None
    late_norm: bool = False
    chunk: int | None = None
    temper: Callable[[Tensor], Tensor] | None = None

    @property
    def n_heads(self) -> int:
        """How many query heads there are."""
        return self.query.n_heads

    @property
    def n_kv_heads(self) -> int:
        """How many key and value heads there are."""
        return self.key.n_heads

    @property
    def group_size(self) -> int:
        """How many query heads share a key and value head."""
        return self.n_heads // self.n_kv_heads

    @property
    def d_head(self) -> int:
        """The width of a query and a key."""
        return self.key.d_head

    @property
    def d_value(self) -> int:
        """The width of a value; only latent attention has another one than for keys."""
        return self.value.d_head

    @property
    def d_input(self) -> int:
        """The width of x, which W_K and W_V read."""
        return self.key.d_input

    @property
    def reuses_keys_as_values(self) -> bool:
        """Whether values are made from the keys' projection (``v_proj is None``)."""
        return self.value.name == self.key.name and torch.equal(
            self.value.columns, self.key.columns
        )

    def output_weights(self) -> Float[Tensor, "head d_value d_model"]:
        """Return W_O cut by head: head h writes ``output_weights()[h].T @ v``."""
        return torch.unflatten(read_matrix(self.output_module), 0, (self.n_heads, self.d_value))

    def norm(
        self, part: Part, vectors: Float[Tensor, "*rows head d_head"]
    ) -> Float[Tensor, "*rows head d_head"]:
        """Return projected queries, keys or values after their norm, if they have one.

        A norm that comes after the rotation only divides here; see `late_norm`.
        """
        norm: HeadNorm | None = getattr(self, f"{part}_norm")
        if norm is None:
            return vectors
        return norm.bare(vectors) if self.gain(part) is not None else norm(vectors)

    def gain(self, part: Part) -> Float[Tensor, "#head d_head"] | None:
        """Return the weights of a norm that comes after the rotation, or None."""
        norm: HeadNorm | None = getattr(self, f"{part}_norm")
        if not self.late_norm or norm is None or part == "value":
            return None
        if norm.gain is None:
            return None
        return torch.unflatten(norm.gain, 0, (-1, self.d_head))

    def rotate(
        self, vectors: Float[Tensor, "*rows head d_head"], positions: Int[Tensor, "..."]
    ) -> Float[Tensor, "*rows head d_head"]:
        """Return normed queries or keys as rotated to their positions (no rotation: as is).

        `positions` may lack leading axes of `vectors`: [position] serves a whole batch.
        """
        if self.rotation is None:
            return vectors
        return self.rotation.rotate(vectors, positions[..., None])

    def attend(
        self,
        part: Literal["query", "key"],
        vectors: Float[Tensor, "*rows head d_head"],
        positions: Int[Tensor, "..."],
    ) -> Float[Tensor, "*rows head d_head"]:
        """Return normed queries or keys as the logits use them, but for the scale.

        They are rotated, times the weights of a norm that comes after that.
        """
        turned, gain = self.rotate(vectors, positions), self.gain(part)
        turned = turned if gain is None else turned * gain.to(turned)
        if part == "key" or self.temper is None:
            return turned
        return turned * self.temper(positions)[..., None, None].to(turned)

    def turn_back(
        self, queries: Float[Tensor, "query head d_head"], attended: Int[Tensor, " query"]
    ) -> Float[Tensor, "query head d_head"]:
        """Turn queries, as they attend, so that their product with a normed key is the logit.

        `attended` is where that key stands.
        """
        if (gain := self.gain("key")) is not None:
            queries = queries * gain.repeat_interleave(self.n_heads // len(gain), 0).to(queries)
        if self.rotation is None:
            return queries
        return self.rotation.transpose(queries, attended[:, None])


def find_temper(module: Any) -> Callable[[Tensor], Tensor] | None:
    """Return what a module multiplies its queries with by position, if it does so (Llama 4)."""
    if not getattr(module, "attn_temperature_tuning", False) or module.use_rope:
        return None

    def temper(positions: Tensor) -> Tensor:
        steps = torch.floor((positions.float() + 1) / module.floor_scale)
        return torch.log1p(steps) * float(module.attn_scale) + 1

    return temper
