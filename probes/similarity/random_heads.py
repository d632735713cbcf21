"""Random heads: random W_Q, W_K, W_V and W_O of the trained shapes on the trained x.

They are drawn in one way for all questions, from a stream for each seed, layer and kind, so that a
null has one value wherever it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import UsageError
from probes.similarity.condition import Condition
from probes.similarity.spaces import HeadMetrics

if TYPE_CHECKING:
    from probes.capture.store import Store
    from probes.similarity.null_sides import NullLayer
    from probes.similarity.sides import Side


@dataclass(frozen=True)
class RandomHeads:
    """Keys, values and functional metrics of random kv heads on one layer's trained x."""

    k: Float[Tensor, "kv_head occurrence d_head"]
    v: Float[Tensor, "kv_head occurrence d_value"]
    metrics: HeadMetrics


RandomKind = Literal["gaussian", "orthonormal", "spectrum"]
"""``gaussian``: independent entries; ``orthonormal``: orthonormal rows, in uniformly random
directions; ``spectrum``: the trained singular values between uniformly random rotations on both
sides."""


@dataclass(frozen=True)
class Spectra:
    """Singular values of each head's trained weights, the largest first."""

    query: Float[Tensor, "head n_query"]
    key: Float[Tensor, "kv_head n_key"]
    value: Float[Tensor, "kv_head n_value"]
    output: Float[Tensor, "head n_output"]


def read_spectra(store: Store, layer: int) -> Spectra:
    """Read the singular values of one layer's trained weights from a capture."""
    constants = store.read_constants()
    return Spectra(
        **{part: constants[f"spectrum.{part}.{layer}"] for part in Spectra.__annotations__}
    )


def open_stream(kind: RandomKind | Literal["slice"], *, seed: int, layer: int) -> torch.Generator:
    """Open the stream of random numbers of one kind of null in one layer.

    Each has its own, so that no draw depends on another: those of 1,500 layers and all seeds.
    """
    place = {"gaussian": 0, "orthonormal": 2_001, "spectrum": 3_502, "slice": 5_003}[kind]
    return torch.Generator().manual_seed(seed * 10_007 + place + layer)


def draw_heads(store: Store, layer: int, *, kind: RandomKind, draws: int, seed: int) -> RandomHeads:
    """Draw random heads of one kind that read one layer's trained x.

    Parameters
    ----------
    draws
        Heads for each trained kv head.
    """
    n_kv_heads = store.number("n_kv_heads", layer)
    return draw_random_heads(
        store.read("x", layer),
        store.read("x_query", layer),
        n_kv_heads=n_kv_heads * draws,
        group_size=store.number("n_heads", layer) // n_kv_heads,
        d_head=store.number("d_head", layer),
        d_value=store.number("d_value", layer),
        logit_scale=store.number("logit_scale", layer),
        generator=open_stream(kind, seed=seed, layer=layer),
        kind=kind,
        spectra=read_spectra(store, layer) if kind == "spectrum" else None,
    )


