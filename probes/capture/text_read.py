"""Reading windows of running text into moments, inside the hooks: no layer outlives its turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt64
from torch import Tensor

from probes.capture.aim import Aim
from probes.capture.batch import join_rows
from probes.capture.moments import Moments
from probes.capture.read import AS_ATTENDED, Enough, KeyStage, Reader
from probes.capture.text_windows import Window, draw_numbers
from probes.errors import NonFiniteError, UnsupportedModelError
from probes.models.model import Model
from probes.models.tap import Attended

ATTENDED, SAMPLED = 1, 2
"""Purposes of the numbers drawn for a token; see `draw_numbers`."""


class MomentReader(Reader):
    """Adds what every layer makes of a batch to `moments`, and keeps the sampled tokens' rows.

    Keys and queries are at the key stage, as in `Reading`. ``rows`` holds ``x.LAYER``, ``q.LAYER``,
    ``k.LAYER``, ``v.LAYER`` of the last batch's sampled tokens.
    """

    def __init__(self, model: Model, *, key_stage: KeyStage, with_x: bool = True) -> None:
        super().__init__(model, site=model.geometry.site, key_stage=key_stage)
        self.moments = Moments(self.geometry.n_layers)
        self.with_x = with_x
        self.rows: dict[str, Tensor] = {}
        self._givers = {layer.source for layer in self.geometry.layers} - {None}

    def start(self, aim: Aim) -> None:
        """Say where the next forward pass is to be read."""
        super().start(aim)
        self.rows = {}

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        """Read nothing: queries are taken where they attend."""

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Read keys, values and queries, and add the layer to the moments.

        Raises
        ------
        NonFiniteError
            If a number is NaN or infinite.
        """
        if self.aim is None:
            return
        aim = self.aim.on(attended.key.device)
        where = (aim.row, slice(None), aim.position)
        source = self.geometry.layers[layer].source
        giver = layer if source is None else source
        if giver not in self._parts["x"]:
            raise UnsupportedModelError(
                f"{self.model.name} showed no x in layer {layer} at the {self.geometry.site} site. "
                "Please report it."
            )
        x = self._parts["x"][giver]
        whole = self.key_stage in AS_ATTENDED
        vectors = {
            "q": self.turn_queries(layer, attended.query[where], attended, aim),
            "k": attended.key[where] if whole else self._parts["k"][giver],
            "v": attended.value[where],
        } | ({"x": x} if self.with_x else {})
        try:
            self.moments.update(layer, **vectors)
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{self.model.name} gives NaN or infinite numbers in layer {layer}: {error}. "
                "Nothing of this shard was stored. Check the weights, or run in float32."
            ) from error
        for name, part in vectors.items():
            self.rows[f"{name}.{layer}"] = part[aim.sampled]
        if giver not in self._givers:
            for name in ("x", "k"):
                self._parts[name].pop(giver, None)
        if layer == self.geometry.n_layers - 1:
            raise Enough


@torch.inference_mode()
def run_windows(reader: Reader, windows: Sequence[Window], aim: Aim) -> None:
    """Run one batch of windows for its keys, values and attention alone, which `reader` hears."""
    model = reader.model
    ids, mask = join_rows([window.ids for window in windows])
    trunk: Any = model.trunk
    options: dict[str, Any] = {}
    if model.has_encoder_and_decoder:
        trunk = model.hf.get_encoder()
    elif model.geometry.causal:
        options["use_cache"] = False
    inputs = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}
    reader.run(aim, trunk, **inputs, **options)


class TextRunner:
    """Runs batches of windows and reads them, without logits or gradients.

    Parameters
    ----------
    reader
        Its hooks must be attached while `run` is called.
    shard, seed
        From these, and a token's place in the shard, follows all that is drawn.
    """

    def __init__(self, reader: MomentReader, *, shard: int, seed: int) -> None:
        self.reader = reader
        self.shard = shard
        self.seed = seed

    @torch.inference_mode()
    def run(self, windows: Sequence[Window], sampled: Sequence[int] = ()) -> dict[str, Tensor]:
        """Run one batch; return the rows of the `sampled` among its tokens that count."""
        run_windows(self.reader, windows, self._aim(windows, sampled))
        return self.reader.rows

    def draw(self, windows: Sequence[Window], purpose: int) -> UInt64[np.ndarray, " token"]:
        """Draw a number for each token that counts, in order."""
        return np.concatenate(
            [
                draw_numbers(self.shard, w.number, w.n_counted, seed=self.seed, purpose=purpose)
                for w in windows
            ]
        )

    def _aim(self, windows: Sequence[Window], sampled: Sequence[int]) -> Aim:
        """Read every token that counts; each attends to one it can see, drawn evenly."""
        geometry = self.reader.geometry
        row = np.repeat(np.arange(len(windows)), [w.n_counted for w in windows])
        position = np.concatenate([np.arange(w.first, len(w.ids)) for w in windows])
        first = np.repeat([w.first for w in windows], [w.n_counted for w in windows])
        last = position
        if geometry.window is not None:
            first = np.maximum(first, position - geometry.window + 1)
        if chunks := [layer.chunk for layer in geometry.layers if layer.chunk]:
            first = np.maximum(first, position // min(chunks) * min(chunks))
        if not geometry.causal:
            last = np.repeat([len(w.ids) - 1 for w in windows], [w.n_counted for w in windows])
        choices = (last - first + 1).astype(np.uint64)
        attended = first + (self.draw(windows, ATTENDED) % choices).astype(np.int64)

        def to_tensor(numbers: Any) -> Tensor:
            return torch.as_tensor(np.asarray(numbers, dtype=np.int64), device=geometry_device)

        geometry_device = self.reader.model.device
        return Aim(
            row=to_tensor(row),
            position=to_tensor(position),
            slot=to_tensor(np.arange(len(row))),
            n_occurrences=len(row),
            query_row=to_tensor(row),
            query_position=to_tensor(position),
            attended=to_tensor(attended),
            sampled=to_tensor(sampled),
        )


class RowSample:
    """The rows of the tokens with the smallest numbers: as many as wanted, however many came.

    Which they are depends on the numbers alone, not on the batches they come in.

    Parameters
    ----------
    size
        How many rows are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.numbers = np.zeros(0, dtype=np.uint64)
        self.rows: dict[str, Tensor] = {}
        self._chosen = np.zeros(0, dtype=np.int64)

    def choose(self, numbers: UInt64[np.ndarray, " token"]) -> list[int]:
        """Say which tokens of the next batch are among the smallest so far."""
        everything = np.concatenate([self.numbers, numbers])
        smallest = np.sort(np.argsort(everything, kind="stable")[: self.size])
        self._chosen, self.numbers = smallest, everything[smallest]
        held = len(everything) - len(numbers)
        return [int(place) - held for place in smallest if place >= held]

    def add(self, rows: dict[str, Tensor]) -> None:
        """Take the rows of the tokens that `choose` named, and drop those that had to go."""
        for name, new in rows.items():
            old = self.rows.get(name, new[:0])
            stay = torch.from_numpy(self._chosen[self._chosen < len(old)])
            self.rows[name] = torch.cat([old[stay], new])
