"""Related words of WordNet, each with an unrelated word of the same frequency and length."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from compounds import is_verb_form
from language_model import LanguageModel
from vocabulary import Vocabulary, shuffle_key
from wordnet import Key, WordNet

COLUMNS = (
    "relation",
    "pos",
    "w1",
    "w2",
    "unrelated_control_for_w2",
    "zlm1",
    "zlm2",
    "zlm_ctl",
    "path",
    "wup",
)
DIRECTED = ("hypernym", "meronym")
COHYPONYMS_PER_KIND = 30
TRIES = 60  # candidates looked at for one control


class Relations:
    """Pairs of words by relation and part of speech, between the words' first senses."""

    def __init__(self, wordnet: WordNet, model: LanguageModel, vocabulary: Vocabulary):
        self._wordnet = wordnet
        self.words = {
            pos: [
                word
                for word in sorted(wordnet.senses[pos])
                if vocabulary.allows(word) and model.z(word) >= 3 and _is_plain(wordnet, word, pos)
            ]
            for pos in "nva"
        }
        self.first = {
            (pos, word): wordnet.senses[pos][word][0]
            for pos, words in self.words.items()
            for word in words
        }
        self._words_of: dict[Key, list[str]] = defaultdict(list)
        for (_, word), key in self.first.items():
            self._words_of[key].append(word)
        self.pairs: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._collect()

    def _collect(self) -> None:
        for key, words in self._words_of.items():
            for one, other in combinations(words, 2):
                self._add("synonym", key.pos, one, other)
        children: dict[Key, set[str]] = defaultdict(set)
        for (pos, word), key in self.first.items():
            self._follow(pos, word, key)
            if pos in "nv":
                for parent in self._wordnet.find_parents(key):
                    children[parent].add(word)
        for parent in sorted(children):
            pairs = [
                pair
                for pair in combinations(sorted(children[parent]), 2)
                if self.first[parent.pos, pair[0]] != self.first[parent.pos, pair[1]]
            ]
            pairs.sort(key=lambda pair: shuffle_key("cohyponym", *pair))
            for one, other in pairs[:COHYPONYMS_PER_KIND]:
                self._add("cohyponym", parent.pos, one, other)

    def _follow(self, pos: str, word: str, key: Key) -> None:
        number = self._wordnet.number_word(key, word)
        for symbol, target, own_word, target_word in self._wordnet.synsets[key].pointers:
            if symbol == "!" and own_word == number and target.pos == pos:
                other = self._wordnet.synsets[target].words[target_word - 1].lower()
                if self.first.get((pos, other)) == target:
                    self._add("antonym", pos, word, other)
            for other in self._words_of.get(target, ()):
                if symbol == "@":
                    self._add("hypernym", pos, word, other)
                if symbol in ("%p", "%m", "%s"):
                    self._add("meronym", pos, other, word)  # the part, then the whole
                if symbol == "&" and pos == "a":
                    self._add("similar", pos, word, other)

    def _add(self, relation: str, pos: str, one: str, other: str) -> None:
        if one[:5] != other[:5]:
            pair = (one, other) if relation in DIRECTED else (min(one, other), max(one, other))
            self.pairs[relation, pos].add(pair)


def build_relations(
    wordnet: WordNet, model: LanguageModel, vocabulary: Vocabulary
) -> list[tuple[object, ...]]:
    """Return the rows of `relations.tsv`."""
    relations = Relations(wordnet, model, vocabulary)
    related: dict[str, set[str]] = defaultdict(set)
    for pairs in relations.pairs.values():
        for one, other in pairs:
            related[one].add(other)
            related[other].add(one)
    by_z: dict[tuple[str, int], list[str]] = defaultdict(list)
    for pos, words in relations.words.items():
        for word in words:
            by_z[pos, round(model.z(word) * 10)].append(word)

    def find_control(pos: str, one: str, other: str) -> str:
        z = model.z(other)
        near = [w for step in (-1, 0, 1) for w in by_z[pos, round(z * 10) + step]]
        near = [w for w in near if round(abs(model.z(w) - z), 2) <= 0.1]
        near.sort(key=lambda word: shuffle_key("control", pos, one, other, word))
        for word in near[:TRIES]:
            if (
                word not in (one, other)
                and word not in related[one]
                and word[:4] != one[:4]
                and abs(len(word) - len(other)) <= 2
                and vocabulary.is_single(word) == vocabulary.is_single(other)
                and not _share_meaning(wordnet, pos, one, word)
            ):
                return word
        return ""

    rows: list[tuple[object, ...]] = []
    for (relation, pos), pairs in sorted(relations.pairs.items()):
        for one, other in sorted(pairs):
            control = find_control(pos, one, other)
            similarities: tuple[object, object] = ("", "")
            if pos == "n":
                senses = (relations.first[pos, one],), (relations.first[pos, other],)
                path, wup, _ = wordnet.compare(*senses)
                similarities = (round(path, 3), round(wup, 3))
            z_control = model.z(control) if control else ""
            words = (one, other, control, model.z(one), model.z(other), z_control)
            rows.append((relation, pos, *words, *similarities))
    return rows


def _is_plain(wordnet: WordNet, word: str, pos: str) -> bool:
    """Tell whether a word is mainly of this part of speech and of its first sense, and no name."""
    if wordnet.is_name(word) or (pos == "n" and wordnet.has_name_sense(word)):
        return False
    share = wordnet.find_share(word, pos)
    if share is None:
        only = all(word not in wordnet.senses[other] for other in "nvar" if other != pos)
        return only and not is_verb_form(wordnet, word)
    first = wordnet.counts.get((word, wordnet.senses[pos][word][0]), 0)
    return share >= 0.6 and first >= 0.4 * wordnet.count(word, pos)


def _share_meaning(wordnet: WordNet, pos: str, one: str, other: str) -> bool:
    if pos == "n":
        senses = (tuple(wordnet.find_noun_senses(word)) for word in (one, other))
        return wordnet.compare(*senses)[1] > 0.35
    if pos == "v":
        above = [
            {key for sense in wordnet.senses["v"][word] for key in wordnet.find_ancestors(sense)}
            for word in (one, other)
        ]
        return not above[0].isdisjoint(above[1])
    return False
