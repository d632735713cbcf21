"""Hooks that read keys, values, queries and x at the wanted positions while a model runs.

Plain module hooks read x and the projections; a registered attention function sees queries and keys
as the logits see them (normed, rotated), then calls the model's own. Both gather inside the hook
and copy what they gather, so that nothing pins a full activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.capture.plan import TokenSequence
from probes.errors import UnsupportedModelError
from probes.models.model import Model

KeyStage = Literal["projected", "normed", "rotated"]
OnAttention = Callable[[int, Tensor, Tensor, Tensor | None, float | None], None]
"""(layer, query [batch, head, position, d_head], key [batch, kv_head, context, d_head], mask,
scaling)"""


class Enough(Exception):  # noqa: N818 - not an error: it ends a forward pass whose rest is not needed
    """Raised in the last layer's attention, when all that is wanted has been read."""


@dataclass(frozen=True)
class Aim:
    """Where to read in one batch. Positions count within the rest that is run, after the prefix."""

    row: Int[Tensor, " piece"]
    position: Int[Tensor, " piece"]
    slot: Int[Tensor, " piece"]
    """Which occurrence of the batch a piece belongs to (several where pieces are averaged)."""
    n_occurrences: int
    query_row: Int[Tensor, " query"]
    query_position: Int[Tensor, " query"]
    attended: Int[Tensor, " query"]
    """The attended token's absolute position, prefix included."""
    sampled: Int[Tensor, " sample"]
    """Which of the batch's queries also keep their x."""
    prefix_length: int


def take_aim(
    sequences: Sequence[TokenSequence],
    *,
    take: str,
    prefix_length: int,
    sampled: frozenset[int],
    device: torch.device,
) -> Aim:
    """Turn the read-outs of a batch's sequences into index tensors on `device`."""
    pieces: list[tuple[int, int, int]] = []
    queries: list[tuple[int, int, int, int]] = []
    slot = 0
    for row, sequence in enumerate(sequences):
        for _, span in sequence.occurrences:
            first = span.first if take == "mean" else span.last
            pieces += [
                (row, position - prefix_length, slot) for position in range(first, span.last + 1)
            ]
            slot += 1
        queries += [
            (row, position - prefix_length, attended, query)
            for query, position, attended in sequence.queries
        ]
    piece_columns = torch.tensor(pieces, device=device, dtype=torch.long).reshape(-1, 3).T
    query_columns = (
        torch.tensor([q[:3] for q in queries], device=device, dtype=torch.long).reshape(-1, 3).T
    )
    return Aim(
        row=piece_columns[0],
        position=piece_columns[1],
        slot=piece_columns[2],
        n_occurrences=slot,
        query_row=query_columns[0],
        query_position=query_columns[1],
        attended=query_columns[2],
        sampled=torch.tensor(
            [index for index, q in enumerate(queries) if q[3] in sampled],
            device=device,
            dtype=torch.long,
        ),
        prefix_length=prefix_length,
    )


@dataclass
class Reading:
    """What one batch gave; lists are per layer while the model runs, tensors once `finish`ed.

    ``k``, ``v`` [occurrence, layer, kv_head, d_head]; ``x`` [occurrence, layer, d_model];
    ``attention`` [query, layer, head], the weight of the attended token; ``x_query``
    [sample, layer, d_model]; ``query_moment`` [layer, kv_head, d_head, d_head], the sum over the
    batch's queries and the group's heads of q q', each query turned back by the attended position
    so that its product with the key stage stored is the logit (with QK-norm and projected keys:
    its product with the normed key, since no matrix undoes a norm).
    """

    k: Tensor
    v: Tensor
    x: Tensor
    attention: Tensor
    x_query: Tensor
    query_moment: Tensor


