"""Running text as rows of tokens: windows of documents, and which of their tokens are scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from probes.errors import TableError
from probes.words.align import Tokenizer, tokenise
from probes.words.texts import Document

SHORTEST = 8
"""A document's last window is left out if it has fewer tokens."""

FIRST_EDITED = 1
"""Position of the first token that is fitted, edited and scored: the one before it, BOS or the
text's first, attracts attention because it is the first, not for its key and value."""


@dataclass(frozen=True)
class Windows:
    """Rows of tokens, padded on the right.

    ``scored[row, position]`` says whether the prediction made at a position counts: neither made
    at the first token nor of a special one, and never at or of padding.
    """

    ids: Int[Tensor, "row position"]
    mask: Int[Tensor, "row position"]
    scored: Bool[Tensor, "row position"]
    document: Int[np.ndarray, " row"]

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Windows]:
        """Cut into batches of at most `size` rows, each no longer than its longest row."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            longest = int(self.mask[rows].sum(dim=1).max())
            yield Windows(
                ids=self.ids[rows, :longest],
                mask=self.mask[rows, :longest],
                scored=self.scored[rows, :longest],
                document=self.document[rows],
            )

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the model is called with."""
        return {"input_ids": self.ids, "attention_mask": self.mask}


def cut_windows(
    tokenizer: Tokenizer,
    documents: Sequence[Document],
    *,
    length: int,
    windows: int,
) -> Windows:
    """Cut the beginnings of documents into windows of tokens.

    Parameters
    ----------
    length
        Tokens a window; each begins with the special tokens that the tokenizer puts before a text.
    windows
        At most this many per document.

    Raises
    ------
    TableError
        If no document has enough tokens.
    """
    rows: list[list[int]] = []
    owners: list[int] = []
    specials: list[int] = []
    for number, tokens in enumerate(tokenise(tokenizer, [document.text for document in documents])):
        n_before = tokens.special.index(False) if False in tokens.special else len(tokens.ids)
        before = list(tokens.ids[:n_before])
        plain = [i for i, special in zip(tokens.ids, tokens.special, strict=True) if not special]
        specials += [i for i, special in zip(tokens.ids, tokens.special, strict=True) if special]
        room = length - n_before
        for start in range(0, min(len(plain), room * windows), room):
            row = before + plain[start : start + room]
            if len(row) >= min(SHORTEST, length):
                rows.append(row)
                owners.append(number)
    if not rows:
        raise TableError(
            f"none of the {len(documents)} documents has {SHORTEST} tokens. Give longer text."
        )
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    scored = torch.zeros_like(ids, dtype=torch.bool)
    plain_target = ~torch.isin(ids[:, 1:], torch.tensor(sorted(set(specials)), dtype=torch.long))
    scored[:, :-1] = mask[:, 1:].bool() & plain_target
    scored[:, :FIRST_EDITED] = False
    return Windows(ids, mask, scored, np.array(owners))
