"""What WordNet and the language model say of every word of the other tables."""

from __future__ import annotations

from collections.abc import Iterable

from language_model import LanguageModel
from wordnet import FILES, WordNet

COLUMNS = ("word", "pos", "pos_share", "lexname", "noun_lexname", "z")

# The lexicographer files, in the order of their numbers (WordNet's lexnames(5)).
FIELDS = (
    "adj.all",
    "adj.pert",
    "adv.all",
    "noun.Tops",
    "noun.act",
    "noun.animal",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.food",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
    "verb.body",
    "verb.change",
    "verb.cognition",
    "verb.communication",
    "verb.competition",
    "verb.consumption",
    "verb.contact",
    "verb.creation",
    "verb.emotion",
    "verb.motion",
    "verb.perception",
    "verb.possession",
    "verb.social",
    "verb.stative",
    "verb.weather",
    "adj.ppl",
)


def build_lexicon(
    wordnet: WordNet, model: LanguageModel, words: Iterable[str]
) -> list[tuple[object, ...]]:
    """Return a row for each word, in alphabetical order."""
    return [_describe(wordnet, model, word) for word in sorted(set(words))]


def _describe(wordnet: WordNet, model: LanguageModel, word: str) -> tuple[object, ...]:
    senses = {pos: wordnet.senses[pos].get(word, []) for pos in FILES}
    known = [pos for pos in FILES if senses[pos]]
    counts = {pos: wordnet.count(word, pos) for pos in FILES}
    total = sum(counts.values())
    if total:
        pos = max(known, key=lambda p: counts[p])
        share = f"{counts[pos] / total:.2f}"
    else:  # in none of the tagged texts: known only if WordNet has it as one part of speech
        pos = known[0] if len(known) == 1 else ""
        share = "1.00" if pos else ""
    return (
        word,
        pos,
        share,
        _name_field(wordnet, senses[pos]) if pos else "",
        _name_field(wordnet, senses["n"]),
        model.z(word),
    )


def _name_field(wordnet: WordNet, senses: list) -> str:
    """Name the lexicographer file of the first, usual, sense."""
    return FIELDS[wordnet.synsets[senses[0]].lexfile] if senses else ""
