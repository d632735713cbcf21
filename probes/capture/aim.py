"""Where in one batch to read: rows and positions of words and of what attends to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.capture.plan import TokenSequence


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

    def on(self, device: torch.device) -> Aim:
        """Return the same aim on a device; layers of one model may lie on several."""
        if self.row.device == device:
            return self
        tensors = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)

    def average(self, pieces: Float[Tensor, "piece *shape"]) -> Float[Tensor, "occurrence *shape"]:
        """Average the pieces of each occurrence."""
        if self.n_occurrences == len(pieces):
            return pieces
        sums = pieces.new_zeros(self.n_occurrences, *pieces.shape[1:])
        counts = torch.bincount(self.slot, minlength=self.n_occurrences).to(pieces.dtype)
        sums.index_add_(0, self.slot, pieces)
        return sums / counts.reshape(-1, *[1] * (pieces.ndim - 1))


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

    def to_tensor(numbers: Sequence[object]) -> Tensor:
        return torch.tensor(numbers, device=device, dtype=torch.long)

    piece_columns = to_tensor(pieces).reshape(-1, 3).T
    query_columns = to_tensor([query[:3] for query in queries]).reshape(-1, 3).T
    return Aim(
        row=piece_columns[0],
        position=piece_columns[1],
        slot=piece_columns[2],
        n_occurrences=slot,
        query_row=query_columns[0],
        query_position=query_columns[1],
        attended=query_columns[2],
        sampled=to_tensor([index for index, query in enumerate(queries) if query[3] in sampled]),
    )
