"""Running text as batches: documents end to end in full windows, so that no padding is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from probes.errors import TableError
from probes.tying.batch import Batch, Part, seeded
from probes.words.texts import Corpus, Document

Encode = Callable[[str], list[int]]
N_BYTES = 256
SCORED_WINDOWS = 64
"""Windows scored at once."""


def encode_bytes(text: str) -> list[int]:
    """Return the UTF-8 bytes of a text."""
    return list(text.encode("utf-8"))


class PackedText:
    """A corpus, packed.

    Each epoch the documents are shuffled and joined, each followed by the end token, and the stream
    is cut into windows of `length` tokens that overlap by the one token which is a target of the
    first and an input of the next. The windows are shuffled; the last few that fill no batch and
    the tail that fills no window are left out of that epoch. Every second held-out document is for
    choosing settings (``validation``), the others for the final score (``test``); there every token
    but the first is scored exactly once.

    Parameters
    ----------
    encode, vocabulary
        A tokenizer, and how many tokens it has; the end token is added after them. By default the
        tokens are bytes.

    Raises
    ------
    TableError
        If the training text does not fill a window, or a token is out of the vocabulary.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        length: int,
        encode: Encode = encode_bytes,
        vocabulary: int = N_BYTES,
    ) -> None:
        self.vocabulary, self.length = vocabulary + 1, length
        self._train = [self._encode(document, encode) for document in corpus.train]
        parts: dict[Part, Sequence[Document]] = {
            "validation": corpus.held_out[::2],
            "test": corpus.held_out[1::2],
        }
        self._unseen = {
            part: torch.cat([self._encode(document, encode) for document in documents])
            for part, documents in parts.items()
        }
        n_tokens = sum(map(len, self._train))
        if n_tokens <= length:
            raise TableError(
                f"the training text has {n_tokens} tokens and a window takes {length + 1}. Give "
                "more text or shorter windows."
            )
        test = parts["test"]
        n_bytes = sum(len(document.text.encode("utf-8")) for document in test)
        self.bytes_per_token = n_bytes / (len(self._unseen["test"]) - 1)
        self._epoch = lru_cache(maxsize=2)(self._cut_epoch)

    @property
    def n_windows(self) -> int:
        """Windows of an epoch."""
        return (sum(map(len, self._train)) - 1) // self.length

    def batch(self, step: int, *, size: int, seed: int) -> Batch:
        """Return the training batch of a step."""
        if size > self.n_windows:
            raise TableError(
                f"the training text fills {self.n_windows} windows and a batch takes {size}. Give "
                "more text, or smaller batches."
            )
        epoch, place = divmod(step, self.n_windows // size)
        windows = self._epoch(epoch, seed)[place * size : (place + 1) * size]
        return Batch(windows[:, :-1], windows[:, 1:])

    def unseen(self, part: Part) -> Iterator[Batch]:
        """Yield a part's windows in order; the last one is as long as what is left."""
        stream = self._unseen[part]
        n_whole = (len(stream) - 1) // self.length
        if n_whole:
            whole = stream[: n_whole * self.length + 1].unfold(0, self.length + 1, self.length)
            for windows in torch.split(whole, SCORED_WINDOWS):
                yield Batch(windows[:, :-1], windows[:, 1:])
        rest = stream[n_whole * self.length :]
        if len(rest) > 1:
            yield Batch(rest[None, :-1], rest[None, 1:])

    def _cut_epoch(self, epoch: int, seed: int) -> Int[Tensor, "window position"]:
        generator = seeded(seed, epoch)
        order = torch.randperm(len(self._train), generator=generator).tolist()
        stream = torch.cat([self._train[number] for number in order])
        windows = stream.unfold(0, self.length + 1, self.length)
        return windows[torch.randperm(len(windows), generator=generator)]

    def _encode(self, document: Document, encode: Encode) -> Int[Tensor, " token"]:
        end = self.vocabulary - 1
        tokens = torch.tensor([*encode(document.text), end])
        if not 0 <= int(tokens.min()) <= int(tokens.max()) <= end or (tokens[:-1] == end).any():
            raise TableError(
                f"{document.name} has tokens from {int(tokens.min())} to {int(tokens.max())}; the "
                f"tokenizer is said to have 0 to {end - 1}."
            )
        return tokens
