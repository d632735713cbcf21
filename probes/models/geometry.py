"""The attention of a model as numbers and weights: heads, groups, W_Q, W_K, W_V, W_O, rotation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.errors import UsageError
from probes.models.projections import Projections
from probes.models.rotary import Rotation


@dataclass(frozen=True, eq=False)
class AttentionGeometry:
    """Where a model's queries, keys and values are made, and with which raw weights.

    Query head h reads key and value head ``h // group_size``. Weights are views of the model's own
    parameters (detached): do not write to them.

    Parameters
    ----------
    causal
        Whether a position sees only itself and earlier ones.
    positions
        ``"rotary"`` (then `rotation` is set) or ``"learned"`` (added to the embeddings).
    logit_scale
        The attention logits are ``logit_scale * q . k``.
    attention_modules
        One module a layer, the one that HF hands to its attention interface.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    causal: bool
    positions: str
    logit_scale: float
    attention_modules: tuple[nn.Module, ...]
    projections: tuple[Projections, ...]
    rotation: Rotation | None

    @property
    def group_size(self) -> int:
        """How many query heads share a key and value head."""
        return self.n_heads // self.n_kv_heads

    @property
    def has_qk_norm(self) -> bool:
        """Whether queries and keys are normed per head between projection and rotation."""
        return any(layer.key_norm is not None for layer in self.projections)

    def query_weights(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """Return W_Q: the projected query of head h is ``query_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).query.weights()

    def key_weights(self, layer: int) -> Float[Tensor, "kv_head d_head d_model"]:
        """Return W_K: the projected key of kv head h is ``key_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).key.weights()

    def value_weights(self, layer: int) -> Float[Tensor, "kv_head d_head d_model"]:
        """Return W_V: the value of kv head h is ``value_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).value.weights()

    def output_weights(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """Return W_O: head h writes ``u = output_weights(layer)[h].T @ v``."""
        return self._layer(layer).output_weights()

    def query_bias(self, layer: int) -> Float[Tensor, "head d_head"] | None:
        """Return the bias of the queries, or None."""
        return self._layer(layer).query.bias()

    def key_bias(self, layer: int) -> Float[Tensor, "kv_head d_head"] | None:
        """Return the bias of the keys, or None."""
        return self._layer(layer).key.bias()

    def value_bias(self, layer: int) -> Float[Tensor, "kv_head d_head"] | None:
        """Return the bias of the values, or None."""
        return self._layer(layer).value.bias()

    def value_metric(self, layer: int) -> Float[Tensor, "kv_head d_head d_head"]:
        """Return G, float64, with ``(v_i - v_j)' G (v_i - v_j)`` the functional distance squared.

        G sums W_O W_O' over the query heads of the kv head's group: the squared distance between
        what the group's heads write for the two values, head by head.
        """
        blocks = self.output_weights(layer).to(torch.float64)
        gram = blocks @ blocks.mT
        return torch.unflatten(gram, 0, (self.n_kv_heads, self.group_size)).sum(dim=1)

    def _layer(self, layer: int) -> Projections:
        if not 0 <= layer < self.n_layers:
            raise UsageError(
                f"layer {layer} does not exist: the model has {self.n_layers} layers, "
                f"0 to {self.n_layers - 1}."
            )
        return self.projections[layer]
