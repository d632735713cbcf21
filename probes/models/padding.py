"""Single inputs in one padded batch, and where each of them is in it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Padded:
    """A batch of rows; ``starts`` and ``lengths`` say where the tokens of each row are.

    With an encoder-decoder, ``target_lengths`` are those of the decoder, padded on the right.
    """

    inputs: dict[str, Any]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    target_lengths: tuple[int, ...]

    def cut_keys(self, tensor: Tensor, row: int, *, site: str) -> Tensor:
        """Return the positions of one row that keys are made at."""
        return self._cut(tensor, row, target=site == "decoder" and bool(self.target_lengths))

    def cut_queries(self, tensor: Tensor, row: int, *, site: str) -> Tensor:
        """Return the positions of one row that queries are made at."""
        return self._cut(tensor, row, target=site != "encoder" and bool(self.target_lengths))

    def cut_output(self, tensor: Tensor, row: int) -> Tensor:
        """Return one row of the model's output."""
        return self._cut(tensor, row, target=bool(self.target_lengths))

    def _cut(self, tensor: Tensor, row: int, *, target: bool) -> Tensor:
        if target:
            return tensor[row, : self.target_lengths[row]]
        if not self.lengths:
            return tensor[row]
        return tensor[row, self.starts[row] : self.starts[row] + self.lengths[row]]


def pad(
    hf: nn.Module, rows: Sequence[Mapping[str, Tensor]], *, side: str, pad_token_id: int
) -> Iterator[Padded]:
    """Put rows into a batch padded on one side, in each of the ways the model may want it.

    Yields, where the model takes ``position_ids``, the tokens with theirs (on the left they do not
    count from the row's start), then the tokens and their mask alone: some models count from the
    mask or the padding, in a way of their own. Inputs without tokens are stacked.
    """
    if "input_ids" not in rows[0]:
        names = [name for name in rows[0] if name != "decoder_input_ids"]
        inputs = {name: torch.cat([row[name] for row in rows]) for name in names}
        decoder, targets = _join_targets(rows, pad_token_id)
        yield Padded(inputs | decoder, (), (), targets)
        return
    ids, mask = _join([row["input_ids"][0] for row in rows], side, pad_token_id)
    inputs = {"input_ids": ids, "attention_mask": mask}
    lengths = tuple(int(length) for length in mask.sum(dim=1))
    starts = tuple(ids.shape[1] - n if side == "left" else 0 for n in lengths)
    decoder, targets = _join_targets(rows, pad_token_id)
    inputs |= decoder
    if side == "left" and "position_ids" in inspect.signature(hf.forward).parameters:
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
        yield Padded({**inputs, "position_ids": positions}, starts, lengths, targets)
    yield Padded(inputs, starts, lengths, targets)


def _join_targets(
    rows: Sequence[Mapping[str, Tensor]], pad_token_id: int
) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """Return the decoder's padded inputs and their lengths, if there is a decoder."""
    if "decoder_input_ids" not in rows[0]:
        return {}, ()
    ids, mask = _join([row["decoder_input_ids"][0] for row in rows], "right", pad_token_id)
    inputs = {"decoder_input_ids": ids, "decoder_attention_mask": mask}
    return inputs, tuple(int(length) for length in mask.sum(dim=1))


def _join(rows: Sequence[Tensor], side: str, pad_token_id: int) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = rows[0].new_full((len(rows), width), pad_token_id)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(len(row))
        ids[place, where], mask[place, where] = row, 1
    return ids, mask
