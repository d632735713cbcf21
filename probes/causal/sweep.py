"""Many interventions on one text: what is below an edit runs once, and edits share a batch.

The unchanged model runs once and leaves the residual stream after every block. Interventions that
begin in the same layer are stacked along the batch and run from that layer's block on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probes.causal.edits import Edit, editable_layers, intervening
from probes.causal.losses import Scorer
from probes.causal.resume import STACKED_TOKENS, Resumer
from probes.causal.windows import Windows
from probes.models.model import Model

Edits = Sequence[Edit]


@dataclass(frozen=True)
class Baseline:
    """One batch through the unchanged model: its losses, and what every block gave."""

    batch: Windows
    losses: Float[Tensor, "row position"]
    outputs: list[Any]

    def sum_rows(self, losses: Float[Tensor, "row position"]) -> Float[Tensor, " row"]:
        """Add up the scored losses of every row, in float64."""
        return (losses.double() * self.batch.scored).sum(dim=1)


class Sweep:
    """Measures interventions on a causal model's loss.

    Parameters
    ----------
    model
        A causal language model.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """

    def __init__(self, model: Model, *, stacked_tokens: int = STACKED_TOKENS) -> None:
        self.geometry = model.geometry
        self.stacked_tokens = stacked_tokens
        self._scorer = Scorer(model)
        self._resumer = Resumer(model)
        self._blocks, self.resumes = self._resumer.blocks, self._resumer.resumes

    @torch.inference_mode()
    def begin(self, batch: Windows) -> Baseline:
        """Run the unchanged model on a batch."""
        if not self.resumes:
            return Baseline(batch, self._scorer.score(batch.ids, batch.mask), [])
        with self._blocks.recording() as outputs:
            losses = self._scorer.score(batch.ids, batch.mask)
        return Baseline(batch, losses, outputs)

    @torch.inference_mode()
    def run(
        self, baseline: Baseline, interventions: Sequence[Edits]
    ) -> Float[Tensor, "intervention row"]:
        """Return the summed scored loss of every row under every intervention, float64.

        Each intervention is one edit or several; edits must leave `rows` at None.
        """
        batch, found = baseline.batch, torch.zeros(len(interventions), len(baseline.batch))
        found = found.double()
        layers = [self._first_layer(edits) for edits in interventions]
        stacks = self._resumer.stack(layers, tokens=batch.ids.numel(), at_most=self.stacked_tokens)
        for first, numbers in stacks:
            copies = len(numbers)
            edits = [
                replace(edit, rows=slice(copy * len(batch), (copy + 1) * len(batch)))
                for copy, number in enumerate(numbers)
                for edit in interventions[number]
            ]
            output = baseline.outputs[first - 1] if first else None
            with (
                self._blocks.resuming(output, first=first, copies=copies),
                intervening(self.geometry, edits),
            ):
                losses = self._scorer.score(
                    batch.ids.repeat(copies, 1), batch.mask.repeat(copies, 1)
                )
            for number, part in zip(numbers, torch.split(losses, len(batch)), strict=True):
                found[number] = baseline.sum_rows(part)
        return found

    def _first_layer(self, edits: Edits) -> int:
        return min(
            (editable_layers(self.geometry)[0] if edit.layer is None else edit.layer)
            for edit in edits
        )
