"""One shard of a text, as any worker makes it from a small description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from probes.capture.kept_rows import keep_rows
from probes.capture.read import KeyStage
from probes.capture.shards import Advance, ShardJob
from probes.capture.text_read import SAMPLED, MomentReader, RowSample, TextRunner
from probes.capture.text_windows import Window, stream_windows
from probes.memory import return_large_blocks
from probes.models.model import Model
from probes.words.text_slices import TextSlice, read_slice

SHARD_BYTES = 128 << 10
"""Least text of a shard: about 30,000 tokens of English, which a kill may cost."""


RETURNED = 4 << 20
"""Bytes of a freed block that go back to the system at once, so that memory stays flat."""


@dataclass(frozen=True)
class TextSettings:
    """What decides the numbers, beside the model and the text.

    ``window`` is how many tokens are read together; ``rows`` about how many tokens also keep their
    own x, q, k and v, in ``dtype``; ``x`` whether the moments have x (see `LayerMoments`);
    ``column`` where jsonl and parquet have their text.
    """

    key_stage: KeyStage = "normed"
    window: int = 128
    rows: int = 0
    dtype: str = "bfloat16"
    x: bool = True
    column: str = "text"
    shard_bytes: int = SHARD_BYTES
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TextJob(ShardJob):
    """One shard of a text."""

    slices: tuple[TextSlice, ...]
    n_rows: int
    settings: TextSettings

    @property
    def size(self) -> int:
        """One: how many tokens there are is not known before they are read."""
        return 1

    def read(self, model: Model, advance: Advance) -> dict[str, Tensor]:
        """Run the windows of the text's slices; returns moments, and rows if there are any."""
        return_large_blocks(RETURNED)
        settings = self.settings
        reader = MomentReader(model, key_stage=settings.key_stage, with_x=settings.x)
        runner = TextRunner(reader, shard=self.shard, seed=settings.seed)
        sample = RowSample(self.n_rows)
        windows = read_windows(model, self.slices, settings)
        with reader.attached():
            while batch := list(islice(windows, self.pace.batch_size)):
                chosen = sample.choose(runner.draw(batch, SAMPLED))
                rows = runner.run(batch, chosen)
                if self.n_rows:
                    sample.add({**rows, **_describe(batch, chosen)})
        tensors = reader.moments.to_tensors()
        kept = getattr(torch, settings.dtype)
        for name, part in sample.rows.items():
            if name in ("token", "place"):
                tensors[f"rows.{name}"] = part.cpu()
            else:
                tensors |= keep_rows(f"rows.{name}", part, kept)
        advance(self.size)
        return tensors


def read_windows(
    model: Model, slices: Iterable[TextSlice], settings: TextSettings
) -> Iterator[Window]:
    """Yield the windows of some slices, in order; no document goes on in the next slice."""
    passages = (
        ((place, document), text)
        for place, part in enumerate(slices)
        for document, text in read_slice(part, column=settings.column)
    )
    return stream_windows(model.tokenizer, passages, length=settings.window)


def _describe(batch: list[Window], chosen: list[int]) -> dict[str, Tensor]:
    """Say which token a row is, and where in the shard it is among those that count."""
    ids = np.concatenate([window.ids[window.first :] for window in batch])
    places = np.concatenate([window.number + np.arange(window.n_counted) for window in batch])
    return {
        "token": torch.from_numpy(ids[chosen].astype(np.int64)),
        "place": torch.from_numpy(places[chosen].astype(np.int64)),
    }
