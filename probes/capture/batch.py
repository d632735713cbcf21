"""One batch through the model: the shared prefix once, the rests padded on the right and masked."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import groupby
from typing import Any

import torch

from probes.capture.plan import Take, TokenSequence
from probes.capture.read import Enough, KeyStage, Reader, Reading, take_aim
from probes.models.model import Model


def batches(
    sequences: Sequence[TokenSequence], batch_size: int
) -> Iterator[Sequence[TokenSequence]]:
    """Cut neighbours that share a prefix into batches of at most `batch_size`."""
    for _, group in groupby(sequences, key=lambda s: s.ids[: s.prefix_length]):
        same_prefix = list(group)
        for start in range(0, len(same_prefix), batch_size):
            yield same_prefix[start : start + batch_size]


class BatchRunner:
    """Runs batches of sequences and reads them, without logits or gradients.

    Parameters
    ----------
    sampled
        The queries that also keep their x.
    share_prefix
        Whether the tokens before the first read-out, the same in all rows of a batch, run only
        once. Without it the sequences of a batch may differ from their first token on.
    """

    def __init__(
        self,
        model: Model,
        *,
        key_stage: KeyStage,
        take: Take = "last",
        sampled: frozenset[int] = frozenset(),
        share_prefix: bool = True,
    ) -> None:
        self.model = model
        self.take = take
        self.sampled = sampled
        self.share_prefix = share_prefix
        self._reader = Reader(model, key_stage=key_stage)
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def attached(self) -> AbstractContextManager[Reader]:
        """Attach the hooks for as long as the block runs."""
        return self._reader.attached()

    @torch.inference_mode()
    def run(self, batch: Sequence[TokenSequence]) -> Reading:
        """Run one batch and return what was read. The hooks must be attached."""
        device = self.model.device
        prefix = batch[0].ids[: batch[0].prefix_length] if self.share_prefix else ()
        rests = [torch.tensor(sequence.ids[len(prefix) :]) for sequence in batch]
        lengths = torch.tensor([len(rest) for rest in rests])
        ids = torch.nn.utils.rnn.pad_sequence(rests, batch_first=True)
        mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
        options: dict[str, Any] = {"use_cache": False} if self.model.geometry.causal else {}
        if prefix:
            cache = copy.deepcopy(self._run_prefix(prefix))
            cache.batch_repeat_interleave(len(batch))
            mask = torch.cat([mask.new_ones(len(batch), len(prefix)), mask], dim=1)
            options = {"use_cache": True, "past_key_values": cache}
        self._reader.start(
            take_aim(
                batch,
                take=self.take,
                prefix_length=len(prefix),
                sampled=self.sampled,
                device=device,
            )
        )
        try:
            with suppress(Enough):
                self.model.trunk(
                    input_ids=ids.to(device), attention_mask=mask.long().to(device), **options
                )
        finally:
            self._reader.aim = None
        return self._reader.finish()

    def _run_prefix(self, prefix: tuple[int, ...]) -> Any:
        """Return the model's own cache of a prefix, computed once for as long as it stays."""
        if self._prefix[0] != prefix:
            output = self.model.trunk(
                input_ids=torch.tensor([prefix], device=self.model.device), use_cache=True
            )
            self._prefix = (prefix, output.past_key_values)
        return self._prefix[1]
