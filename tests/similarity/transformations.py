"""What the contract's transformations do to a measure's input, and inputs to try them on."""

from __future__ import annotations

import torch
from torch import Tensor

from probes.similarity.measure import Measure, Takes, Transformation
from probes.similarity.neighbours import find_neighbours

HEADS = (2, 3)
N_QUERY_HEADS, D_KEY, D_VALUE, D_INPUT = 4, 5, 7, 23
VECTORS = (Takes.COORDINATES, Takes.HELD_OUT, Takes.WORDS, Takes.NEIGHBOURHOODS)


def call(measure: Measure, inputs: tuple[Tensor, ...]) -> Tensor:
    """Measure vectors or figures; each row is a word of its own to the measures of neighbours."""
    if measure.takes is not Takes.NEIGHBOURHOODS:
        return measure.function(*inputs)
    rows = torch.arange(inputs[0].shape[-2])[:, None]
    return measure.function(*(find_neighbours(side, rows) for side in inputs))


def draw_rotation(*shape, generator):
    return torch.linalg.qr(torch.randn(*shape, generator=generator, dtype=torch.float64))[0]


def draw_map(size, generator):
    """A linear map of condition number 200: a rotation, a stretch, a rotation."""
    left, right = (draw_rotation(*HEADS, size, size, generator=generator) for _ in range(2))
    stretch = torch.logspace(0, 2.3, size, dtype=torch.float64)
    return left * stretch @ right


def _increase(figure: Tensor) -> Tensor:
    return figure.exp() + 2 * figure**3


def transform(
    takes: Takes, change: Transformation, inputs: tuple[Tensor, ...], generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Make one change of a measure's inputs."""
    T = Transformation
    first, second = inputs[:2]
    rest = inputs[2:]
    is_key = change.name.endswith("_KEYS")
    if change is T.SWAPPED:
        return (second, first, *rest)
    if change is T.EXCHANGED_WORDS:
        return (first, rest[0], second)
    if change is T.INCREASING_ATTENTION:
        power = torch.rand(*HEADS, N_QUERY_HEADS, 1, generator=generator) + 0.5
        return (first, *(10 * side**power for side in inputs[1:]))
    if change is T.REORDERED_QUERY_HEADS:
        order = torch.randperm(N_QUERY_HEADS, generator=generator)
        return (first, *(side[..., order, :] for side in inputs[1:]))
    if change is T.REORDERED:
        axis = -2 if takes in VECTORS else -1
        order = torch.randperm(first.shape[axis], generator=generator)
        sides = [side.index_select(axis, order) for side in inputs[:2]]
        return (*sides, *(side[..., order] for side in rest))
    if change is T.ROTATED_INPUT:
        rotation = draw_rotation(D_INPUT, D_INPUT, generator=generator)
        return (first @ rotation, second @ rotation, *rest)
    changed = _transform_side(takes, change, first if is_key else second, generator)
    return (changed, second, *rest) if is_key else (first, changed, *rest)


def _transform_side(
    takes: Takes, change: Transformation, side: Tensor, generator: torch.Generator
) -> Tensor:
    kind = change.name.partition("_")[0]
    if kind == "INCREASING":
        return _increase(side)
    if kind == "SCALED":
        return side * (torch.rand(*HEADS, 1, 1, generator=generator) * 3 + 0.1)
    width = side.shape[-1 if takes in VECTORS else -2]
    if kind == "SHIFTED":
        return side + 4 * torch.randn(*HEADS, 1, width, generator=generator).double()
    matrix = (
        draw_map(width, generator)
        if kind == "MAPPED"
        else draw_rotation(*HEADS, width, width, generator=generator)
    )
    return side @ matrix if takes in VECTORS else matrix @ side


def draw_inputs(
    takes: Takes, count: int, generator: torch.Generator, *, relation: str, d_value: int = D_VALUE
) -> tuple[Tensor, ...]:
    """Draw an input whose two sides are ``related``, ``independent`` or ``identical``."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*HEADS, *shape, generator=generator, dtype=torch.float64)

    d_value = D_KEY if relation == "identical" else d_value
    match takes:
        case _ if takes in VECTORS:
            key = draw(count, D_KEY) * torch.linspace(0.5, 2, D_KEY, dtype=torch.float64)
            value = draw(count, d_value)
            if relation == "related":  # partly, and not by a linear map
                value[..., :D_KEY] += key + 0.5 * key**2
            value = key if relation == "identical" else value
            words = torch.randperm(count, generator=generator)
            return (key, value, words) if takes is Takes.HELD_OUT else (key, value)
        case Takes.WEIGHTS:
            key, value = draw(D_KEY, D_INPUT), draw(d_value, D_INPUT)
            if relation == "related":
                value[..., :D_KEY, :] += key
            return key, key if relation == "identical" else value
        case Takes.ATTENTION:
            similarity = draw(count)
            sides = torch.randn(2, *HEADS, N_QUERY_HEADS, count, generator=generator).double()
            if relation == "related":
                sides = sides + similarity[..., None, :]
            if relation == "identical":
                sides = similarity[..., None, :].expand(sides.shape)
            left, right = sides.sigmoid()
            return similarity, left, right
        case _:
            key, value = draw(count).abs(), draw(count).abs()
            value = value + key / 2 if relation == "related" else value
            return key, key if relation == "identical" else value
