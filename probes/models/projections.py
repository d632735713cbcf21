"""Which modules make a layer's queries, keys, values and output, and how to cut them by head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from probes.models.matrices import count_inputs, read_bias, read_matrix


@dataclass(frozen=True, eq=False)
class Projection:
    """One of q, k, v of one layer: columns of a linear module's output, by head.

    Separate linears take the whole output, fused ones a part of it. Where keys are made of two
    parts (multi-head latent attention), `module` makes the first ``d_head - d_shared`` coordinates
    from the latent, and the last `d_shared` are the input's own last coordinates, the same for
    every head. `d_unused` last coordinates of the input are not read.
    """

    name: str
    module: nn.Module
    columns: Int[Tensor, "head d_own"]
    d_shared: int = 0
    d_unused: int = 0

    @property
    def n_heads(self) -> int:
        """How many heads this projection makes."""
        return self.columns.shape[0]

    @property
    def d_head(self) -> int:
        """The width of one head."""
        return self.columns.shape[1] + self.d_shared

    @property
    def d_input(self) -> int:
        """The width of what the weights read."""
        return count_inputs(self.module) + self.d_shared + self.d_unused

    def split(self, output: Float[Tensor, "... width"]) -> Float[Tensor, "... head d_own"]:
        """Return what of the module's output belongs to these heads (a view, where it can be)."""
        first, count = int(self.columns[0, 0]), self.columns.numel()
        if int(self.columns[-1, -1]) == first + count - 1:  # neighbours, in order
            return torch.unflatten(output[..., first : first + count], -1, self.columns.shape)
        return output[..., self.columns.to(output.device)]

    def weights(self) -> Float[Tensor, "head d_head d_input"]:
        """Return the weights that map the projection's input to these heads."""
        rows = self.split(read_matrix(self.module)).movedim(0, -1)
        if self.d_unused:
            return torch.nn.functional.pad(rows, (0, self.d_unused))
        if not self.d_shared:
            return rows
        n_heads, d_own, d_latent = rows.shape
        whole = rows.new_zeros(n_heads, self.d_head, d_latent + self.d_shared)
        whole[:, :d_own, :d_latent] = rows
        whole[:, d_own:, d_latent:] = torch.eye(self.d_shared).to(rows)
        return whole

    def bias(self) -> Float[Tensor, "head d_head"] | None:
        """Return the bias of these heads, or None where the module has none."""
        bias = read_bias(self.module)
        if bias is None:
            return None
        own = self.split(bias)
        return torch.nn.functional.pad(own, (0, self.d_shared)) if self.d_shared else own

    def project(self, x: Float[Tensor, "... d_input"]) -> Float[Tensor, "... head d_head"]:
        """Return ``W x + b`` for every head, computed from the weights."""
        made = torch.einsum("...m,hdm->...hd", x, self.weights().to(x.dtype))
        bias = self.bias()
        return made if bias is None else made + bias.to(x.dtype)


NormInput = Literal["head", "all heads", "heads first"]


@dataclass(frozen=True, eq=False)
class HeadNorm:
    """A norm of queries, keys or values behind the projection, before or after the rotation.

    `acts_on` says how the module wants its vectors: ``head`` [..., head, d_head], ``all heads``
    [..., head * d_head] or ``heads first`` [row, head, position, d_head].
    """

    module: nn.Module
    acts_on: NormInput = "head"

    def __call__(
        self, vectors: Float[Tensor, "*rows head d_head"]
    ) -> Float[Tensor, "*rows head d_head"]:
        """Return the normed vectors."""
        return self._apply(self.module, vectors)

    @torch.no_grad()  # nothing is trained here, and what is read goes to numpy
    def _apply(self, norm: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
        if self.acts_on == "head":
            return norm(vectors)
        if self.acts_on == "all heads":
            return torch.unflatten(norm(vectors.flatten(-2)), -1, vectors.shape[-2:])
        flat = vectors.reshape(1, -1, *vectors.shape[-2:])
        turned = norm(flat.transpose(1, 2))
        return turned.transpose(1, 2).reshape(vectors.shape)

    @property
    def gain(self) -> Float[Tensor, " weight"] | None:
        """The weights of the norm, or None where it only divides."""
        weight = getattr(self.module, "weight", None)
        return None if weight is None else weight.detach()

    def bare(
        self, vectors: Float[Tensor, "*rows head d_head"]
    ) -> Float[Tensor, "*rows head d_head"]:
        """Return the vectors as normed by weights of one."""
        if self.gain is None:
            return self(vectors)
        ones = {"weight": torch.ones_like(self.gain)}
        return self._apply(partial(functional_call, self.module, ones), vectors)

    def read(
        self, output: Float[Tensor, "..."], n_heads: int
    ) -> Float[Tensor, "row position head d_head"]:
        """Bring the module's own output, as a hook sees it, into this axis order."""
        if self.acts_on == "all heads":
            return torch.unflatten(output, -1, (n_heads, -1))
        return output.transpose(1, 2) if self.acts_on == "heads first" else output
