"""From character spans to token positions, by the fast tokenizer's offsets and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, runtime_checkable

from probes.errors import AlignmentError
from probes.spelling import fold


@runtime_checkable
class Tokenizer(Protocol):
    """What is asked of a tokenizer here; transformers' fast ones answer it."""

    is_fast: bool

    def __call__(self, texts: list[str], **options: Any) -> Mapping[str, Any]:
        """Tokenise texts: ids and, if asked for, character offsets and marks of specials."""

    def decode(self, ids: list[int]) -> Any:
        """Return the text that ids stand for."""


@dataclass(frozen=True)
class Tokens:
    """One tokenised text: ids and, for each, its (start, end) characters; specials have (0, 0).

    ``spell`` returns what some of the ids spell; without it, spelling is not checked. ``most`` is
    how many tokens the model takes.
    """

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    special: tuple[bool, ...]
    spell: Callable[[tuple[int, ...]], str] | None = field(default=None, compare=False, repr=False)
    most: float = math.inf


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """The tokens `first` to `last`, both included, that make up one word."""

    first: int
    last: int


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
    """Tokenise whole texts, with the special tokens the model was trained with, unpadded.

    Raises
    ------
    AlignmentError
        If the tokenizer keeps no character offsets (a slow tokenizer).
    """
    if not tokenizer.is_fast:
        raise AlignmentError(
            f"{type(tokenizer).__name__} keeps no character offsets, so words cannot be aligned "
            "with tokens. Give a model with a fast tokenizer (a tokenizer.json in its folder)."
        )
    encoded = tokenizer(
        list(texts),
        add_special_tokens=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        padding=False,
        truncation=False,
        verbose=False,  # long texts are cut into windows before they run: no word on their length
    )

    @cache
    def spell(ids: tuple[int, ...]) -> str:
        return str(tokenizer.decode(list(ids)))

    return [
        Tokens(
            text=text,
            ids=tuple(ids),
            offsets=tuple((int(start), int(end)) for start, end in offsets),
            special=tuple(bool(flag) for flag in special),
            spell=spell,
            most=float(getattr(tokenizer, "model_max_length", math.inf)),
        )
        for text, ids, offsets, special in zip(
            texts,
            encoded["input_ids"],
            encoded["offset_mapping"],
            encoded["special_tokens_mask"],
            strict=True,
        )
    ]


def align(tokens: Tokens, span: tuple[int, int]) -> TokenSpan:
    """Find the tokens that cover the characters `span` = (start, end) of ``tokens.text``.

    A byte-level tokenizer may count the space before a word as part of its first token; any other
    character outside the span means that the token belongs to two words, and neither has it alone.

    Raises
    ------
    AlignmentError
        If the span is empty or outside the text, no token covers it, a token straddles its edge, or
        the tokens do not spell the word (it became "<unk>", or lost letters), or the text has more
        tokens than the model takes.
    """
    start, end = span
    word = tokens.text[start:end]
    if not 0 <= start < end <= len(tokens.text):
        raise AlignmentError(
            f"the span {span} is outside the text of {len(tokens.text)} characters"
        )
    if len(tokens.ids) > tokens.most:
        raise AlignmentError(
            f"its sentence has {len(tokens.ids)} tokens, and the model takes {tokens.most:.0f}"
        )
    covering = [
        index
        for index, (left, right) in enumerate(tokens.offsets)
        if left < end and right > start and not tokens.special[index]
    ]
    if not covering:
        raise AlignmentError(f"no token covers {word!r} (characters {start} to {end})")
    first, last = covering[0], covering[-1]
    outside = (
        tokens.text[tokens.offsets[first][0] : start] + tokens.text[end : tokens.offsets[last][1]]
    )
    if outside.strip():
        raise AlignmentError(
            f"the tokens of {word!r} also hold {outside.strip()!r} of its neighbours"
        )
    if tokens.spell is not None:
        spelt = tokens.spell(tokens.ids[first : last + 1])
        if fold(spelt) != fold(word):
            raise AlignmentError(f"the tokens of {word!r} do not spell it, but {spelt!r}")
    return TokenSpan(first, last)
