"""Coordinations and marked sentences whose words share prefixes and take several tokens."""

from __future__ import annotations

import pandas as pd

from probes.models import Model, build_model
from tests.architectures import build_hf
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = pd.DataFrame(
    [
        ("p0", "fox", "black", "white", "related", 4.0, 5.0),
        ("p1", "dog", "black", "zest", "", 4.0, 3.0),  # "zest" and "quiet" take several tokens
        ("p2", "quiet", "red", "small", "", 3.5, 4.5),
        ("p3", "house", "white", "black", "", 5.0, 4.0),  # p0's words, with another head
    ],
    columns=["pair_id", "head", "m1", "m2", "relatedness", "z_m1", "z_m2"],
)
TEMPLATES = pd.DataFrame(
    [
        ("late", "The dog saw the tree and the {first} and the {second} {head}."),
        ("early", "The {first} or {second} {head} ran and the dog saw a tree."),
        ("again", "The {first} or {second} {head} was big."),  # begins as "early" does
    ],
    columns=["template_id", "text"],
)
SENTENCES = pd.DataFrame(
    [
        ("A red fox saw the zest of the dog.", "red", "A", ""),
        ("A red fox saw the zest of the dog.", "zest", "B", ""),
        ("A red fox saw the zest of the dog.", "saw", "A", ""),
        ("A red fox saw the dog.", "red", "A", "dog"),  # the same up to "saw" as the first
        ("A red fox saw the dog.", "saw", "A", "dog"),
        ("A red fox saw the dog.", "fox", "B", "dog"),
        ("The small cat and the big quiet tree", "cat", "A", ""),
        ("The small cat and the big quiet tree", "big", "A", ""),
        ("The small cat and the big quiet tree", "small", "B", "tree"),
        ("The small cat and the big quiet tree", "quiet", "B", "tree"),
    ],
    columns=["sentence", "word", "label", "query"],
)
MODELS = ("llama", "gemma", "bert", "t5")


def make_model(name: str) -> Model:
    """Return a tiny model: with groups, with one kv head, seeing both ways, an encoder-decoder."""
    if name == "t5":
        return build_model(build_hf("t5"), tiny_tokenizer(bos=False, eos=True), name="tiny-t5")
    return tiny_model(name, n_kv_heads=1) if name == "gemma" else tiny_model(name)


class JoiningTokenizer:
    """A tokenizer in whose offsets every `word` also covers the letter behind the next space."""

    is_fast = True

    def __init__(self, word: str) -> None:
        self.word, self.own = word, tiny_tokenizer()
        self.convert_ids_to_tokens = self.own.convert_ids_to_tokens
        self.decode = self.own.decode

    def __call__(self, texts: list[str], **options: object) -> object:
        encoded = self.own(texts, **options)
        for text, offsets in zip(texts, encoded["offset_mapping"], strict=True):
            for place, (start, end) in enumerate(offsets):
                if text[start:end].strip() == self.word:
                    offsets[place] = (start, end + 2)
        return encoded
