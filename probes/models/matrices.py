"""The weights of linear layers as matrices: kept as such, or read from what the layers do.

A quantised layer, or one with an adapter, may keep its weights in any form. What it makes of the
unit vectors is its matrix, if it is linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from probes.errors import NoMatrixError

ROUNDED_INPUT = 0.05
"""How far a layer may be from a matrix, of its largest output: some round their input to 8 bits."""

_ROWS = 512
_WIDTHS = ("in_features", "infeatures"), ("out_features", "outfeatures")
_EXACT = 1e-4
_rounding: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_remembered: ContextVar[dict[nn.Module, Tensor] | None] = ContextVar("matrices", default=None)


@torch.no_grad()
def is_plain(module: nn.Module) -> bool:
    """Return whether a module keeps its weights as a matrix of numbers."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or type(weight) not in (Tensor, nn.Parameter):
        return False
    if type(module) is Conv1D or type(module).forward is nn.Linear.forward:
        return weight.is_floating_point()
    if not isinstance(module, nn.Linear) or weight.dtype != torch.float32:
        return False
    tried = torch.randn(2, weight.shape[1], generator=torch.Generator().manual_seed(0))
    expected = nn.Linear.forward(module, tried.to(weight.device))
    own = _feed(module, tried)
    return own.shape == expected.shape and torch.allclose(own, expected, rtol=1e-4, atol=1e-5)


def read_matrix(module: nn.Module) -> Float[Tensor, "d_input d_output"]:
    """Return the weights of a linear module; GPT-2's Conv1D holds them the other way round.

    Raises
    ------
    NoMatrixError
        If what the module computes is no matrix's work.
    """
    if is_plain(module):
        matrix = module.get_parameter("weight").detach()
        return matrix if type(module) is Conv1D else matrix.T
    remembered = _remembered.get()
    if remembered is None:
        return _measure(module)
    if module not in remembered:
        remembered[module] = _measure(module)
    return remembered[module]


@torch.no_grad()
def read_bias(module: nn.Module) -> Float[Tensor, " d_output"] | None:
    """Return the bias of a linear module, or None where it has none."""
    if not is_plain(module):
        nothing = _feed(module, torch.zeros(1, count_inputs(module)))[0]
        return nothing if bool(nothing.any()) else None
    bias = getattr(module, "bias", None)
    return None if bias is None else bias.detach()


def count_inputs(module: nn.Module) -> int:
    """Return how many numbers a linear module reads."""
    return _count(module, 0)


def count_outputs(module: nn.Module) -> int:
    """Return how many numbers a linear module makes."""
    return _count(module, 1)


def maps_vectors(module: nn.Module) -> bool:
    """Return whether a module maps vectors to vectors: it has two widths."""
    return all(_find_width(module, axis) is not None for axis in (0, 1))


def rounds_input(hf: nn.Module) -> bool:
    """Return whether any linear layer of a model rounds what it reads, to 8 bits for instance."""
    return any(_rounds(module) for module in hf.modules() if maps_vectors(module))


@torch.no_grad()
def _rounds(module: nn.Module) -> bool:
    if module not in _rounding:
        tried = torch.randn(2, count_inputs(module), generator=torch.Generator().manual_seed(0))
        try:
            if is_plain(module):
                return False
            made = _feed(module, torch.stack([*tried, tried.sum(0), 0 * tried[0]]))
        except NoMatrixError:  # experts, for instance, which want more than vectors
            return False
        one, other, both, nothing = made
        gap = (one + other - both - nothing).abs().max()
        _rounding[module] = bool(gap > _EXACT * both.abs().max())
    return _rounding[module]


@contextmanager
def remembering() -> Iterator[None]:
    """Measure a matrix once in this block, in which no weight changes."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def _count(module: nn.Module, axis: int) -> int:
    width = _find_width(module, axis)
    if width is None:
        raise NoMatrixError(f"a {type(module).__name__} does not say how wide it is.")
    return width


def _find_width(module: nn.Module, axis: int) -> int | None:
    if type(module) is Conv1D:
        return int(module.get_parameter("weight").shape[axis])
    base = getattr(module, "base_layer", module)  # an adapter has the widths of what it adapts
    found = (getattr(base, name, None) for name in _WIDTHS[axis])
    return next((width for width in found if isinstance(width, int)), None)


@torch.no_grad()
def _measure(module: nn.Module) -> Tensor:
    """Feed the unit vectors, and see that the matrix explains what any other vector gives."""
    width = count_inputs(module)
    bias = _feed(module, torch.zeros(1, width))
    blocks = torch.split(torch.arange(width), _ROWS)
    units = (torch.nn.functional.one_hot(block, width).float() for block in blocks)
    matrix = torch.cat([_feed(module, unit) for unit in units]) - bias
    tried = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    made, own = tried.to(matrix) @ matrix + bias, _feed(module, tried)
    if not (made - own).abs().max() <= ROUNDED_INPUT * own.abs().max():
        raise NoMatrixError(
            f"a {type(module).__name__} computes what no matrix does: its weights cannot be had."
        )
    return matrix


def _feed(module: nn.Module, vectors: Tensor) -> Tensor:
    """Return what a module makes of vectors, in float32, whatever it computes in."""
    held = list(chain(module.parameters(), module.buffers()))
    kept = {tensor.dtype for tensor in held if tensor.is_floating_point()}
    device = held[0].device if held else torch.device("cpu")
    own = [dtype for dtype in (torch.float32, torch.bfloat16, torch.float16) if dtype in kept]
    for dtype in (*own, torch.float32, torch.bfloat16, torch.float16):
        try:
            made = module(vectors.to(device, dtype))
        except (RuntimeError, AssertionError, ValueError, TypeError):  # it wants another precision
            continue
        if not isinstance(made, Tensor):
            break
        return made.float()
    raise NoMatrixError(f"a {type(module).__name__} takes no vectors of ordinary numbers.")
