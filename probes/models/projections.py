"""Which modules of one layer make its queries, keys, values and output, and how to cut them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Projection:
    """A slice of a module's output: one of q, k, v of one layer.

    Separate linears take the whole output; GPT-2's fused ``c_attn`` takes a third of it.
    """

    name: str
    module: nn.Module
    columns: slice
    n_heads: int
    d_head: int
    input_first: bool  # a Conv1D keeps its weight as [input, output], a Linear the other way round

    def split(self, output: Float[Tensor, "... width"]) -> Float[Tensor, "... head d_head"]:
        """Return the view of the module's output that holds these heads."""
        return torch.unflatten(output[..., self.columns], -1, (self.n_heads, self.d_head))

    def weights(self) -> Float[Tensor, "head d_head d_model"]:
        """Return the weights that map x to these heads."""
        matrix = self.module.get_parameter("weight").detach()
        matrix = matrix.T if self.input_first else matrix
        return torch.unflatten(matrix[self.columns], 0, (self.n_heads, self.d_head))

    def bias(self) -> Float[Tensor, "head d_head"] | None:
        """Return the bias of these heads, or None where the module has none."""
        bias = getattr(self.module, "bias", None)
        return None if bias is None else self.split(bias.detach())


@dataclass(frozen=True, eq=False)
class Projections:
    """How one layer makes its queries, keys and values.

    The ``*_module`` are modules of the HF model: a forward hook on ``key_module`` sees the
    *projected* keys (before QK-norm and rotary), and the input of ``input_module`` is x, the normed
    residual that W_Q, W_K and W_V read. The ``split_*`` turn such an output,
    ``[batch, position, width]``, into ``[batch, position, head, d_head]``; they return views, so
    clone what is kept. ``query_norm`` and ``key_norm`` act on the last axis of projected vectors.
    """

    query: Projection
    key: Projection
    value: Projection
    output_name: str
    output_module: nn.Module
    output_input_first: bool
    query_norm: nn.Module | None = None
    key_norm: nn.Module | None = None

    @property
    def query_module(self) -> nn.Module:
        """The module whose output holds the queries."""
        return self.query.module

    @property
    def key_module(self) -> nn.Module:
        """The module whose output holds the keys."""
        return self.key.module

    @property
    def value_module(self) -> nn.Module:
        """The module whose output holds the values."""
        return self.value.module

    @property
    def input_module(self) -> nn.Module:
        """The module whose input is x, which W_K and W_V read."""
        return self.key.module

    @property
    def module_names(self) -> dict[str, str]:
        """The dotted names, inside the HF model, of the modules for q, k, v and o."""
        return {
            "q": self.query.name,
            "k": self.key.name,
            "v": self.value.name,
            "o": self.output_name,
        }

    def split_query(self, output: Float[Tensor, "... width"]) -> Float[Tensor, "... head d_head"]:
        """Return the queries in the output of `query_module`."""
        return self.query.split(output)

    def split_key(self, output: Float[Tensor, "... width"]) -> Float[Tensor, "... kv_head d_head"]:
        """Return the keys in the output of `key_module`."""
        return self.key.split(output)

    def split_value(
        self, output: Float[Tensor, "... width"]
    ) -> Float[Tensor, "... kv_head d_head"]:
        """Return the values in the output of `value_module`."""
        return self.value.split(output)

    def output_weights(self) -> Float[Tensor, "head d_head d_model"]:
        """Return W_O cut by head: head h writes ``output_weights()[h].T @ v``."""
        matrix = self.output_module.get_parameter("weight").detach()
        matrix = matrix if self.output_input_first else matrix.T
        return torch.unflatten(matrix, 0, (self.query.n_heads, self.query.d_head))
