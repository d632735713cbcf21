"""Batches through the model: what they share runs once, the rests are padded and masked."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from probes.capture.aim import take_aim
from probes.capture.plan import Take, TokenSequence
from probes.capture.read import KeyStage, Reader, Reading
from probes.capture.stems import Branches, branch
from probes.models.failures import failing_as_ours
from probes.models.geometry import Site
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
    site
        Where to read; the model's main site unless told.
    sampled
        The queries that also keep their x.
    share_prefix
        Whether the tokens before the first read-out, the same in all rows of a batch, run only
        once. Without it the sequences of a batch may differ from their first token on. Models with
        layers that do not attend keep no cache that could be shared, and always run whole.
    reader
        What reads them; one that reads more may be in its place.
    """

    def __init__(
        self,
        model: Model,
        *,
        key_stage: KeyStage,
        site: Site | None = None,
        take: Take = "last",
        sampled: frozenset[int] = frozenset(),
        share_prefix: bool = True,
        reader: type[Reader] = Reader,
    ) -> None:
        self.model = model
        self.take = take
        self.sampled = sampled
        self.site: Site = site or model.geometry.site
        layers = model.at(self.site).layers
        attends_everywhere = [layer.index for layer in layers] == list(range(_count_layers(model)))
        # What a recurrent state beside the attention has read cannot be shared in this way.
        is_recurrent = getattr(model.hf, "_is_stateful", False)
        caches = "past_key_values" in inspect.signature(model.trunk.forward).parameters  # not GPT-1
        can_share = attends_everywhere and caches and not is_recurrent
        self.share_prefix = share_prefix and can_share
        is_plain = model.geometry.causal and not model.has_encoder_and_decoder
        self.share_stems = self.share_prefix and is_plain
        self._reader = reader(model, site=self.site, key_stage=key_stage)
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def attached(self) -> AbstractContextManager[Reader]:
        """Attach the hooks for as long as the block runs."""
        return self._reader.attached()

    @torch.inference_mode()
    def run(self, batch: Sequence[TokenSequence]) -> Reading:
        """Run one batch and return what was read. The hooks must be attached.

        Raises
        ------
        UnsupportedModelError
            If the model fails.
        UsageError
            If the memory is not enough.
        """
        with self._failing(len(batch)):
            return self._run(batch, self._repeat_prefix(batch))

    def read(
        self, sequences: Sequence[TokenSequence], batch_size: int
    ) -> Iterator[tuple[Sequence[TokenSequence], Reading]]:
        """Run sequences in batches, each distinct stem of a prefix once (`probes.capture.stems`).

        Yields every reading with the sequences that it ends. The rows of the readings, put behind
        each other, are those of the sequences in their order. Errors are those of `run`.
        """
        for _, group in groupby(sequences, key=lambda s: s.ids[: s.prefix_length]):
            alike = list(group)
            for part in branch(alike, batch_size) if self.share_stems else [alike]:
                if isinstance(part, Branches):
                    yield from zip(((), *part.batches), self.run_branches(part), strict=True)
                else:
                    yield from ((batch, self.run(batch)) for batch in batches(part, batch_size))

    @torch.inference_mode()
    def run_branches(self, branches: Branches) -> list[Reading]:
        """Run stems, and what goes on from them on their keys and values; errors as of `run`."""
        with self._failing(len(branches.stems)):
            shared = self._repeat_prefix(branches.stems)
            cache = DynamicCache() if shared is None else shared
            readings = [self._run(branches.stems, cache)]
        for batch, stem_of in zip(branches.batches, branches.stem_of, strict=True):
            with self._failing(len(batch)):
                own = copy.deepcopy(cache)
                own.batch_select_indices(torch.tensor(stem_of, device=self.model.device))
                readings.append(self._run(batch, own, past=len(branches.stems[0].ids)))
        return readings

    def _failing(self, count: int) -> AbstractContextManager[None]:
        return failing_as_ours(
            f"Running {self.model.name} on {count} sentences",
            "See `kvprobes doctor`, or try --attn eager, --device cpu or a smaller --batch-size.",
        )

    def _repeat_prefix(self, batch: Sequence[TokenSequence]) -> Any:
        """Return the cache of the batch's prefix, a row a sequence; None without one."""
        prefix = batch[0].ids[: batch[0].prefix_length] if self.share_prefix else ()
        if not prefix:
            return None
        cache = copy.deepcopy(self._run_prefix(prefix))
        cache.batch_repeat_interleave(len(batch))
        return cache

    def _run(self, batch: Sequence[TokenSequence], cache: Any, past: int | None = None) -> Reading:
        """Run what comes after the first `past` tokens (those of the prefix) that `cache` holds."""
        device = self.model.device
        if past is None:
            past = batch[0].prefix_length if self.share_prefix else 0
        ids, mask = join_rows([sequence.ids[past:] for sequence in batch])
        options: dict[str, Any] = {}
        if self.model.geometry.causal or self.model.has_encoder_and_decoder:
            options["use_cache"] = False
        if cache is not None:
            mask = torch.cat([mask.new_ones(len(batch), past), mask], dim=1)
            options = {"use_cache": True, "past_key_values": cache}
        trunk: Any = self.model.trunk
        if self.model.has_encoder_and_decoder:
            if self.site == "encoder":
                trunk, options = self.model.hf.get_encoder(), {}
            else:
                target, target_mask = join_rows([sequence.target for sequence in batch])
                options["decoder_input_ids"] = target.to(device)
                options["decoder_attention_mask"] = target_mask.to(device)
        aim = take_aim(
            batch,
            take=self.take,
            prefix_length=past,
            sampled=self.sampled,
            device=device,
        )
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        self._reader.run(aim, trunk, **inputs, **options)
        return self._reader.finish()

    def _run_prefix(self, prefix: tuple[int, ...]) -> Any:
        """Return the model's own cache of a prefix, computed once for as long as it stays.

        The cache is a plain one, so that layers with a sliding window keep what leaves it: the mask
        hides it from those that must not see it.
        """
        if self._prefix[0] != prefix:
            output = self.model.trunk(
                input_ids=torch.tensor([prefix], device=self.model.device),
                use_cache=True,
                past_key_values=DynamicCache(),
            )
            self._prefix = (prefix, output.past_key_values)
        return self._prefix[1]


def join_rows(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Pad token ids on the right; return them and the mask of the real ones."""
    lengths = torch.tensor([len(row) for row in rows])
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    ids = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
    return ids, (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()


def _count_layers(model: Model) -> int:
    if model.has_encoder_and_decoder:
        return model.geometry.n_layers
    return int(model.hf.config.get_text_config().num_hidden_layers)
