"""Random heads that attend: how much of the keys' similarity comes of attending by q.k at all.

Attention is a product of query and key, so even a random head has alike keys where it attends. One
layer's random heads have the trained shapes and singular values, read the trained x, and go through
the model's own norms and rotations; they choose by their own attention, among their own keys and
values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.models.layer import AttentionLayer
from probes.similarity.random_heads import Spectra, draw_weights, open_stream


@dataclass(frozen=True)
class RandomLayer:
    """Random W_Q, W_K, W_V of one layer, float32, and what their random W_O makes of a value.

    Attributes
    ----------
    query, key, value
        The weights.
    value_metric
        G, the sum of W_O W_O' over each group.
    logit_scale
        What q.k is multiplied by.
    how
        The trained layer, whose norms and rotation are used; None where there are none, or where
        only a capture is available.
    """

    query: Float[Tensor, "head d_head d_model"]
    key: Float[Tensor, "kv_head d_head d_input"]
    value: Float[Tensor, "kv_head d_value d_input"]
    value_metric: Float[Tensor, "kv_head d_value d_value"]
    logit_scale: float
    how: AttentionLayer | None = None

    @classmethod
    def draw(
        cls,
        spectra: Spectra,
        *,
        d_head: int,
        d_value: int,
        d_input: int,
        d_query_input: int,
        d_model: int,
        logit_scale: float,
        layer: int,
        seed: int,
        how: AttentionLayer | None = None,
    ) -> RandomLayer:
        """Draw one head for each trained one.

        Parameters
        ----------
        spectra
            The trained singular values.
        d_input, d_query_input, d_model
            The widths of what W_K and W_V read, of what W_Q reads, and of the stream.
        layer, seed
            The layer's number; with the seed they name the stream of random numbers.
        """
        generator = open_stream("spectrum", seed=seed, layer=layer)

        def draw(singular: Tensor, d: int, width: int) -> Tensor:
            return draw_weights(
                len(singular),
                d,
                width,
                kind="spectrum",
                generator=generator,
                singular=singular.double(),
            )

        key, value = draw(spectra.key, d_head, d_input), draw(spectra.value, d_value, d_input)
        query, output = (
            draw(spectra.query, d_head, d_query_input),
            draw(spectra.output, d_value, d_model),
        )
        gram = torch.unflatten(output @ output.mT, 0, (len(key), -1)).sum(1)
        return cls(query.float(), key.float(), value.float(), gram, logit_scale, how)

    def read(
        self, x: Float[Tensor, "token d_input"]
    ) -> tuple[Float[Tensor, "token kv_head d_head"], Float[Tensor, "token kv_head d_value"]]:
        """Return keys, normed but not rotated, and values."""
        k, v = (_project(x, weights) for weights in (self.key, self.value))
        if self.how is not None:
            k, v = self.how.norm("key", k), self.how.norm("value", v)
        return k, v

    def ask(
        self, x: Float[Tensor, "query d_query_input"], position: Int[Tensor, " query"] | None
    ) -> Float[Tensor, "query head d_head"]:
        """Return queries as they attend: normed, and rotated if positions are given."""
        q = _project(x, self.query)
        if self.how is not None:
            q = self.how.norm("query", q)
            if position is not None:
                q = self.how.attend("query", q, position)
        return q

    def turn_back(
        self, q: Float[Tensor, "query head d_head"], attended: Int[Tensor, " query"]
    ) -> Float[Tensor, "query head d_head"]:
        """Turn queries back by the position they attend to.

        Their product with the keys of `read` is then the logit, but for its scale.
        """
        return q if self.how is None else self.how.turn_back(q, attended)

    def weigh(
        self,
        q: Float[Tensor, "query head d_head"],
        k: Float[Tensor, "token kv_head d_head"],
        *,
        position: Int[Tensor, " token"] | None,
        visible: Bool[Tensor, "query token"],
    ) -> Float[Tensor, "head query token"]:
        """Return the attention of queries from `ask` over the tokens they see.

        Parameters
        ----------
        position
            Where the tokens are, if the layer rotates.
        """
        if self.how is not None and position is not None:
            k = self.how.attend("key", k, position)
        grouped = torch.unflatten(q, 1, (k.shape[1], -1))
        logits = torch.einsum("qkgd,tkd->kgqt", grouped, k).flatten(0, 1) * self.logit_scale
        return logits.masked_fill(~visible, float("-inf")).softmax(-1)

    def weigh_contexts(
        self,
        q: Float[Tensor, "query head d_head"],
        k: Float[Tensor, "query token kv_head d_head"],
        *,
        visible: Bool[Tensor, "query token"],
    ) -> Float[Tensor, "head query token"]:
        """Do the same where every query has a context of its own, from position 0 on."""
        if self.how is not None:
            k = self.how.attend("key", k, torch.arange(k.shape[1]))
        grouped = torch.unflatten(q, 1, (k.shape[2], -1))
        logits = torch.einsum("qkgd,qtkd->kgqt", grouped, k).flatten(0, 1) * self.logit_scale
        return logits.masked_fill(~visible, float("-inf")).softmax(-1)


def _project(
    x: Float[Tensor, "token width"], weights: Float[Tensor, "head d width"]
) -> Float[Tensor, "token head d"]:
    made = x.to(weights.dtype) @ weights.flatten(0, 1).mT
    return torch.unflatten(made, 1, weights.shape[:2])
