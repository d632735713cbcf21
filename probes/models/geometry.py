"""The attention of a model as numbers and weights: heads, groups, W_Q, W_K, W_V, W_O, rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import NoMatrixError, NonFiniteError, UsageError
from probes.models.layer import AttentionLayer
from probes.models.rotary import Rotation

Site = Literal["decoder", "encoder", "cross"]
"""``decoder``: self-attention of a causal model or of a decoder; ``encoder``: of an encoder;
``cross``: queries from the decoder, keys and values from the encoder's output."""


@dataclass(frozen=True, eq=False)
class AttentionGeometry:
    """Where queries, keys and values are made at one site, and with which raw weights.

    Weights are views of the model's own parameters (detached): do not write to them. `layer` counts
    the site's attention layers from 0; ``layers[layer].index`` is its number in the model.

    Parameters
    ----------
    causal
        Whether a position sees only itself and earlier ones.
    positions
        ``rotary``, ``partial rotary``, ``learned``, ``sinusoidal``, ``ALiBi``, ``relative bias`` or
        ``none``.
    d_model
        The width of the residual stream that the heads write to.
    skipped
        The numbers of the model's layers that do not attend, in hybrids.
    """

    site: Site
    layers: tuple[AttentionLayer, ...]
    causal: bool
    positions: str
    d_model: int
    skipped: tuple[int, ...] = ()

    @property
    def n_layers(self) -> int:
        """How many attention layers there are."""
        return len(self.layers)

    @property
    def n_heads(self) -> int:
        """Query heads per layer."""
        return int(self._common("n_heads"))

    @property
    def n_kv_heads(self) -> int:
        """Key and value heads per layer."""
        return int(self._common("n_kv_heads"))

    @property
    def group_size(self) -> int:
        """How many query heads share a key and value head."""
        return int(self._common("group_size"))

    @property
    def d_head(self) -> int:
        """The width of a key."""
        return int(self._common("d_head"))

    @property
    def logit_scale(self) -> float:
        """The attention logits are ``logit_scale * q . k``."""
        return float(self._common("logit_scale"))

    @property
    def rotation(self) -> Rotation | None:
        """The rotation of the first layer that has one."""
        found = [layer.rotation for layer in self.layers if layer.rotation is not None]
        return found[0] if found else None

    @property
    def has_qk_norm(self) -> bool:
        """Whether queries and keys are normed per head between projection and rotation."""
        return any(layer.key_norm is not None for layer in self.layers)

    @property
    def window(self) -> int | None:
        """The narrowest sliding window of any layer, or None."""
        windows = [layer.window for layer in self.layers if layer.window is not None]
        return min(windows, default=None)

    def query_weights(self, layer: int) -> Float[Tensor, "head d_head d_input"]:
        """Return W_Q: the projected query of head h is ``query_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).query.weights()

    def key_weights(self, layer: int) -> Float[Tensor, "kv_head d_head d_input"]:
        """Return W_K: the projected key of kv head h is ``key_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).key.weights()

    def value_weights(self, layer: int) -> Float[Tensor, "kv_head d_value d_input"]:
        """Return W_V: the value of kv head h is ``value_weights(layer)[h] @ x`` + bias."""
        return self._layer(layer).value.weights()

    def output_weights(self, layer: int) -> Float[Tensor, "head d_value d_model"]:
        """Return W_O: head h writes ``u = output_weights(layer)[h].T @ v``."""
        return self._layer(layer).output_weights()

    def value_metric(self, layer: int) -> Float[Tensor, "kv_head d_value d_value"]:
        """Return G, float64, with ``(v_i - v_j)' G (v_i - v_j)`` the functional distance squared.

        G sums W_O W_O' over the query heads of the kv head's group: the squared distance between
        what the group's heads write for the two values, head by head.
        """
        found = self._layer(layer)
        blocks = found.output_weights().to(torch.float64)
        gram = blocks @ blocks.mT
        return torch.unflatten(gram, 0, (found.n_kv_heads, found.group_size)).sum(dim=1)

    def value_metrics(self) -> tuple[Float[Tensor, "kv_head d_value d_value"], ...]:
        """Return `value_metric` of every layer, on the CPU; none where W_O is no matrix."""
        try:
            return tuple(self.value_metric(layer).cpu() for layer in range(self.n_layers))
        except NoMatrixError:
            return ()

    def spectra(self, layer: int) -> dict[str, Float[Tensor, "head singular"]]:
        """Return the singular values of each head's W_Q, W_K, W_V and W_O, the largest first.

        Float32, by the names ``query``, ``key``, ``value`` and ``output``.

        Raises
        ------
        NonFiniteError
            If a weight is NaN or infinite.
        """
        found = self._layer(layer)
        weights = {
            "query": found.query.weights(),
            "key": found.key.weights(),
            "value": found.value.weights(),
            "output": found.output_weights(),
        }
        for name, matrix in weights.items():
            if not bool(matrix.isfinite().all()):
                raise NonFiniteError(
                    f"The {name} weights of layer {found.index} ({self.site}) hold NaN or infinite "
                    "numbers; finite ones are needed. Load the model again, in a wider precision."
                )
        return {
            name: torch.linalg.svdvals(matrix.to(torch.float64)).float()
            for name, matrix in weights.items()
        }

    def describe(self) -> dict[str, Any]:
        """Return the geometry's numbers, for a manifest; a number that differs by layer is a list.

        Returns
        -------
        ``site, n_layers, layers`` (their numbers in the model), ``skipped``, ``n_heads, n_kv_heads,
        d_head, d_value, logit_scale, window, softcap``, ``d_model, positions, causal, qk_norm,
        v_norm, keys_as_values, shared_from``.
        """

        def gather(name: str) -> Any:
            values = [getattr(layer, name) for layer in self.layers]
            return values[0] if len(set(values)) == 1 else values

        return {
            "site": self.site,
            "n_layers": self.n_layers,
            "layers": [layer.index for layer in self.layers],
            "skipped": list(self.skipped),
            **{
                name: gather(name)
                for name in (
                    *("n_heads", "n_kv_heads", "d_head", "d_value"),
                    *("logit_scale", "window", "softcap"),
                )
            },
            "d_model": self.d_model,
            "positions": self.positions,
            "causal": self.causal,
            "qk_norm": self.has_qk_norm,
            "v_norm": any(layer.value_norm is not None for layer in self.layers),
            "keys_as_values": any(layer.reuses_keys_as_values for layer in self.layers),
            "shared_from": gather("source"),
        }

    def _common(self, name: str) -> int | float:
        values = {getattr(layer, name) for layer in self.layers}
        if len(values) != 1:
            raise UsageError(
                f"{name} differs by layer in this model ({sorted(values)}): read it from "
                f"geometry.layers[i].{name}."
            )
        value: int | float = values.pop()
        return value

    def _layer(self, layer: int) -> AttentionLayer:
        if not 0 <= layer < self.n_layers:
            raise UsageError(
                f"layer {layer} does not exist: the model has {self.n_layers} layers, "
                f"0 to {self.n_layers - 1}."
            )
        return self.layers[layer]
