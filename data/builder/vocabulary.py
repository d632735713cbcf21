"""Which words may enter the tables."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from wordnet import WordNet

HERE = Path(__file__).parent


class Vocabulary:
    """Words of letters that are single GPT-2 tokens, neither function words nor blocked."""

    def __init__(self, encoder: Path):
        tokens = json.loads(encoder.read_text(encoding="utf-8"))
        self._single = {token[1:] for token in tokens if token.startswith("\u0120")}
        self._blocked, self._blocked_of_people = read_blocklist()
        self._function_words = read_words("function_words.txt")
        self.determiners = read_words("determiners.txt")

    def is_single(self, word: str) -> bool:
        """Tell whether GPT-2 has a space and `word` as one token."""
        return word in self._single

    def allows(self, word: str) -> bool:
        """Tell whether `word` may be in a table."""
        plain = re.fullmatch("[a-z]{3,}", word) is not None
        return plain and word not in self._function_words and word not in self._blocked

    def allows_pair(self, wordnet: WordNet, modifier: str, head: str) -> bool:
        """Tell whether a modifier may be before a head: some may not before people."""
        return not (modifier in self._blocked_of_people and wordnet.means_people(head))


def read_blocklist(path: Path = HERE / "blocklist.txt") -> tuple[frozenset[str], frozenset[str]]:
    """Return the words blocked everywhere, and those blocked before heads that mean people."""
    everywhere, people = set(), set()
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words[-1:] == ["@people"]:
            people.update(words[:-1])
        else:
            everywhere.update(words)
    return frozenset(everywhere), frozenset(people)


def read_words(name: str) -> frozenset[str]:
    """Return the words of a file beside this one, any number per line, "#" begins a comment."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines for word in line.partition("#")[0].split())


def read_exclusions(path: Path = HERE / "excluded.txt") -> frozenset[str]:
    """Return the words and the compounds ("modifier head") that reading by eye struck out."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return frozenset(line for line in lines if line)


def shuffle_key(*parts: str) -> str:
    """Return a key to sort by for a fixed random order: a hash, the same on every machine."""
    return hashlib.sha256("\t".join(("kvprobes", *parts)).encode()).hexdigest()


def split_of(head: str, wordnet: WordNet) -> str:
    """Return train (70 %), dev (10 %) or test (20 %), the same for a head and its plural."""
    nouns = wordnet.senses["n"]
    singulars = (head[:-1], head[:-2], head[:-3] + "y") if head.endswith("s") else ()
    lemma = next((word for word in singulars if len(word) > 2 and word in nouns), head)
    number = int(hashlib.sha256(lemma.encode()).hexdigest(), 16) % 10
    return "test" if number < 2 else "dev" if number == 2 else "train"
