"""Swapping keys, values or both at the modifier of a minimal pair, and what the head word does.

"neural network" runs with the keys (or values) of "social" at the place of "neural", in one head,
one layer or all, and the other way round. Donors come from the unchanged run of the other sentence.
Everything that attends to the modifier sees the swap, the modifier itself included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.causal.edits import Edit, EditedPart, Made, editable_layers, intervening
from probes.causal.losses import Scorer
from probes.causal.minimal_pairs import MinimalPair
from probes.causal.resume import STACKED_TOKENS, Resumer
from probes.models.model import Model
from probes.models.tap import Attended, Listener, listening

SwappedPart = Literal["keys", "values", "both"]
Scope = Literal["head", "layer", "all"]
MEASURES = ("total_variation", "kl", "logit_shift", "logit_gap", "attention", "attention_edited")


@dataclass(frozen=True)
class Swap:
    """What is replaced: keys, values or both of one kv head, one layer, or everywhere."""

    part: SwappedPart
    scope: Scope
    layer: int | None = None
    kv_head: int | None = None


def list_swaps(model: Model, *, parts_of_heads: Sequence[SwappedPart]) -> list[Swap]:
    """List every swap: each part everywhere and in each layer, some parts in each kv head."""
    layers = model.geometry.layers
    places = editable_layers(model.geometry)
    parts: tuple[SwappedPart, ...] = ("keys", "values", "both")
    return [
        *(Swap(part, "all") for part in parts),
        *(Swap(part, "layer", place) for place in places for part in parts),
        *(
            Swap(part, "head", place, head)
            for place in places
            for head in range(layers[place].n_kv_heads)
            for part in parts_of_heads
        ),
    ]


class _AttentionOfLast(Listener):
    """Keeps the attention of the last token in every layer; silent below where a run begins."""

    def __init__(self) -> None:
        self.attention: dict[int, Tensor] = {}

    def on_attention(self, layer: int, attended: Attended) -> None:
        n_rows, _, length, _ = attended.query.shape
        rows = torch.arange(n_rows, device=attended.query.device)
        last = torch.full_like(rows, length - 1)
        self.attention[layer] = attended.weigh(rows, last, causal=True).cpu()


@dataclass(frozen=True)
class _Clean:
    """The unchanged run: next tokens, attention, block outputs, and donors by layer.

    ``mine`` and ``other`` are the tokens that a row and its partner most prefer over each other;
    ``preference`` is the logit difference of the two, ``gap`` how much less the partner's is.
    """

    log_p: Float[Tensor, "row token"]
    p: Float[Tensor, "row token"]
    mine: Int[Tensor, " row"]
    other: Int[Tensor, " row"]
    preference: Float[Tensor, " row"]
    gap: Float[Tensor, " row"]
    attention: dict[int, Tensor]
    outputs: list[object]
    donors: dict[EditedPart, dict[int, Tensor]]


class Swapper:
    """Swaps keys and values of minimal pairs in a causal model.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """

    def __init__(self, model: Model, *, stacked_tokens: int = STACKED_TOKENS) -> None:
        self.model, self.geometry = model, model.geometry
        self.stacked_tokens = stacked_tokens
        self._scorer = Scorer(model)
        self._resumer = Resumer(model)
        self._blocks, self.resumes = self._resumer.blocks, self._resumer.resumes

    @torch.inference_mode()
    def run(
        self, pairs: Sequence[MinimalPair], swaps: Sequence[Swap]
    ) -> Float[Tensor, "swap pair measure"]:
        """Measure every swap on pairs of equal length and positions.

        Returns
        -------
        `MEASURES`, means over the two directions: between the next-token distributions after the
        head word, unchanged (p) and swapped (q), ``total_variation`` (half of the summed absolute
        differences) and ``kl`` (p from q, in nats); ``logit_shift``, how far the logit difference
        moves between the two words that most prefer one compound and the other, and ``logit_gap``,
        how far it would move if the sentence became the other; ``attention``, the total variation
        of the head word's attention, mean over all layers and query heads, and
        ``attention_edited``, mean over the query heads that read what was swapped.
        """
        ids = torch.tensor([pair.left for pair in pairs] + [pair.right for pair in pairs])
        at_modifier = slice(pairs[0].first, pairs[0].last + 1)
        clean = self._run_clean(ids, at_modifier)
        found = torch.zeros(len(swaps), len(ids), len(MEASURES))
        lowest = editable_layers(self.geometry)[0]
        layers = [lowest if swap.layer is None else swap.layer for swap in swaps]
        stacks = self._resumer.stack(layers, tokens=ids.numel(), at_most=self.stacked_tokens)
        for first, numbers in stacks:
            edits = [
                replace(edit, rows=slice(copy * len(ids), (copy + 1) * len(ids)))
                for copy, number in enumerate(numbers)
                for edit in _make_edits(swaps[number], clean.donors, at_modifier)
            ]
            logits, attention = self._run(ids, clean, first, len(numbers), edits)
            for copy, number in enumerate(numbers):
                rows = slice(copy * len(ids), (copy + 1) * len(ids))
                edited = {layer: weights[rows] for layer, weights in attention.items()}
                found[number] = self._compare(clean, logits[rows], edited, swaps[number])
        return torch.stack(found.chunk(2, dim=1)).mean(dim=0)

    def _run_clean(self, ids: Tensor, at_modifier: slice) -> _Clean:
        listener = _AttentionOfLast()
        donors: dict[EditedPart, dict[int, Tensor]] = {"keys": {}, "values": {}}

        def keep(made: Made) -> Tensor:
            # The partner's vectors, in the place of one's own: rows are lefts, then rights.
            donors["keys"][made.layer] = made.keys.roll(len(ids) // 2, dims=0).clone()
            donors["values"][made.layer] = made.values.roll(len(ids) // 2, dims=0).clone()
            return made.values

        with (
            intervening(self.geometry, Edit("values", keep, positions=at_modifier)),
            listening(self.model.hf, self.geometry, listener),
            self._blocks.recording() as outputs,
        ):
            logits = self._scorer.last_logits(ids, torch.ones_like(ids))
        log_p = torch.log_softmax(logits.double(), dim=1)
        p = log_p.exp()
        partner = log_p.roll(len(ids) // 2, dims=0)
        difference = p - partner.exp()
        mine, other = difference.argmax(dim=1), difference.argmin(dim=1)
        preference = _prefer(log_p, mine, other)
        return _Clean(
            log_p=log_p,
            p=p,
            mine=mine,
            other=other,
            preference=preference,
            gap=preference - _prefer(partner, mine, other),
            attention=listener.attention,
            outputs=outputs,
            donors=donors,
        )

    def _run(
        self, ids: Tensor, clean: _Clean, first: int, copies: int, edits: list[Edit]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        listener = _AttentionOfLast()
        output = clean.outputs[first - 1] if first else None
        repeated = ids.repeat(copies, 1)
        with (
            self._blocks.resuming(output, first=first, copies=copies),
            intervening(self.geometry, edits),
            listening(self.model.hf, self.geometry, listener),
        ):
            logits = self._scorer.last_logits(repeated, torch.ones_like(repeated))
        return logits, listener.attention

    def _compare(
        self, clean: _Clean, logits: Tensor, attention: dict[int, Tensor], swap: Swap
    ) -> Float[Tensor, "row measure"]:
        log_q = torch.log_softmax(logits.double(), dim=1)
        kl = (clean.p * (clean.log_p - log_q)).sum(dim=1)
        shift = clean.preference - _prefer(log_q, clean.mine, clean.other)
        changes = {
            layer: (weights - clean.attention[layer]).abs().sum(dim=2) / 2
            for layer, weights in attention.items()
        }
        total = torch.stack([change.sum(dim=1) for change in changes.values()]).sum(dim=0)
        n_heads = sum(layer.n_heads for layer in self.geometry.layers)
        return torch.stack(
            [
                (clean.p - log_q.exp_()).abs_().sum(dim=1) / 2,
                kl,
                shift,
                clean.gap,
                total / n_heads,
                self._mean_edited(changes, swap),
            ],
            dim=1,
        ).float()

    def _mean_edited(self, changes: dict[int, Tensor], swap: Swap) -> Tensor:
        """Average the change of attention over the query heads that read what was swapped."""
        parts = []
        for place, layer in enumerate(self.geometry.layers):
            if swap.layer not in (None, place, layer.source):
                continue
            of_head = slice(None)
            if swap.kv_head is not None:
                of_head = slice(
                    swap.kv_head * layer.group_size, (swap.kv_head + 1) * layer.group_size
                )
            parts.append(changes[place][:, of_head])
        return torch.cat(parts, dim=1).mean(dim=1)


def _prefer(
    logits: Float[Tensor, "row token"], mine: Int[Tensor, " row"], other: Int[Tensor, " row"]
) -> Float[Tensor, " row"]:
    """Return the difference of two tokens' logits (or log-probabilities)."""
    difference: Tensor = logits.gather(1, mine[:, None]) - logits.gather(1, other[:, None])
    return difference[:, 0]


def _make_edits(
    swap: Swap, donors: dict[EditedPart, dict[int, Tensor]], at_modifier: slice
) -> list[Edit]:
    kv_heads = None if swap.kv_head is None else (swap.kv_head,)
    parts: tuple[EditedPart, ...] = ("keys", "values") if swap.part == "both" else (swap.part,)

    def take(part: EditedPart) -> Edit:
        def change(made: Made) -> Tensor:
            return donors[part][made.layer][:, :, list(made.kv_heads)]

        return Edit(part, change, layer=swap.layer, kv_heads=kv_heads, positions=at_modifier)

    return [take(part) for part in parts]