class Reader:
    """Reads into a `Reading`, batch by batch, while its hooks are attached.

    Between `finish` and the next `start` the hooks stay silent.
    """

    def __init__(self, model: Model, *, key_stage: KeyStage) -> None:
        self.model = model
        self.key_stage = key_stage
        self.aim: Aim | None = None
        self._parts: dict[str, list[Tensor | None]] = {}

    @contextmanager
    def attached(self) -> Iterator[Reader]:
        """Attach all hooks and the attention tap; remove them whatever happens."""
        handles: list[Any] = []
        geometry = self.model.geometry
        try:
            for layer, projections in enumerate(geometry.projections):
                handles.append(
                    projections.key_module.register_forward_hook(partial(self._on_key, layer))
                )
                handles.append(
                    projections.value_module.register_forward_hook(partial(self._on_value, layer))
                )
                if self.key_stage == "normed" and projections.key_norm is not None:
                    handles.append(
                        projections.key_norm.register_forward_hook(
                            partial(self._on_normed_key, layer)
                        )
                    )
            with tapping(self.model, self._on_attention):
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def start(self, aim: Aim) -> None:
        """Say where the next forward pass is to be read."""
        self.aim = aim
        n_layers = self.model.geometry.n_layers
        names = ("k", "v", "x", "attention", "x_query", "query_moment")
        self._parts = {name: [None] * n_layers for name in names}

    def finish(self) -> Reading:
        """Stack what the layers gave."""
        self.aim = None
        stacked = {
            name: torch.stack([part for part in parts if part is not None], dim=1)
            for name, parts in self._parts.items()
            if name != "query_moment"
        }
        moments = torch.stack([part for part in self._parts["query_moment"] if part is not None])
        self._parts = {}
        return Reading(**stacked, query_moment=moments)

    def _gather(self, aim: Aim, activation: Tensor) -> Tensor:
        """Read [batch, position, ...] at the aim's occurrences, averaging a word's pieces."""
        pieces = activation[aim.row, aim.position]
        if aim.n_occurrences == len(pieces):
            return pieces
        sums = pieces.new_zeros(aim.n_occurrences, *pieces.shape[1:])
        counts = torch.bincount(aim.slot, minlength=aim.n_occurrences).to(pieces.dtype)
        sums.index_add_(0, aim.slot, pieces)
        return sums / counts.reshape(-1, *[1] * (pieces.ndim - 1))

    def _on_key(self, layer: int, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if (aim := self.aim) is None:
            return
        x = args[0]
        self._parts["x"][layer] = self._gather(aim, x)
        rows, positions = aim.query_row[aim.sampled], aim.query_position[aim.sampled]
        self._parts["x_query"][layer] = x[rows, positions]
        if self._reads_projection(layer):
            projections = self.model.geometry.projections[layer]
            self._parts["k"][layer] = self._gather(aim, projections.split_key(output))

    def _on_normed_key(self, layer: int, _: nn.Module, args: Any, output: Tensor) -> None:
        if self.aim is not None:
            self._parts["k"][layer] = self._gather(self.aim, output)

    def _on_value(self, layer: int, _: nn.Module, args: Any, output: Tensor) -> None:
        if self.aim is not None:
            values = self.model.geometry.projections[layer].split_value(output)
            self._parts["v"][layer] = self._gather(self.aim, values)

    def _reads_projection(self, layer: int) -> bool:
        norm = self.model.geometry.projections[layer].key_norm
        return self.key_stage == "projected" or (self.key_stage == "normed" and norm is None)

    def _on_attention(
        self,
        layer: int,
        query: Float[Tensor, "batch head position d_head"],
        key: Float[Tensor, "batch kv_head context d_head"],
        mask: Tensor | None,
        scaling: float | None,
    ) -> None:
        if (aim := self.aim) is None:
            return
        geometry = self.model.geometry
        scaling = geometry.logit_scale if scaling is None else scaling
        if self.key_stage == "rotated":
            self._parts["k"][layer] = self._gather(
                aim, key[:, :, aim.prefix_length :].transpose(1, 2)
            )
        q = query[aim.query_row, :, aim.query_position]
        weights = attention_weights(
            q,
            key[aim.query_row],
            allowed=_allowed(mask, aim, key.shape[2], causal=geometry.causal),
            scaling=scaling,
        )
        index = aim.attended[:, None, None].expand(-1, weights.shape[1], 1)
        self._parts["attention"][layer] = weights.gather(2, index)[..., 0]
        if scaling != geometry.logit_scale:  # OPT scales its queries before it attends
            q = q * (scaling / geometry.logit_scale)
        if geometry.rotation is not None and self.key_stage != "rotated":
            q = geometry.rotation.transpose(q, aim.attended[:, None])
        grouped = q.reshape(len(q), geometry.n_kv_heads, geometry.group_size, -1)
        self._parts["query_moment"][layer] = torch.einsum(
            "qkgd,qkge->kde", grouped.double(), grouped.double()
        )
        if layer == geometry.n_layers - 1:
            raise Enough


def attention_weights(
    query: Float[Tensor, "query head d_head"],
    key: Float[Tensor, "query kv_head context d_head"],
    *,
    allowed: Float[Tensor, "query #head context"],
    scaling: float,
) -> Float[Tensor, "query head context"]:
    """Compute softmax(scaling q.k + allowed) for one attending token a row, kv heads unrepeated."""
    n_kv_heads = key.shape[1]
    grouped = query.reshape(len(query), n_kv_heads, query.shape[1] // n_kv_heads, -1)
    logits = torch.einsum("qkgd,qkcd->qkgc", grouped, key).flatten(1, 2)
    return torch.softmax(scaling * logits + allowed, dim=-1)


def _allowed(mask: Tensor | None, aim: Aim, context: int, *, causal: bool) -> Tensor:
    """Return the additive mask of the attending tokens, [query, 1, context]."""
    if mask is None:  # nothing is padded: all is visible, or what the kernel's causal flag leaves
        positions = torch.arange(context, device=aim.query_position.device)
        last = aim.query_position[:, None] + aim.prefix_length
        visible = positions[None] <= (last if causal else torch.full_like(last, context))
        return torch.zeros(visible.shape, device=visible.device).masked_fill(
            ~visible, float("-inf")
        )[:, None]
    rows = mask.expand(-1, mask.shape[1], -1, -1)[aim.query_row, :, aim.query_position, :context]
    if rows.dtype == torch.bool:
        return torch.zeros(rows.shape, device=rows.device).masked_fill(~rows, float("-inf"))
    return rows.float()


@contextmanager
def tapping(model: Model, on_attention: OnAttention) -> Iterator[None]:
    """Show each layer's queries, keys and mask to `on_attention`, then attend as the model does.

    Raises
    ------
    UnsupportedModelError
        If the model attends by another kernel than sdpa, whose masks are the ones read here.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.hf.config
    original = config._attn_implementation
    if original != "sdpa":
        raise UnsupportedModelError(
            f"{model.name} attends by {original!r}; its masks are read only with 'sdpa'. Call "
            "model.hf.set_attn_implementation('sdpa') first."
        )
    attend = ALL_ATTENTION_FUNCTIONS[original]
    name = f"kvprobes_{original}"
    ALL_ATTENTION_FUNCTIONS.register(name, _attend_tapped)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS[original])
    modules = model.geometry.attention_modules
    _taps.update({id(m): (layer, on_attention, attend) for layer, m in enumerate(modules)})
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = original
        for module in modules:
            _taps.pop(id(module), None)


# Attention functions are registered globally and for good, so the function is one and the same, and
# what each module's tap does stands here only while that module is tapped.
_taps: dict[int, tuple[int, OnAttention, Callable[..., Any]]] = {}


def _attend_tapped(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> Any:
    layer, on_attention, attend = _taps[id(module)]
    on_attention(layer, query, key, attention_mask, options.get("scaling"))
    return attend(module, query, key, value, attention_mask, **options)
