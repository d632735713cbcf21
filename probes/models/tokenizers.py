"""The tokenizer beside the weights: it must know its words, and cut text as its own file says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from probes.errors import UnsupportedModelError
from probes.models.checks import Check
from probes.models.conversion.saving import read_tokenizer_files
from probes.models.failures import failing_as_ours
from probes.spelling import fold

SAVE = "Save a whole one beside the weights: tokenizer.save_pretrained(folder)."

KNOWN_TEXTS = (
    "The neural network was small, and nobody objected.",
    "神经网络很小。",
    "Нейронная сеть была маленькой.",
    "الشبكة العصبية صغيرة.",
    "तंत्रिका नेटवर्क छोटा था।",
    "ニューラルネットワークは小さい。",
    "신경망은 작았다.",
)
"""One must come back: a tokenizer of any of these languages knows its own."""

_LETTERS = re.compile(r"[▁Ġ#]*[A-Za-z]{2,}")


def load_tokenizer(folder: Path) -> tuple[PreTrainedTokenizerFast, list[Check]]:
    """Load the tokenizer of a folder, padding on the right, and compare it with its own file.

    Where the class that the config names cuts text otherwise than ``tokenizer.json``, the file
    wins: it is what the model was trained with.

    Raises
    ------
    UnsupportedModelError
        If there is none that can be loaded, or it keeps no character offsets.
    """
    file = folder / "tokenizer.json"
    with failing_as_ours(f"Loading the tokenizer in {folder}", SAVE):
        try:
            tokenizer = read_tokenizer_files(folder)
        # A class that does not suit the file raises whatever Rust or Python meets first.
        except Exception:
            if not file.is_file():
                raise
            tokenizer = _read_file(folder)
    refuse_slow(tokenizer, str(folder))
    with failing_as_ours(f"Reading {file}", SAVE):
        tokenizer, checks = _follow_file(tokenizer, folder)
    if tokenizer.pad_token is None:
        # Padding is masked, so any token will do.
        others = (tokenizer.eos_token, tokenizer.unk_token, tokenizer.convert_ids_to_tokens(0))
        tokenizer.pad_token = next(token for token in others if token)
    tokenizer.padding_side = "right"
    return tokenizer, checks


def refuse_slow(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer without character offsets.

    Raises
    ------
    UnsupportedModelError
        If it is not a fast one.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnsupportedModelError(
            f"the tokenizer of {name!r} is a {type(tokenizer).__name__}, without character "
            "offsets; kvprobes finds words among tokens by offsets only. Save the tokenizer as a "
            "fast one (tokenizer.json) beside the weights."
        )


def examine_tokenizer(tokenizer: PreTrainedTokenizerFast, n_embeddings: int) -> Iterator[Check]:
    """Check that a tokenizer knows its words, and that the model has a row for each of its ids."""
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in KNOWN_TEXTS]
    told = [tokenizer.decode(own) for own in ids]
    back = [fold(own) == fold(text) for own, text in zip(told, KNOWN_TEXTS, strict=True)]
    yield Check(
        "tokenizer",
        "a known text comes back",
        any(back),
        ""
        if any(back)
        else f"its tokenizer knows no words: {KNOWN_TEXTS[0]!r} comes back as {told[0]!r}, so its "
        f"vocabulary (spiece.model, vocab.txt, tokenizer.json ...) is missing or damaged. {SAVE}",
    )
    pieces = [piece for piece in tokenizer.get_vocab() if _LETTERS.fullmatch(piece)]
    spelled = tokenizer.convert_ids_to_tokens(ids[0])
    joined = not pieces or not back[0] or any(_LETTERS.fullmatch(piece) for piece in spelled)
    yield Check(
        "tokenizer",
        "it joins letters into pieces",
        joined,
        ""
        if joined
        else f"its tokenizer has {len(pieces)} pieces of several letters and uses none of them, so "
        f"its merges (merges.txt) are missing. {SAVE}",
    )
    largest = max((max(own) for own in ids if own), default=0)
    yield Check(
        "tokenizer",
        "every id has an embedding",
        largest < n_embeddings,
        ""
        if largest < n_embeddings
        else f"its tokenizer gives the id {largest}, and the model has {n_embeddings} embeddings: "
        "the tokenizer is another model's. Put the model's own beside the weights.",
    )


def _follow_file(
    tokenizer: PreTrainedTokenizerFast, folder: Path
) -> tuple[PreTrainedTokenizerFast, list[Check]]:
    """Return the tokenizer that cuts text as tokenizer.json says, and what was found."""
    file, check = folder / "tokenizer.json", "text is cut as tokenizer.json says"
    if not file.is_file():
        return tokenizer, [
            Check("tokenizer", check, passed=True, told="there is no tokenizer.json")
        ]
    backend = Tokenizer.from_file(str(file))
    parts = _compare_parts(tokenizer.backend_tokenizer, backend)
    if not parts:
        return tokenizer, [Check("tokenizer", check, passed=True)]
    told = f"{type(tokenizer).__name__}, which its config names, has another {' and '.join(parts)}"
    own = _read_file(folder)
    if not _compare_parts(own.backend_tokenizer, backend):
        return own, [Check("tokenizer", check, passed=True, told=f"{told}; the file is used")]
    told = f"{told} than tokenizer.json, and so has the file's own class. {SAVE}"
    return tokenizer, [Check("tokenizer", check, passed=False, told=told)]


def _compare_parts(ours: Tokenizer, own: Tokenizer) -> list[str]:
    """Name the parts that cut text and that two tokenizers do not share."""
    first, second = (json.loads(tokenizer.to_str()) for tokenizer in (ours, own))
    parts = ("normalizer", "pre_tokenizer", "model")
    return [part for part in parts if first[part] != second[part]]


def _read_file(folder: Path) -> PreTrainedTokenizerFast:
    """Read tokenizer.json by the class that takes every one as it is."""
    own: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True
    )
    return own
