"""Listening to a model's attention: what W_K and W_V read, and what the logits are made of.

Plain module hooks hear x and the projected keys. Queries, keys and values as the model uses them
(normed, rotated, with the cache) are heard where it attends: in transformers' attention interface,
or, of families that attend inside their own forward pass, in the calls of torch.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.errors import UnsupportedModelError
from probes.models.geometry import AttentionGeometry
from probes.models.layer import AttentionLayer
from probes.models.overhear import Overheard, overhearing
from probes.models.weights import IMPLEMENTATIONS


@dataclass(frozen=True, eq=False)
class Attended:
    """What one layer attends with: queries, keys and values at their last stage, and the mask.

    ``mask`` is additive or boolean (true: visible), None where nothing or only the future is
    hidden; ``bias`` is added to the logits (relative positions); ``sinks`` is one logit a head that
    takes attention and gives nothing.
    """

    query: Float[Tensor, "batch head position d_head"]
    key: Float[Tensor, "batch kv_head context d_head"]
    value: Float[Tensor, "batch kv_head context d_value"]
    mask: Tensor | None
    scaling: float
    bias: Tensor | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    def weigh(
        self, row: Int[Tensor, " query"], position: Int[Tensor, " query"], *, causal: bool
    ) -> Float[Tensor, "query head context"]:
        """Compute the attention weights of single attending tokens, in float32.

        Parameters
        ----------
        row, position
            Where in ``query`` each of them is.
        causal
            Whether a missing mask hides the future.
        """
        allowed = self.allow(row, position, causal=causal)
        return attention_weights(
            self.query[row, :, position],
            self.key[row],
            allowed=allowed,
            scaling=self.scaling,
            softcap=self.softcap,
            sinks=self.sinks,
        )

    def weigh_all(self, row: int, *, causal: bool) -> Float[Tensor, "head position context"]:
        """Compute the attention weights of every token of one row, in float32.

        Parameters
        ----------
        row
            Which of the batch.
        causal
            Whether a missing mask hides the future.
        """
        n_kv_heads, length = self.key.shape[1], self.query.shape[2]
        position = torch.arange(length, device=self.query.device)
        allowed = self.allow(torch.full_like(position, row), position, causal=causal)
        query = torch.unflatten(self.query[row].float(), 0, (n_kv_heads, -1))
        products = (query @ self.key[row, :, None].float().mT).flatten(0, 1)
        return _soften(
            self.scaling * products,
            allowed.movedim(1, 0),
            softcap=self.softcap,
            sinks=None if self.sinks is None else self.sinks[:, None],
        )

    def slopes(
        self,
        row: Int[Tensor, " query"],
        position: Int[Tensor, " query"],
        attended: Int[Tensor, " query"],
    ) -> Float[Tensor, "query head"]:
        """Compute how much a capped logit moves with its product, 1 - tanh(z / c)^2, in float32.

        1 where nothing is capped.

        Parameters
        ----------
        row, position
            Where in ``query`` each attending token is.
        attended
            Where in the context the attended one is.
        """
        queries = self.query[row, :, position].float()
        if self.softcap is None:
            return torch.ones_like(queries[..., 0])
        keys = self.key[row, :, attended].float()
        grouped = torch.unflatten(queries, 1, (keys.shape[1], -1))
        z = self.scaling * torch.einsum("qkgd,qkd->qkg", grouped, keys).flatten(1)
        return 1 - torch.tanh(z / self.softcap).square()

    def allow(self, row: Tensor, position: Tensor, *, causal: bool) -> Tensor:
        """Return what is added to the logits, [query, #head, context]."""
        context = self.key.shape[2]
        if self.mask is None:
            last = position[:, None] + context - self.query.shape[2]
            places = torch.arange(context, device=position.device)
            hidden = (places[None] > last) & causal
            allowed = _hide(hidden)[:, None]
        else:
            rows = _take(self.mask, row, position, context)
            allowed = _hide(~rows) if rows.dtype == torch.bool else rows.float()
        if self.bias is not None:
            allowed = allowed + _take(self.bias, row, position, context).float()
        return allowed


def attention_weights(
    query: Float[Tensor, "query head d_head"],
    key: Float[Tensor, "query kv_head context d_head"],
    *,
    allowed: Float[Tensor, "query #head context"],
    scaling: float,
    softcap: float | None = None,
    sinks: Float[Tensor, " head"] | None = None,
) -> Float[Tensor, "query head context"]:
    """Compute softmax(scaling q.k + allowed) for one attending token per row, kv heads unrepeated.

    With `softcap` c the scaled products z become c tanh(z / c) first; `sinks` adds one logit a head
    to the softmax's sum. In float32, for vectors of any precision.
    """
    n_kv_heads = key.shape[1]
    grouped = torch.unflatten(query, 1, (n_kv_heads, query.shape[1] // n_kv_heads)).float()
    logits = scaling * torch.einsum("qkgd,qkcd->qkgc", grouped, key.float()).flatten(1, 2)
    return _soften(logits, allowed, softcap=softcap, sinks=None if sinks is None else sinks[None])


def _soften(
    logits: Float[Tensor, "*row context"],
    allowed: Float[Tensor, "*#row context"],
    *,
    softcap: float | None,
    sinks: Float[Tensor, "*#one"] | None,
) -> Float[Tensor, "*row context"]:
    """Turn scaled products into weights; `sinks` has one number per row, or broadcasts so."""
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logits = logits + allowed
    if sinks is None:
        return torch.softmax(logits, dim=-1)
    extra = sinks.float().expand(logits.shape[:-1])[..., None]
    return torch.softmax(torch.cat([logits, extra], dim=-1), dim=-1)[..., :-1]


class Listener:
    """Hears one site's layers, counted from 0, while a model runs; nothing, unless it says how."""

    def on_keys(self, layer: int, x: Tensor, output: Tensor | None) -> None:
        """Hear x, which W_K and W_V read, and the output of the module that makes the keys.

        Both are [batch, position, width] and must be copied if kept. Layers that take keys from
        another layer, and latent attention's output, are not heard.
        """

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        """Hear what W_Q reads, and the output of the module that makes the queries."""

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Hear what the layer attends with."""


@contextmanager
def listening(hf: nn.Module, geometry: AttentionGeometry, listener: Listener) -> Iterator[None]:
    """Let `listener` hear a site of a model; every hook is removed in every case.

    Raises
    ------
    UnsupportedModelError
        If the model attends by a kernel whose masks are not known here.
    """
    with ExitStack() as stack:
        for place, layer in enumerate(geometry.layers):
            if layer.source is None:
                _hook_keys(stack, place, layer, listener)
            stack.callback(
                layer.query.module.register_forward_hook(
                    partial(_hear_queries, listener.on_queries, place)
                ).remove
            )
        stack.enter_context(_tapping(hf, geometry, listener.on_attention))
        yield


def _hear_queries(
    hear: Callable[[int, Tensor, Tensor], None],
    place: int,
    _: nn.Module,
    args: tuple[Tensor, ...],
    output: Tensor,
) -> None:
    hear(place, args[0], output)


def _hook_keys(stack: ExitStack, place: int, layer: AttentionLayer, listener: Listener) -> None:
    if layer.latent_modules is None:

        def hear(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            listener.on_keys(place, args[0], output)

        stack.callback(layer.key.module.register_forward_hook(hear).remove)
        return
    norm, joint = layer.latent_modules
    d_shared, parts = layer.key.d_shared, {}

    def hear_joint(_: nn.Module, args: Any, output: Tensor) -> None:
        parts["shared"] = output[..., -d_shared:]

    def hear_latent(_: nn.Module, args: Any, output: Tensor) -> None:
        x = torch.cat([output, parts.pop("shared")], dim=-1)
        listener.on_keys(place, x, None)

    stack.callback(joint.register_forward_hook(hear_joint).remove)
    stack.callback(norm.register_forward_hook(hear_latent).remove)


@contextmanager
def _tapping(
    hf: nn.Module, geometry: AttentionGeometry, hear: Callable[[int, Attended], None]
) -> Iterator[None]:
    by_interface = []
    with ExitStack() as stack:
        for place, layer in enumerate(geometry.layers):
            if _uses_interface(layer.module):
                by_interface.append((place, layer))
            else:
                inside = overhearing(
                    layer.module, layer.n_heads, layer.n_kv_heads, partial(_pass_on, hear, place)
                )
                stack.enter_context(inside)
        if by_interface:
            stack.enter_context(_tapping_interface(hf))
            for place, layer in by_interface:
                _taps[id(layer.module)] = partial(hear, place)
                stack.callback(_taps.pop, id(layer.module), None)
        yield


def _uses_interface(module: nn.Module) -> bool:
    """Return whether a module attends by transformers' interface, and not inside its own code."""
    calls = [
        inspect.unwrap(kind.forward) for kind in type(module).__mro__ if hasattr(kind, "forward")
    ]
    codes = [call.__code__ for call in calls if hasattr(call, "__code__")]
    return any("ALL_ATTENTION_FUNCTIONS" in code.co_names for code in codes)


def _pass_on(hear: Callable[[int, Attended], None], place: int, heard: Overheard) -> None:
    hear(place, Attended(heard.query, heard.key, heard.value, heard.mask, heard.scaling))


@contextmanager
def _tapping_interface(hf: nn.Module) -> Iterator[None]:
    """Let every config of the model name our attention function, which calls the one it had."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    found = [getattr(module, "config", None) for module in hf.modules()]
    configs = {id(config): config for config in found if config is not None}.values()
    originals = [(config, config._attn_implementation) for config in configs]
    for _, original in originals:
        if original not in IMPLEMENTATIONS:
            raise UnsupportedModelError(
                f"{type(hf).__name__} attends by {original!r}; masks are read only with "
                f"{' or '.join(IMPLEMENTATIONS)}. Call model.hf.set_attn_implementation('sdpa') "
                "first."
            )
    for original in IMPLEMENTATIONS:
        name = f"kvprobes_{original}"
        ALL_ATTENTION_FUNCTIONS.register(name, partial(_attend_tapped, original))
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS[original])
    try:
        for config, original in originals:
            config._attn_implementation_internal = f"kvprobes_{original}"
        yield
    finally:
        for config, original in originals:
            config._attn_implementation_internal = original


# Attention functions are registered globally and for good, so the function is one and the same, and
# what each module's tap does is here only while that module is tapped.
_taps: dict[int, Callable[[Attended], None]] = {}


def _attend_tapped(
    original: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> Any:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    hear = _taps.get(id(module))
    if hear is not None:
        scaling = options.get("scaling")
        hear(
            Attended(
                query=query,
                key=key,
                value=value,
                mask=attention_mask,
                scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
                bias=options.get("position_bias"),
                softcap=options.get("softcap"),
                sinks=options.get("s_aux"),
            )
        )
    if original == "eager":  # every family has an eager function of its own
        attend = sys.modules[type(module).__module__].eager_attention_forward
    else:
        attend = ALL_ATTENTION_FUNCTIONS[original]
    return attend(module, query, key, value, attention_mask, **options)


def _hide(hidden: Tensor) -> Tensor:
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, float("-inf"))


def _take(mask: Tensor, row: Tensor, position: Tensor, context: int) -> Tensor:
    """Pick [query, #head, context] from a mask [#batch, #head, #position, context]."""
    rows = row if len(mask) > 1 else torch.zeros_like(row)
    places = position if mask.shape[2] > 1 else torch.zeros_like(position)
    return mask[rows, :, places, :context]
