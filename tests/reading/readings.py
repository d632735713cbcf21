"""Words read with tiny models, shared by the tests of this room."""

from __future__ import annotations

from functools import cache

from probes.reading import Words, read
from tests.tiny import KNOWN_WORDS, tiny_model

SENTENCES = ("The black fox saw a small dog .", "A dog is red of cat", "The small tree was big")
WORDS = ("black", "small", "red")
LOWER = tuple(sorted({word.lower() for word in KNOWN_WORDS}))
TEMPLATES = ("The {word} fox ran .", "A dog saw {word} and was red")


@cache
def read_many(architecture: str = "llama", key_stage: str = "projected") -> Words:
    """Read all known words in two templates: enough to centre and to rank."""
    return read(tiny_model(architecture), TEMPLATES, LOWER, key_stage=key_stage)
