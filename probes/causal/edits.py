"""Editing the keys or values that a model makes, head by head, while it runs.

An edit works on what the projection gives: keys before QK-norm and rotation, values before their
norm. It is made by plain hooks on the HF model's own modules, found through the same geometry that
the capture reads, so every family is addressed alike: site, layer, kv head. (The transformer-lens
bridge is not used: it forces eager attention, and its hook names are missing or dead in several
families.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.errors import UnsupportedModelError, UsageError
from probes.models.geometry import AttentionGeometry
from probes.models.layer import AttentionLayer
from probes.models.projections import HeadNorm, Projection

EditedPart = Literal["keys", "values"]


@dataclass(frozen=True, eq=False)
class Made:
    """What a layer made of its current stream, at an edit's rows, positions and kv heads.

    Keys and values are as projected, before any edit of this layer. With latent attention a key is
    the head's own part, without the rotary part that all heads share.

    Parameters
    ----------
    layer
        The layer's place in the geometry.
    x
        What W_K and W_V read (with latent attention: the normed latent).
    """

    layer: int
    kv_heads: tuple[int, ...]
    x: Float[Tensor, "row position d_input"]
    _how: AttentionLayer
    _outputs: dict[EditedPart, Tensor]

    @cached_property
    def keys(self) -> Float[Tensor, "row position kv_head d_own"]:
        """The projected keys."""
        return self._make("keys", self._how.key)

    @cached_property
    def values(self) -> Float[Tensor, "row position kv_head d_value"]:
        """The projected values."""
        return self._make("values", self._how.value)

    def keys_of(self, kv_heads: Sequence[int]) -> Float[Tensor, "row position kv_head d_own"]:
        """Return the projected keys of other kv heads of the layer."""
        return self._make("keys", self._how.key, tuple(kv_heads))

    @property
    def n_kv_heads(self) -> int:
        """How many kv heads the layer has, edited or not."""
        return self._how.n_kv_heads

    @property
    def d_key(self) -> int:
        """The width of a key (with latent attention: of the head's own part)."""
        return int(self._how.key.columns.shape[1])

    def _make(
        self, part: EditedPart, projection: Projection, kv_heads: tuple[int, ...] | None = None
    ) -> Tensor:
        heads = list(self.kv_heads if kv_heads is None else kv_heads)
        if part in self._outputs:
            return self._outputs[part][..., heads, :]
        made = projection.project(self.x)
        return made[..., heads, :]


Change = Callable[[Made], Tensor]
"""What the vectors become, [row, position, kv_head, d]; see `Made`."""


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of keys or values at one site.

    Parameters
    ----------
    part
        Whether keys or values are changed.
    change
        Gives the new vectors of the edit's rows, positions and kv heads.
    layer
        Place of the layer in the geometry; None edits every layer that makes keys of its own.
    kv_heads
        Which kv heads; None for all.
    rows, positions
        Which rows of the batch and which positions (of what W_K and W_V read); None for all.
    """

    part: EditedPart
    change: Change
    layer: int | None = None
    kv_heads: tuple[int, ...] | None = None
    rows: slice | None = None
    positions: slice | None = None

    @property
    def where(self) -> tuple[slice, slice]:
        """The rows and positions as indices."""
        return (self.rows or slice(None), self.positions or slice(None))


@contextmanager
def intervening(geometry: AttentionGeometry, edits: Edit | Sequence[Edit]) -> Iterator[None]:
    """Let a model run with edited keys and values; every hook is removed in every case.

    All edits of a layer see what it made before any of them. Where two edit the same vectors, the
    later one counts.

    Parameters
    ----------
    geometry
        Of the site to edit: ``model.geometry`` or ``model.at("cross")``.

    Raises
    ------
    UsageError
        If a layer or kv head does not exist, a part is neither keys nor values, or a layer takes
        its keys and values from another one. While the model runs: if a change gives another shape.
    UnsupportedModelError
        If keys and values cannot be distinguished where they are made.
    """
    edits = (edits,) if isinstance(edits, Edit) else tuple(edits)
    by_layer: dict[int, list[Edit]] = {}
    for edit in edits:
        for place in _find_layers(geometry, edit):
            by_layer.setdefault(place, []).append(edit)
    with ExitStack() as stack:
        for place, found in by_layer.items():
            layer = geometry.layers[place]
            if layer.reuses_keys_as_values:
                _hook_norms(stack, place, layer, found)
            else:
                _hook_projections(stack, place, layer, found)
        yield


def editable_layers(geometry: AttentionGeometry) -> list[int]:
    """Return the places of the layers that make keys and values of their own."""
    return [place for place, layer in enumerate(geometry.layers) if layer.source is None]


def _find_layers(geometry: AttentionGeometry, edit: Edit) -> list[int]:
    """Check an edit and return the places it works at."""
    if edit.part not in ("keys", "values"):
        raise UsageError(f"part is {edit.part!r}; give 'keys' or 'values'.")
    places = editable_layers(geometry) if edit.layer is None else [edit.layer]
    for place in places:
        if not 0 <= place < geometry.n_layers:
            raise UsageError(
                f"layer {place} does not exist: the {geometry.site} site has {geometry.n_layers} "
                f"layers, 0 to {geometry.n_layers - 1}."
            )
        layer = geometry.layers[place]
        if layer.source is not None:
            raise UsageError(
                f"layer {place} takes its keys and values from layer {layer.source}: edit them "
                "there, which changes both."
            )
        strange = [h for h in edit.kv_heads or () if not 0 <= h < layer.n_kv_heads]
        if strange:
            raise UsageError(
                f"kv head {strange[0]} does not exist: layer {place} has {layer.n_kv_heads}, 0 to "
                f"{layer.n_kv_heads - 1}."
            )
    return places


def _hook_projections(
    stack: ExitStack, place: int, layer: AttentionLayer, edits: Sequence[Edit]
) -> None:
    """Edit the outputs of the modules that make keys and values, each module in one hook."""
    projections: dict[EditedPart, Projection] = {"keys": layer.key, "values": layer.value}
    modules = {id(part.module): part.module for part in projections.values()}
    for module in modules.values():
        here: dict[EditedPart, Projection] = {
            part: how for part, how in projections.items() if how.module is module
        }
        mine = [edit for edit in edits if edit.part in here]
        if not mine:
            continue

        def hook(
            _: nn.Module,
            args: tuple[Tensor, ...],
            output: Tensor,
            here: dict[EditedPart, Projection] = here,
            mine: list[Edit] = mine,
        ) -> Tensor:
            x = _drop_axis(args[0])
            outputs = {part: how.split(_drop_axis(output)) for part, how in here.items()}
            edited = output.clone(memory_format=torch.contiguous_format)
            for edit in mine:
                new = _change(edit, place, layer, x, outputs)
                columns = here[edit.part].columns
                if edit.kv_heads is not None:
                    columns = columns[list(edit.kv_heads)]
                window = _drop_axis(edited)[edit.where]
                window[..., columns.flatten().to(output.device)] = new.flatten(-2)
            return edited

        stack.callback(module.register_forward_hook(hook).remove)


def _hook_norms(stack: ExitStack, place: int, layer: AttentionLayer, edits: Sequence[Edit]) -> None:
    """Edit what goes into the norms, where one projection makes both keys and values."""
    seen: dict[str, Tensor] = {}

    def hear(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen["x"], seen["keys"] = args[0], layer.key.split(output)

    stack.callback(layer.key.module.register_forward_hook(hear).remove)
    norms: dict[EditedPart, HeadNorm | None] = {"keys": layer.key_norm, "values": layer.value_norm}
    for part, norm in norms.items():
        mine = [edit for edit in edits if edit.part == part]
        if not mine:
            continue
        if norm is None:
            raise UnsupportedModelError(
                f"layer {place} makes keys and values by one projection and has no norm of {part}, "
                "so one cannot be edited without the other."
            )

        def hook(
            _: nn.Module,
            args: tuple[Tensor, ...],
            norm: HeadNorm = norm,
            mine: list[Edit] = mine,
        ) -> tuple[Any, ...]:
            outputs: dict[EditedPart, Tensor] = {"keys": seen["keys"], "values": seen["keys"]}
            edited = args[0].clone()
            by_head = norm.read(edited, layer.n_kv_heads)  # a view
            for edit in mine:
                new = _change(edit, place, layer, seen["x"], outputs)
                window = by_head[edit.where]
                window[:, :, list(edit.kv_heads or range(layer.n_kv_heads))] = new
            return (edited, *args[1:])

        stack.callback(norm.module.register_forward_pre_hook(hook).remove)


def _drop_axis(vectors: Tensor) -> Tensor:
    """Drop the axis of one that DeepSeek's latent has between rows and positions (a view)."""
    return vectors.squeeze(1) if vectors.ndim == 4 else vectors


def _change(
    edit: Edit,
    place: int,
    layer: AttentionLayer,
    x: Tensor,
    outputs: dict[EditedPart, Tensor],
) -> Tensor:
    """Compute an edit's new vectors and check their shape."""
    kv_heads = tuple(range(layer.n_kv_heads)) if edit.kv_heads is None else tuple(edit.kv_heads)
    made = Made(
        layer=place,
        kv_heads=kv_heads,
        x=x[edit.where],
        _how=layer,
        _outputs={part: output[edit.where] for part, output in outputs.items()},
    )
    new = edit.change(made)
    projection = layer.key if edit.part == "keys" else layer.value
    expected = (*made.x.shape[:2], len(kv_heads), projection.columns.shape[1])
    if tuple(new.shape) != expected:
        raise UsageError(
            f"the change of {edit.part} in layer {place} gave shape {tuple(new.shape)}; expected "
            f"[row, position, kv_head, d] = {expected}."
        )
    return new.to(x.dtype)
