"""One shard of a plan's sequences, as any worker makes it from a small description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.capture.batch import BatchRunner
from probes.capture.kept_rows import GROUP, keep_rows, pool_groups
from probes.capture.plan import Take, TokenSequence
from probes.capture.read import KeyStage, Reader, Reading
from probes.capture.shards import Advance, ShardJob
from probes.capture.sizes import SizeReader
from probes.errors import NonFiniteError
from probes.models.geometry import Site
from probes.models.model import Model


@dataclass(frozen=True, kw_only=True)
class PairJob(ShardJob):
    """One shard of word pairs, words or a treebank: `sampled` are its queries that keep their x.

    `groups` are the numbers of its occurrences' groups, whose means are kept apart (`keep_rows`).
    With `sizes` it also holds what each head writes at the queries, and the stream there.
    """

    sequences: tuple[TokenSequence, ...]
    groups: tuple[int, ...]
    sampled: frozenset[int]
    site: Site
    take: Take
    key_stage: KeyStage
    dtype: str
    x: bool = True
    sizes: bool = False

    @property
    def size(self) -> int:
        """How many tokens are run, beside those of shared prefixes."""
        return _count_tokens(self.sequences)

    def read(self, model: Model, advance: Advance) -> dict[str, Tensor]:
        """Run the sequences; `advance` is called with the tokens of every batch."""
        runner = BatchRunner(
            model,
            site=self.site,
            key_stage=self.key_stage,
            take=self.take,
            sampled=self.sampled,
            reader=SizeReader if self.sizes else Reader,
        )
        readings = []
        with runner.attached():
            for done, reading in runner.read(self.sequences, self.pace.batch_size):
                readings.append(reading)
                advance(_count_tokens(done))
        group = pool_groups(torch.tensor(self.groups, dtype=torch.long))
        kept = ("k", "v", *(("x", "x_query") if self.x else ()))
        tensors = _merge(readings, kept, dtype=getattr(torch, self.dtype), group=group)
        _check_finite(tensors, model.name)
        return tensors


def _count_tokens(sequences: Iterable[TokenSequence]) -> int:
    return sum(len(sequence.ids) - sequence.prefix_length for sequence in sequences)


def _merge(
    readings: Sequence[Reading], kept: Sequence[str], *, dtype: torch.dtype, group: Tensor
) -> dict[str, Tensor]:
    """Concatenate the batches' rows and add up their moments, layer by layer."""
    merged = {"query_count": torch.tensor([sum(len(r.attention[0]) for r in readings)]).double()}
    merged[GROUP] = group.to(torch.int16)
    for layer in range(len(readings[0].k)):
        for name in kept:
            rows = torch.cat([getattr(reading, name)[layer] for reading in readings])
            of = None if name == "x_query" else group
            merged |= keep_rows(f"{name}.{layer}", rows, dtype, group=of)
        for name in ("attention", "written", "stream"):
            if hasattr(readings[0], name):
                rows = torch.cat([getattr(reading, name)[layer] for reading in readings])
                merged[f"{name}.{layer}"] = rows.float().cpu()
        moments = torch.stack([reading.query_moment[layer] for reading in readings])
        merged[f"query_moment.{layer}"] = moments.sum(0).cpu()
    return merged


def _check_finite(tensors: dict[str, Tensor], name: str) -> None:
    for kind in ("x", "k", "v", "attention", "written", "stream"):
        for layer in range(sum(key.startswith(f"{kind}.") for key in tensors)):
            rows = tensors[f"{kind}.{layer}"].unsqueeze(-1)  # sizes of the stream have no axis more
            bad = ~torch.isfinite(rows).flatten(1).all(dim=1)
            if bad.any():
                raise NonFiniteError(
                    f"{name} gives NaN or infinite numbers: {kind} of layer {layer} (row "
                    f"{int(bad.nonzero()[0])} of the shard, {int(bad.sum())} rows in all). Nothing "
                    "of this shard was stored. Check the weights, or run in float32."
                )
