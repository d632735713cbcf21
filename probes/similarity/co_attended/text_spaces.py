"""The first pass over running text: the functional space of every head, trained and random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from probes.capture.moments import LayerMoments, Moments
from probes.capture.read import KeyStage, Reader
from probes.capture.text_pairs import MarkedDocument
from probes.capture.text_read import MomentReader, TextRunner
from probes.capture.text_windows import Window
from probes.errors import UnsupportedModelError, UsageError
from probes.models.model import Model
from probes.models.tap import Attended
from probes.similarity.co_attended.random_layer import RandomLayer
from probes.similarity.coordinates import metric_root
from probes.similarity.random_heads import Spectra
from probes.similarity.token_moments import query_metric

BATCH_SIZE = 8


@dataclass(frozen=True)
class HeadSpace:
    """The functional space of one layer's kv heads: its origin, and the roots of its metrics."""

    key_mean: Float[Tensor, "kv_head d_key"]
    value_mean: Float[Tensor, "kv_head d_value"]
    key_root: Float[Tensor, "kv_head d_key d_key"]
    value_root: Float[Tensor, "kv_head d_value d_value"]

    @classmethod
    def of(cls, moments: LayerMoments, value_metric: Tensor, *, logit_scale: float) -> HeadSpace:
        """Make it from the moments of all tokens."""
        key_metric = query_metric(moments, logit_scale=logit_scale)
        return cls(
            moments.mean["k"].float(),
            moments.mean["v"].float(),
            metric_root(key_metric).float(),
            metric_root(value_metric).float(),
        )

    def place(
        self,
        k: Float[Tensor, "token kv_head d_key"],
        v: Float[Tensor, "token kv_head d_value"],
    ) -> tuple[Float[Tensor, "kv_head token d_key"], Float[Tensor, "kv_head token d_value"]]:
        """Give keys and values their coordinates."""
        keys, values = (k.float() - self.key_mean), (v.float() - self.value_mean)
        return keys.transpose(0, 1) @ self.key_root, values.transpose(0, 1) @ self.value_root


@dataclass(frozen=True)
class TextSpaces:
    """What the first pass gives: every layer's space, trained and random.

    Attributes
    ----------
    trained, random
        A space a layer.
    layers
        The random heads; empty where they were not wanted, as then `random` is.
    """

    trained: list[HeadSpace]
    random: list[HeadSpace]
    layers: list[RandomLayer]
    key_stage: KeyStage
    seed: int


def read_spaces(
    model: Model,
    documents: Sequence[MarkedDocument],
    *,
    key_stage: KeyStage = "normed",
    random: bool = True,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> TextSpaces:
    """Pass over the text once for the centres and the metrics.

    Parameters
    ----------
    random
        Draw random heads too, and read theirs.
    batch_size
        Windows per batch; changes speed, and the last digits.
    seed
        Of the positions by which queries are turned back, and of the random heads.

    Raises
    ------
    NonFiniteError
        If the model gives NaN or infinite numbers.
    UsageError
        If there is no document.
    """
    windows = [marked.window for document in documents for marked in document.windows]
    if not windows:
        raise UsageError("There is no window of text; give documents of `mark_documents`.")
    layers = draw_random_layers(model, seed=seed) if random else []
    reader = _SpaceReader(model, key_stage=key_stage, layers=layers)
    runner = TextRunner(reader, shard=0, seed=seed)
    placed, number = [], 0
    for window in windows:  # numbered again, so that each token draws its own position
        placed.append(Window(window.ids, window.first, number))
        number += window.n_counted
    with reader.attached():
        for start in range(0, len(placed), batch_size):
            runner.run(placed[start : start + batch_size])
    geometry = model.geometry
    trained = [
        HeadSpace.of(
            reader.moments.layer(place),
            geometry.value_metric(place).cpu(),
            logit_scale=layer.logit_scale,
        )
        for place, layer in enumerate(geometry.layers)
    ]
    drawn = [
        HeadSpace.of(
            reader.random_moments.layer(place), layer.value_metric, logit_scale=layer.logit_scale
        )
        for place, layer in enumerate(layers)
    ]
    return TextSpaces(trained, drawn, layers, key_stage, seed)


def draw_random_layers(model: Model, *, seed: int) -> list[RandomLayer]:
    """Draw random heads of every layer's trained shapes and singular values."""
    geometry = model.geometry
    return [
        RandomLayer.draw(
            Spectra(**geometry.spectra(place)),
            d_head=layer.d_head,
            d_value=layer.d_value,
            d_input=layer.d_input,
            d_query_input=layer.query.d_input,
            d_model=geometry.d_model,
            logit_scale=layer.logit_scale,
            layer=place,
            seed=seed,
            how=layer,
        )
        for place, layer in enumerate(geometry.layers)
    ]


class _SpaceReader(MomentReader):
    """Adds up the moments of the trained heads, and of random ones that read the same."""

    def __init__(self, model: Model, *, key_stage: KeyStage, layers: list[RandomLayer]) -> None:
        super().__init__(model, key_stage=key_stage, with_x=False)
        self.layers = layers
        self.random_moments = Moments(self.geometry.n_layers)
        self._x_query: dict[int, Tensor] = {}

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        """Keep what the random queries are to read."""
        if self.aim is not None and self.layers:
            aim = self.aim.on(x.device)
            self._x_query[layer] = x[aim.row, aim.position]

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Add up the random heads, then the trained ones."""
        if self.aim is not None and self.layers:
            drawn, aim = self.layers[layer], self.aim
            k, v = drawn.read(self._parts["x"][find_giver(self, layer)].cpu())
            q = drawn.ask(self._x_query.pop(layer).cpu(), aim.position.cpu())
            self.random_moments.update(layer, q=drawn.turn_back(q, aim.attended.cpu()), k=k, v=v)
        super().on_attention(layer, attended)


def find_giver(reader: Reader, layer: int) -> int:
    """Return the layer whose x and keys a layer uses: another's, where keys are shared.

    Raises
    ------
    UnsupportedModelError
        If no x was heard there.
    """
    source = reader.geometry.layers[layer].source
    giver = layer if source is None else source
    if giver not in reader._parts["x"]:
        raise UnsupportedModelError(
            f"{reader.model.name} showed no x in layer {layer} at the {reader.geometry.site} site. "
            "Please report it."
        )
    return giver
