"""A reader of WordNet's database files: senses, their counts in text, relations, similarities."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
SENSE_TYPES = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
PERSON, GROUP = 18, 14  # numbers of the lexicographer files noun.person and noun.group
TAXONOMIC = ("@", "@i")
PRIOR = 0.1  # count given to every noun sense, so that none has infinite information


class Key(NamedTuple):
    """A synset's place: part of speech and offset."""

    pos: str
    offset: str


class Pointer(NamedTuple):
    """A relation between synsets, or (with word numbers above 0) between two of their words."""

    symbol: str
    target: Key
    word: int
    target_word: int


@dataclass(frozen=True)
class Synset:
    """Words of one meaning (in their true case) and the relations it has."""

    lexfile: int
    words: tuple[str, ...]
    pointers: tuple[Pointer, ...]


class WordNet:
    """WordNet from the folder of its `data.*`, `index.*` and `index.sense` files."""

    def __init__(self, folder: Path):
        self.synsets: dict[Key, Synset] = {}
        self.senses: dict[str, dict[str, list[Key]]] = {pos: {} for pos in FILES}
        for pos, name in FILES.items():
            for line in _read_lines(folder / f"data.{name}"):
                key, synset = _parse_synset(pos, line)
                self.synsets[key] = synset
            for line in _read_lines(folder / f"index.{name}"):
                fields = line.split()
                first = 6 + int(fields[3])
                self.senses[pos][fields[0]] = [Key(pos, offset) for offset in fields[first:]]
        self.counts: dict[tuple[str, Key], int] = defaultdict(int)
        for line in _read_lines(folder / "index.sense"):
            sense, offset, _, count = line.split()
            lemma, _, rest = sense.partition("%")
            if int(count):
                self.counts[lemma, Key(SENSE_TYPES[rest[0]], offset)] += int(count)
        self.find_ancestors = cache(self._find_ancestors)
        self.compare = cache(self._compare)
        self._depths: dict[Key, int] = {}
        self.information = self._measure_information()

    def count(self, word: str, pos: str) -> int:
        """Return how often the tagged texts use `word` as this part of speech."""
        return sum(self.counts.get((word, key), 0) for key in self.senses[pos].get(word, ()))

    def find_share(self, word: str, parts: str) -> float | None:
        """Return the share of uses of `word` in `parts` of speech; None if it is in no text."""
        counts = {pos: self.count(word, pos) for pos in FILES}
        total = sum(counts.values())
        return sum(counts[pos] for pos in parts) / total if total else None

    def is_name(self, word: str) -> bool:
        """Tell whether the first noun sense of `word` is written with a capital (China, Monday)."""
        keys = self.senses["n"].get(word, [])[:1]
        return any(word not in self.synsets[key].words for key in keys)

    def has_name_sense(self, word: str) -> bool:
        """Tell whether any noun sense of `word` is one named thing or person (Turkey, Fox)."""
        return any(
            pointer.symbol == "@i" and word not in self.synsets[key].words
            for key in self.senses["n"].get(word, ())
            for pointer in self.synsets[key].pointers
        )

    def means_people(self, word: str) -> bool:
        """Tell whether one of the first two noun senses of `word` is a person or a group."""
        keys = self.senses["n"].get(word, [])[:2]
        senses = [self.synsets[key] for key in keys]
        return any(
            s.lexfile in (PERSON, GROUP) or s.words[0] in ("person", "group") for s in senses
        )

    def find_parents(self, key: Key) -> list[Key]:
        """Return the direct hypernyms of a synset."""
        return [p.target for p in self.synsets[key].pointers if p.symbol in TAXONOMIC]

    def find_noun_senses(self, word: str, limit: int = 3) -> list[Key]:
        """Return the first noun senses of `word`, and nouns that its adjectives go back to."""
        found = self.senses["n"].get(word, [])[:limit]
        for key in self.senses["a"].get(word, [])[:limit]:
            number = self.number_word(key, word)
            found = found + [
                p.target
                for p in self.synsets[key].pointers
                if p.target.pos == "n" and p.symbol in ("\\", "+", "=") and p.word in (0, number)
            ]
        return list(dict.fromkeys(found))

    def number_word(self, key: Key, word: str) -> int:
        """Return the number of `word` in a synset, from 1, or 0 if it is not there."""
        words = [other.lower() for other in self.synsets[key].words]
        return words.index(word) + 1 if word in words else 0

    def _compare(
        self, some: tuple[Key, ...], others: tuple[Key, ...]
    ) -> tuple[float, float, float]:
        """Return the greatest path, Wu-Palmer and Lin similarity of two sets of noun senses."""
        path = wup = lin = 0.0
        for a in some:
            above_a = self.find_ancestors(a)
            for b in others:
                above_b = self.find_ancestors(b)
                information = self.information[a] + self.information[b]
                for shared in above_a.keys() & above_b.keys():
                    steps = above_a[shared] + above_b[shared]
                    depth = self._depths[shared]
                    path = max(path, 1 / (1 + steps))
                    wup = max(wup, 2 * depth / (2 * depth + steps))
                    ratio = 2 * self.information[shared] / information if information > 0 else 1.0
                    lin = max(lin, min(ratio, 1.0))
        return path, wup, lin

    def _find_ancestors(self, key: Key) -> dict[Key, int]:
        """Return each ancestor with its shortest distance; the synset itself is at 0."""
        steps = {key: 0}
        for parent in self.find_parents(key):
            for ancestor, distance in self.find_ancestors(parent).items():
                steps[ancestor] = min(steps.get(ancestor, 99), distance + 1)
        return steps

    def _measure_depth(self, key: Key) -> int:
        if key not in self._depths:
            depths = map(self._measure_depth, self.find_parents(key))
            self._depths[key] = 1 + max(depths, default=0)
        return self._depths[key]

    def _measure_information(self) -> dict[Key, float]:
        own = defaultdict(float)
        for (_, key), count in self.counts.items():
            own[key] += count
        mass: dict[Key, float] = defaultdict(float)
        for key in self.synsets:
            if key.pos == "n":
                self._measure_depth(key)
                for ancestor in self.find_ancestors(key):
                    mass[ancestor] += own[key] + PRIOR
        root = max(mass.values())
        return {key: -math.log(value / root) for key, value in mass.items()}


def _read_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not re.match(r"  ?\d* ", line)]


def _parse_synset(pos: str, line: str) -> tuple[Key, Synset]:
    fields = line.partition(" | ")[0].split()
    end = 4 + 2 * int(fields[3], 16)
    words = tuple(re.sub(r"\((a|p|ip)\)$", "", word) for word in fields[4:end:2])
    pointers = []
    for i in range(end + 1, end + 1 + 4 * int(fields[end]), 4):
        symbol, offset, target_pos, numbers = fields[i : i + 4]
        target = Key("a" if target_pos == "s" else target_pos, offset)
        pointers.append(Pointer(symbol, target, int(numbers[:2], 16), int(numbers[2:], 16)))
    return Key(pos, fields[0]), Synset(int(fields[1]), words, tuple(pointers))
