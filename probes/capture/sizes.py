"""How large what a query gathers is: what each head writes at its token, and the stream there.

A gap between two keys or two values means nothing by itself. These are what it is measured by.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from probes.capture.aim import Aim
from probes.capture.read import KeyStage, Reader, Reading
from probes.errors import UnsupportedModelError
from probes.models.geometry import Site
from probes.models.layer import AttentionLayer
from probes.models.model import Model
from probes.models.tap import Attended


@dataclass
class SizedReading(Reading):
    """A reading with two sizes for every query, a tensor per layer.

    ``written`` [query, head] is the norm of what each query head writes at the attending token,
    |W_O z| with z the values that it mixes there, without the bias of the output. ``stream``
    [query] is the norm of the residual stream as it enters the layer there.
    """

    written: list[Tensor]
    stream: list[Tensor]


class SizeReader(Reader):
    """Reads the sizes at every query as well; see `SizedReading`."""

    def __init__(self, model: Model, *, site: Site, key_stage: KeyStage) -> None:
        super().__init__(model, site=site, key_stage=key_stage)
        self._grams: dict[int, Tensor] = {}
        self._written: dict[int, Tensor] = {}
        self._stream: dict[int, Tensor] = {}

    @contextmanager
    def attached(self) -> Iterator[SizeReader]:
        """Attach all hooks, also where the stream enters each layer."""
        with super().attached(), ExitStack() as stack:
            for place, layer in enumerate(self.geometry.layers):
                block = find_block(self.model.hf, layer)
                hook = partial(self._on_stream, place)
                stack.callback(block.register_forward_pre_hook(hook, with_kwargs=True).remove)
            yield self

    def start(self, aim: Aim) -> None:
        """Say where the next forward pass is to be read."""
        super().start(aim)
        self._written, self._stream = {}, {}

    def finish(self) -> SizedReading:
        """Return what the layers gave.

        Raises
        ------
        UnsupportedModelError
            If a layer was not heard.
        """
        reading = super().finish()
        layers = range(self.geometry.n_layers)
        if any(place not in self._stream for place in layers):
            raise UnsupportedModelError(
                f"{self.model.name} did not show the stream that enters each of its layers. "
                "Please report it."
            )
        return SizedReading(
            **vars(reading),
            written=[self._written[place] for place in layers],
            stream=[self._stream[place] for place in layers],
        )

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Read what the heads write, then all else."""
        if self.aim is not None:
            aim = self.aim.on(attended.key.device)
            weights = attended.weigh(aim.query_row, aim.query_position, causal=self.geometry.causal)
            values = attended.value[aim.query_row].float()
            grouped = torch.unflatten(weights, 1, (values.shape[1], -1))
            mixed = torch.einsum("qkgc,qkcd->qkgd", grouped, values).flatten(1, 2)
            squares = torch.einsum("qhd,hde,qhe->qh", mixed, self._gram(layer), mixed)
            self._written[layer] = squares.clamp_min(0).sqrt()
        super().on_attention(layer, attended)

    def _on_stream(self, layer: int, _: nn.Module, args: Any, options: dict[str, Any]) -> None:
        if self.aim is None:
            return
        stream = args[0] if args else options["hidden_states"]
        aim = self.aim.on(stream.device)
        norms = stream[..., aim.query_row, aim.query_position, :].float().norm(dim=-1)
        # Of the parallel streams that some families keep (Gemma 3n), the first is the one in use.
        self._stream[layer] = norms if norms.ndim == 1 else norms.flatten(0, -2)[0]

    def _gram(self, layer: int) -> Tensor:
        """Return W_O W_O' of each head, with which a norm needs no vector as wide as the stream."""
        if layer not in self._grams:
            blocks = self.geometry.output_weights(layer).float()
            self._grams[layer] = blocks @ blocks.mT
        return self._grams[layer]


def find_block(hf: nn.Module, layer: AttentionLayer) -> nn.Module:
    """Return the module that a layer's stream enters: the numbered one around its attention."""
    parts = layer.name.split(".")
    while parts and not parts[-1].isdecimal():
        parts.pop()
    return hf.get_submodule(".".join(parts))
