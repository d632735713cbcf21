"""Everything that one site's layers make of one short input, whole, for examinations."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from probes.models.geometry import AttentionGeometry
from probes.models.tap import Attended, Listener, listening


@dataclass
class Observation:
    """What one layer made: x and the module outputs [batch, position, width], and what it attends.

    ``heads_output`` is what goes into W_O, ``written`` what comes out.
    """

    x: Tensor | None = None
    key_output: Tensor | None = None
    query_x: Tensor | None = None
    query_output: Tensor | None = None
    attended: Attended | None = None
    heads_output: Tensor | None = None
    written: Tensor | None = None
    normed_key: Tensor | None = None


class _Notes(Listener):
    """A listener that keeps everything."""

    def __init__(self, n_layers: int) -> None:
        self.layers = [Observation() for _ in range(n_layers)]

    def on_keys(self, layer: int, x: Tensor, output: Tensor | None) -> None:
        self.layers[layer].x = x.clone()
        # A copy: some families clip the projection in place after the hook has seen it.
        self.layers[layer].key_output = None if output is None else output.clone()

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        self.layers[layer].query_x = x.clone()
        self.layers[layer].query_output = output.clone()

    def on_attention(self, layer: int, attended: Attended) -> None:
        self.layers[layer].attended = attended


def observe(
    hf: nn.Module, geometry: AttentionGeometry, inputs: Mapping[str, Any]
) -> tuple[list[Observation], Any]:
    """Run a model once and return what every layer of a site made, and the model's output.

    Layers that take keys from another have that layer's x and projected keys.
    """
    notes = _Notes(geometry.n_layers)
    with ExitStack() as stack, torch.inference_mode():
        stack.enter_context(listening(hf, geometry, notes))
        for place, layer in enumerate(geometry.layers):
            seen = notes.layers[place]

            def keep(_: nn.Module, args: Any, output: Tensor, seen: Observation = seen) -> None:
                seen.heads_output, seen.written = args[0].clone(), output.clone()

            stack.callback(layer.output_module.register_forward_hook(keep).remove)
            if layer.key_norm is not None and layer.source is None:

                def keep_norm(
                    _: nn.Module, args: Any, output: Tensor, seen: Observation = seen
                ) -> None:
                    seen.normed_key = output.clone()

                stack.callback(layer.key_norm.module.register_forward_hook(keep_norm).remove)
        output = hf(**inputs)
    for place, layer in enumerate(geometry.layers):
        if layer.source is not None:
            giver = notes.layers[layer.source]
            notes.layers[place].x = giver.x
            notes.layers[place].key_output = giver.key_output
            notes.layers[place].normed_key = giver.normed_key
    return notes.layers, output