def draw_random_heads(
    x: Float[Tensor, "occurrence d_input"],
    x_query: Float[Tensor, "query d_model"],
    *,
    n_kv_heads: int,
    group_size: int,
    d_head: int,
    d_value: int | None = None,
    logit_scale: float,
    generator: torch.Generator,
    kind: RandomKind = "gaussian",
    spectra: Spectra | None = None,
) -> RandomHeads:
    """Draw kv heads with random W_Q, W_K, W_V and W_O and let them read the trained x.

    No measure depends on a weight's scale. The rotation of rotary models is left out: a random W_Q
    of any of these kinds times a rotation is drawn as often.

    Parameters
    ----------
    x, x_query
        What W_K and W_V read at the attended words, and W_Q at the attending ones.
    n_kv_heads
        How many to draw; with `spectra`, a multiple of the trained ones, which are matched in turn.
    d_value
        The width of a value, if it is another than a key's.
    kind, spectra
        How weights are drawn; ``spectrum`` needs the trained singular values.

    Raises
    ------
    UsageError
        If ``spectrum`` is asked for without singular values.
    """
    if kind == "spectrum" and spectra is None:
        raise UsageError("spectrum-matched heads need the trained singular values (read_spectra)")
    d_value = d_value or d_head

    def draw(part: str, n_heads: int, d: int, d_input: int) -> Tensor:
        singular = None
        if kind == "spectrum":
            trained = getattr(spectra, part).double()
            singular = trained.repeat(n_heads // len(trained), 1)
        return draw_weights(n_heads, d, d_input, kind=kind, singular=singular, generator=generator)

    n_heads, d_model = n_kv_heads * group_size, x_query.shape[1]
    key_weights = draw("key", n_kv_heads, d_head, x.shape[1]).to(x.dtype)
    value_weights = draw("value", n_kv_heads, d_value, x.shape[1]).to(x.dtype)
    query_weights = draw("query", n_heads, d_head, d_model).to(x_query.dtype)
    written = draw("output", n_heads, d_value, d_model)
    q = torch.einsum("om,hdm->hod", x_query, query_weights).double()
    grouped = q.reshape(n_kv_heads, group_size * len(x_query), d_head)
    blocks = written.reshape(n_kv_heads, group_size, d_value, d_model)
    return RandomHeads(
        k=torch.einsum("om,hdm->hod", x, key_weights),
        v=torch.einsum("om,hdm->hod", x, value_weights),
        metrics=HeadMetrics(
            key=grouped.mT @ grouped / grouped.shape[1] * logit_scale**2,
            value=torch.einsum("hgdm,hgem->hde", blocks, blocks),
        ),
    )


def draw_weights(
    n_heads: int,
    d: int,
    d_input: int,
    *,
    kind: RandomKind,
    generator: torch.Generator,
    singular: Float[Tensor, "head singular"] | None = None,
) -> Float[Tensor, "head d d_input"]:
    """Draw one weight matrix per head, float64; see `RandomKind`.

    Gaussian entries have variance 1 / d_input. Orthonormal rows come from the QR decomposition of a
    Gaussian matrix with the signs of R's diagonal removed (Mezzadri 2007). Where d exceeds
    d_input, the columns are orthonormal instead.
    """
    gaussian = _draw_gaussian(generator, n_heads, d, d_input)
    if kind == "gaussian":
        return gaussian / math.sqrt(d_input)
    narrow = min(d, d_input)
    inner = _orthonormal(gaussian.mT if d <= d_input else gaussian)  # [head, wide, narrow]
    if kind == "orthonormal" or singular is None:
        directions: Tensor = inner.mT if d <= d_input else inner
        return directions
    rotation = _orthonormal(_draw_gaussian(generator, n_heads, narrow, narrow))
    scaled: Tensor = rotation * singular[:, None, :narrow]
    return scaled @ inner.mT if d <= d_input else inner @ scaled.mT


def _draw_gaussian(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _orthonormal(matrix: Float[Tensor, "head wide narrow"]) -> Float[Tensor, "head wide narrow"]:
    """Make the columns orthonormal; of a Gaussian matrix, uniformly so."""
    q, r = torch.linalg.qr(matrix)
    orthonormal: Tensor = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    return orthonormal


def random_slice(
    x: Float[Tensor, "occurrence d_model"],
    *,
    n_slices: int,
    width: int,
    generator: torch.Generator,
) -> Float[Tensor, "n_slices occurrence width"]:
    """Project x on random Gaussian directions: as many numbers as a key holds, chosen at random."""
    weights = torch.randn(n_slices, width, x.shape[1], generator=generator, dtype=torch.float64)
    return torch.einsum("om,sdm->sod", x, (weights / x.shape[1] ** 0.5).to(x.dtype))


def _draw_sides(given: NullLayer, *, kind: RandomKind) -> Iterator[tuple[Side, Side]]:
    captured = given.captured
    heads = draw_heads(captured.store, given.layer, kind=kind, draws=given.draws, seed=given.seed)
    keys = captured.place(heads.k, heads.metrics, "key")
    values = captured.place(heads.v, heads.metrics, "value")
    yield given.make_side(keys), given.make_side(values)


CONDITIONS = (
    Condition(
        "random_heads",
        "random heads",
        "#009E73",
        "^",
        line="-.",
        keeps="the trained input of the layer, and the shapes of the weights",
        breaks="the weights: W_Q, W_K, W_V and W_O with independent Gaussian entries",
        meaning=(
            "Gaussian W_Q, W_K, W_V, W_O of the trained shapes on the trained input: heads that "
            "learned nothing."
        ),
        sides=partial(_draw_sides, kind="gaussian"),
    ),
    Condition(
        "orthonormal_heads",
        "orthonormal heads",
        "#117733",
        "p",
        keeps="the trained input of the layer, and the shapes of the weights",
        breaks="the weights: random orthonormal rows",
        meaning="Random heads whose weights have orthonormal rows.",
        sides=partial(_draw_sides, kind="orthonormal"),
    ),
    Condition(
        "spectrum_heads",
        "spectrum heads",
        "#999933",
        "h",
        keeps="the trained input of the layer, and the singular values of the trained weights",
        breaks="the directions of the weights",
        meaning=(
            "Random heads whose weights have the trained singular values, between uniformly random "
            "rotations."
        ),
        sides=partial(_draw_sides, kind="spectrum"),
    ),
    Condition(
        "random_slice",
        "random slice of x",
        "#CC79A7",
        "D",
        keeps="the trained input of the layer, and the trained values",
        breaks="the keys: as many random directions of the input are in their place",
        meaning=(
            "For tieability: as many random directions of the input of the layer as a key has "
            "numbers, in the place of the keys. Keys that give less than this know less of the "
            "values than a blind choice."
        ),
    ),
)
