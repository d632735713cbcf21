"""Hearing what a module attends with that attends inside its own forward pass.

While it runs, the calls of torch are watched: the product of queries and keys, what is made of it
until the softmax, and the product with the values; or the one call that does it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_PRODUCTS = ("matmul", "__matmul__", "bmm", "baddbmm")
_SCALINGS = ("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply")
_DIVISIONS = ("div", "div_", "__truediv__", "__itruediv__", "true_divide")
_HIDDEN = -5e3
"""What is added to a logit below this hides it: GPT-1 adds -10,000, others the smallest number."""


@dataclass(frozen=True)
class Overheard:
    """Queries, keys and values with their heads apart, and what is added to the scaled products."""

    query: Float[Tensor, "batch head position d_head"]
    key: Float[Tensor, "batch kv_head context d_head"]
    value: Float[Tensor, "batch kv_head context d_value"]
    mask: Float[Tensor, "batch #head position context"] | Tensor | None
    scaling: float


@contextmanager
def overhearing(
    module: nn.Module, n_heads: int, n_kv_heads: int, hear: Callable[[Overheard], None]
) -> Iterator[None]:
    """Call `hear` after each forward pass of a module, unless it attended in no way known here."""
    before, forward = vars(module).get("forward"), module.forward

    def watched(*args: Any, **options: Any) -> Any:
        with _Watch() as watch:
            output = forward(*args, **options)
        if (overheard := watch.tell(n_heads, n_kv_heads)) is not None:
            hear(overheard)
        return output

    module.forward = watched
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


class _Watch(TorchFunctionMode):
    """Keeps the operands of both products and the logits, and how these were scaled."""

    def __init__(self) -> None:
        super().__init__()
        self._query = self._key = self._value = self._mask = None  # type: Tensor | None
        self._logits: Tensor | None = None
        self._weights: Tensor | None = None
        self._scaling = 1.0
        self._scaled: dict[int, tuple[Tensor, float]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options: dict[str, Any] = kwargs or {}
        result = func(*args, **options)
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            self._take_all(*args, **options)
        elif name in _PRODUCTS:
            self._take_product(args, options, result)
        elif name == "softmax" and id(args[0]) in self._scaled:
            self._logits, self._scaling = self._scaled[id(args[0])]
            self._weights = result
        elif isinstance(result, Tensor):
            self._follow(name, args, result)
        return result

    def _take_all(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **_: Any,
    ) -> None:
        self._query, self._key, self._value, self._mask = query, key, value, attn_mask
        self._scaling = query.shape[-1] ** -0.5 if scale is None else scale

    def _take_product(self, args: Any, options: dict[str, Any], result: Tensor) -> None:
        tensors = [part for part in (*args, *options.values()) if isinstance(part, Tensor)]
        left, right = tensors[-2:]
        if self._value is not None:  # it has attended
            return
        if self._weights is None:  # the last product before the softmax
            self._query, self._key = left, right.mT
            self._scaled = {id(result): (result, float(options.get("alpha", 1.0)))}
        elif left.numel() == self._weights.numel():
            self._value = right

    def _follow(self, name: str, args: Any, result: Tensor) -> None:
        """Note that a tensor was made of the product, and how it is scaled."""
        found = [self._scaled[id(part)] for part in args if id(part) in self._scaled]
        if self._weights is not None or not found:
            return
        scaling = found[0][1]
        if name in (*_SCALINGS, *_DIVISIONS) and len(args) > 1:
            by = next((part for part in args if id(part) not in self._scaled), 1.0)
            number = by if isinstance(by, float | int) else by.item() if by.numel() == 1 else 1.0
            scaling = scaling / number if name in _DIVISIONS else scaling * number
        self._scaled[id(result)] = (result, scaling)

    def tell(self, n_heads: int, n_kv_heads: int) -> Overheard | None:
        """Return what was heard, or None if it was not all there."""
        if self._query is None or self._key is None or self._value is None:
            return None
        rows = len(self._query) if self._query.ndim == 4 else len(self._query) // n_heads

        def cut(part: Tensor, heads: int) -> Tensor:
            apart = part.reshape(rows, -1, *part.shape[-2:])
            return apart[:, :: max(1, apart.shape[1] // heads)]  # keys may be repeated by group

        query = cut(self._query, n_heads)
        key, value = cut(self._key, n_kv_heads), cut(self._value, n_kv_heads)
        mask = self._mask
        if self._logits is not None:
            logits = self._logits.reshape(rows, n_heads, *self._logits.shape[-2:]).float()
            groups = torch.unflatten(query.float(), 1, (key.shape[1], -1))
            products = (groups @ key.float()[:, :, None].mT).flatten(1, 2)
            mask = logits - self._scaling * products
            mask = mask.masked_fill(mask < _HIDDEN, torch.finfo(mask.dtype).min)
        return Overheard(query, key, value, mask, self._scaling)
