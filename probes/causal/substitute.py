"""Values made from keys, and what they are compared with: fitted on one text, put in place of v.

The first position of a text, a sink, is neither fitted nor replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.causal.edits import Edit, EditedPart, Made, editable_layers, intervening
from probes.causal.maps import AffineMap, Directions, Moments, fit_map
from probes.causal.resume import Blocks, Stopped
from probes.causal.windows import FIRST_EDITED, Windows
from probes.models.layer import AttentionLayer
from probes.models.model import Model

KINDS = {
    "keys": "v := M k + b, own keys",
    "other keys": "v := M k' + b, keys of the next kv head of the layer",
    "random_slice": "v := M s + b, a random Gaussian slice of x, as wide as a key",
    "mean": "v := E[v] (mean ablation)",
    "clamp": "v := k as it is",
    "reverse": "k := M v + b, keys before QK-norm and rotation",
}
"""Kind of substitution in one kv head -> what is put there."""

EDITED = slice(FIRST_EDITED, None)
Source = Callable[[Made], Tensor]


@dataclass(frozen=True, eq=False)
class Substitution:
    """One kind of substitution, ready to be put into any head: the maps by layer."""

    kind: str
    maps: dict[int, AffineMap]
    seed: int

    def edit(self, layer: int, kv_heads: tuple[int, ...] | None = None) -> Edit:
        """Return the edit that puts it into some kv heads of a layer (None: all)."""
        source = _find_source(self.kind, self.seed)

        def change(made: Made) -> Tensor:
            vectors = source(made)
            if self.kind == "clamp":
                return vectors
            return self.maps[made.layer](vectors, list(made.kv_heads))

        part: EditedPart = "keys" if self.kind == "reverse" else "values"
        return Edit(part, change, layer=layer, kv_heads=kv_heads, positions=EDITED)


def list_kinds(layers: Sequence[AttentionLayer]) -> list[str]:
    """Return the kinds that a model's layers allow.

    ``other keys`` need a second kv head, ``clamp`` keys as wide as values.
    """
    absent = set()
    if any(layer.n_kv_heads < 2 for layer in layers):
        absent.add("other keys")
    if any(layer.key.columns.shape[1] != layer.d_value for layer in layers):
        absent.add("clamp")
    return [kind for kind in KINDS if kind not in absent]


def _find_source(kind: str, seed: int) -> Source:
    """Return what a kind makes its vectors from."""
    if kind == "other keys":
        return lambda made: made.keys_of([(h + 1) % made.n_kv_heads for h in made.kv_heads])
    if kind == "random_slice":
        return lambda made: take_slice(made, seed)
    if kind == "reverse":
        return lambda made: made.values
    return lambda made: made.keys


def take_slice(made: Made, seed: int) -> Tensor:
    """Return a random Gaussian slice of x for each kv head, as wide as its key.

    The same seed, layer and head give the same slice.
    """
    width, d_input = made.d_key, made.x.shape[-1]
    parts = []
    for head in made.kv_heads:
        generator = torch.Generator().manual_seed(1_000_003 * seed + 1009 * made.layer + head)
        weights = torch.randn(d_input, width, generator=generator) / d_input**0.5
        parts.append(made.x @ weights.to(made.x))
    return torch.stack(parts, dim=-2)


class Summing:
    """Sums what one layer makes of the training text: source and target of every kind.

    Parameters
    ----------
    kinds
        Whose sources are summed.
    """

    def __init__(self, kinds: Sequence[str], seed: int) -> None:
        self.moments = Moments()
        self.sources = {
            kind: _find_source(kind, seed) for kind in kinds if kind not in ("clamp", "mean")
        }
        self.places: dict[str, tuple[slice, slice]] = {}

    def add(self, made: Made, mask: Tensor) -> None:
        """Add the real tokens of one batch; `made` holds the edited positions only."""
        parts = {"keys": made.keys, "values": made.values}
        parts |= {
            kind: source(made)
            for kind, source in self.sources.items()
            if kind in ("other keys", "random_slice")
        }
        ends, places = 0, {}
        for name, part in parts.items():
            places[name] = slice(ends, ends + part.shape[-1])
            ends += part.shape[-1]
        for kind in (*self.sources, "mean"):
            source = {"reverse": "values", "mean": "keys"}.get(kind, kind)
            target = "keys" if kind == "reverse" else "values"
            self.places[kind] = (places[source], places[target])
        vectors = torch.cat(list(parts.values()), dim=-1)
        self.moments.update(vectors[mask[:, EDITED].bool().to(vectors.device)].cpu())

    def fit(
        self, kind: str, *, rank: int | None = None, directions: Directions = "top"
    ) -> AffineMap:
        """Fit the map of one kind."""
        rank = 0 if kind == "mean" else rank
        return fit_map(self.moments, *self.places[kind], rank=rank, directions=directions)

    def explained(self, metric: Tensor) -> Tensor:
        """Return R^2, by head, of the map from keys to values in a metric of the values.

        1 - tr(G C_rest) / tr(G C_vv), in sample, with G [head, d_value, d_value].
        """
        source, target = self.places["keys"]
        covariance = self.moments.covariance
        weights = self.fit("keys").weights.double()
        fitted = weights.mT @ covariance[:, source, source] @ weights
        own = covariance[:, target, target]
        metric = metric.to(own)
        told, whole = ((metric @ part).diagonal(dim1=1, dim2=2).sum(1) for part in (fitted, own))
        return told / whole


@torch.inference_mode()
def sum_layers(
    model: Model,
    windows: Windows,
    kinds: Sequence[str],
    *,
    batch_size: int = 16,
    seed: int = 0,
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[int, Summing]:
    """Run the training text once, unchanged, and sum what every layer makes of it.

    Returns
    -------
    By the layer's place in the geometry.
    """
    places = editable_layers(model.geometry)
    found = {place: Summing(kinds, seed) for place in places}
    for batch in windows.batches(batch_size):
        edits = [_observe(found[place], place, batch.mask, last=places[-1]) for place in places]
        with intervening(model.geometry, edits), suppress(Stopped):
            _run(model, batch)
        on_batch(len(batch))
    return found


def _observe(summing: Summing, place: int, mask: Tensor, *, last: int) -> Edit:
    """Return the edit that sums and changes nothing, and ends the pass in the layer `last`."""

    def change(made: Made) -> Tensor:
        summing.add(made, mask)
        if place == last:
            raise Stopped
        return made.values

    return Edit("values", change, layer=place, positions=EDITED)


def _run(model: Model, batch: Windows) -> None:
    inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
    model.trunk(**inputs, use_cache=False)


def fit_at_once(
    layers: dict[int, Summing],
    kind: str,
    *,
    rank: int | None = None,
    directions: Directions = "top",
    seed: int = 0,
) -> Substitution:
    """Fit every layer's map on the unchanged model's keys and values.

    Parameters
    ----------
    layers
        From `sum_layers`, with the same seed.
    rank, directions
        How many directions of the source the map may use, and which; see `fit_map`.
    """
    maps: dict[int, AffineMap] = {}
    if kind != "clamp":
        for place, summing in layers.items():
            maps[place] = summing.fit(kind, rank=rank, directions=directions)
    return Substitution(kind, maps, seed)


@torch.inference_mode()
def fit_in_order(
    model: Model,
    windows: Windows,
    kind: str,
    *,
    resumes: bool,
    batch_size: int = 16,
    seed: int = 0,
    on_layer: Callable[[int], None] = lambda _: None,
) -> Substitution:
    """Fit layer by layer, each map on the stream that the substitutions below have changed.

    Parameters
    ----------
    resumes
        Whether runs of this model may begin in the middle (`probes.causal.resume.can_resume`).
    """
    blocks = Blocks(model.hf, model.geometry)
    places = editable_layers(model.geometry)
    substitution = Substitution(kind, {}, seed)
    batches = list(windows.batches(batch_size))
    streams: list[object] = [None] * len(batches)
    first = 0
    for turn, place in enumerate(places):
        below = [] if resumes else [substitution.edit(p) for p in places[:turn]]
        summing = Summing([kind], seed)
        for number, batch in enumerate(batches):
            watch = _observe(summing, place, batch.mask, last=place)
            with (
                blocks.resuming(streams[number], first=first),
                intervening(model.geometry, [*below, watch]),
                suppress(Stopped),
            ):
                _run(model, batch)
        substitution.maps[place] = summing.fit(kind)
        on_layer(1)
        if not resumes or place == places[-1]:
            continue
        upto = blocks.number[places[turn + 1]]
        for number, batch in enumerate(batches):
            with (
                blocks.resuming(streams[number], first=first),
                intervening(model.geometry, substitution.edit(place)),
                blocks.recording(upto=upto) as outputs,
                suppress(Stopped),
            ):
                _run(model, batch)
            streams[number] = outputs[-1]
        first = upto
    return substitution
