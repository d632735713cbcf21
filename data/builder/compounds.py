"""Compound pairs: two modifiers of one head, in bins of how related the modifiers are."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import astuple, dataclass, fields
from itertools import combinations

from glove import Glove
from language_model import LanguageModel
from vocabulary import Vocabulary, read_exclusions, shuffle_key, split_of
from wordnet import WordNet

PER_BIN = 2000
FOUNDING = (("network", "neural", "social"), ("dog", "guide", "hot"))
BINS = ("unrelated", "related", "mid")  # the scarcest first: it sets the frequency gaps
MODIFIERS_PER_HEAD = 24
PAIRS_PER_HEAD = 4  # of each bin
PAIRS_PER_MODIFIER = 12
LONGEST_GAP = 1.0  # between the z of the two modifiers
FRAGMENT = 0.4  # a compound is a fragment if this share of it is in longer phrases
SMALL_GAP = 0.5  # pairs within this come first


@dataclass(frozen=True)
class Pair:
    """A row of `compound_pairs.tsv`, but for its number and its split."""

    head: str
    m1: str
    m2: str
    glove_cos: float
    wup: float
    lin: float
    z_m1: float
    z_m2: float
    z_head: float
    pmi1: float
    pmi2: float
    source1: str
    source2: str
    relatedness: str

    @property
    def gap(self) -> float:
        """How far the z of the two modifiers are apart."""
        return round(abs(self.z_m1 - self.z_m2), 2)


COLUMNS = ("pair_id", *(field.name for field in fields(Pair)), "split")


def build_pairs(
    wordnet: WordNet, model: LanguageModel, glove: Glove, vocabulary: Vocabulary
) -> list[tuple[object, ...]]:
    """Return the rows of `compound_pairs.tsv`."""
    compounds = collect_compounds(wordnet, model, vocabulary)
    modifiers: dict[str, list[str]] = defaultdict(list)
    for head, modifier in compounds:
        if modifier in glove:
            modifiers[head].append(modifier)
    candidates = []
    for head in sorted(modifiers):
        ranked = sorted(modifiers[head], key=lambda m: (-round(model.z_bigram(m, head), 6), m))
        for m1, m2 in combinations(sorted(ranked[:MODIFIERS_PER_HEAD]), 2):
            if abs(model.z(m1) - model.z(m2)) > LONGEST_GAP or _look_alike(m1, m2):
                continue
            sources = compounds[head, m1], compounds[head, m2]
            pair = measure_pair(wordnet, model, glove, (head, m1, m2), sources)
            if pair is not None and pair.relatedness:
                candidates.append(pair)
    chosen = choose_pairs(candidates)
    for words in FOUNDING:
        pair = measure_pair(wordnet, model, glove, words, ("seed", "seed"))
        if pair is None:
            raise RuntimeError(f"the founding pair {words} cannot be measured")
        chosen = [other for other in chosen if (other.head, other.m1, other.m2) != words]
        chosen.append(pair)
    chosen.sort(key=lambda pair: (pair.head, pair.m1, pair.m2))
    return [
        (f"cp{number:05d}", *astuple(pair), split_of(pair.head, wordnet))
        for number, pair in enumerate(chosen)
    ]


def collect_compounds(
    wordnet: WordNet, model: LanguageModel, vocabulary: Vocabulary
) -> dict[tuple[str, str], str]:
    """Return (head, modifier) of compounds and where each comes from.

    "wordnet+lm": WordNet lists the compound and the language model its bigram; "lm": only the
    language model does, and then the bigram must be the stronger one, and mostly occur by itself.
    """
    excluded = read_exclusions()
    words = sorted(set(wordnet.senses["n"]) | set(wordnet.senses["a"]))
    usable = [
        w for w in words if vocabulary.allows(w) and vocabulary.is_single(w) and model.z(w) >= 3
    ]
    heads = [w for w in usable if model.z(w) >= 3.5 and _is_head(wordnet, w)]
    modifiers = [w for w in usable if w not in excluded and _is_modifier(wordnet, w)]
    found: dict[tuple[str, str], str] = {}
    for head in heads:
        for modifier in model.find_modifiers(head, modifiers, least=1):
            if f"{modifier} {head}" in excluded or not vocabulary.allows_pair(
                wordnet, modifier, head
            ):
                continue
            if _is_compound(wordnet, modifier, head):
                found[head, modifier] = "wordnet+lm"
            elif (
                model.information(modifier, head) >= 2
                and model.z_bigram(modifier, head) > 1.75
                and not is_verb_form(wordnet, modifier)
            ):
                found[head, modifier] = "lm"
    before = [w for w in words if len(w) > 2 and model.z(w) >= 3.5]
    before = [w for w in before if w not in vocabulary.determiners]
    doubtful = sorted({m for (_, m), source in found.items() if source == "lm"})
    preceding = {modifier: model.find_preceding(modifier, before) for modifier in doubtful}
    return {
        (head, m): source
        for (head, m), source in found.items()
        if source != "lm" or model.share_in_phrases(m, head, preceding[m]) <= FRAGMENT
    }


def measure_pair(
    wordnet: WordNet,
    model: LanguageModel,
    glove: Glove,
    words: tuple[str, str, str],
    sources: tuple[str, str],
) -> Pair | None:
    """Return a measured pair, or None where a modifier has no noun sense to compare."""
    head, m1, m2 = words
    senses = [wordnet.find_noun_senses(m) for m in (m1, m2)]
    if not all(senses):
        return None
    _, wup, lin = wordnet.compare(*map(tuple, senses))
    cosine, wup, lin = round(glove.cosine(m1, m2), 3), round(wup, 3), round(lin, 3)
    nouns = all((wordnet.find_share(m, "n") or 0) > 0.5 for m in (m1, m2))
    return Pair(
        head=head,
        m1=m1,
        m2=m2,
        glove_cos=cosine + 0.0,  # no "-0.0"
        wup=wup,
        lin=lin,
        z_m1=model.z(m1),
        z_m2=model.z(m2),
        z_head=model.z(head),
        pmi1=round(model.information(m1, head), 2),
        pmi2=round(model.information(m2, head), 2),
        source1=sources[0],
        source2=sources[1],
        relatedness=find_bin(cosine, wup, nouns),
    )


def find_bin(cosine: float, wup: float, nouns: bool) -> str:
    """Return the bin of a pair's modifiers, or "" where the two measures contradict each other.

    GloVe sees topics and WordNet kinds. Two nouns that GloVe finds close and WordNet far apart are
    mostly names or other senses ("fox", the broadcaster): they are in no bin, and neither are words
    that only WordNet finds close, as it does with most abstract nouns.
    """
    if cosine >= 0.5 and nouns and wup < 0.35:
        return ""
    if cosine >= 0.5 or (cosine >= 0.35 and wup >= 0.75):
        return "related"
    if cosine >= 0.2:
        return "mid"
    return "unrelated" if wup < 0.35 else ""


def choose_pairs(candidates: list[Pair]) -> list[Pair]:
    """Return 2,000 pairs of each bin, in a fixed random order, with the same frequency gaps.

    The unrelated pairs come first, those of small gap before others; the other bins then take as
    many pairs of each gap (in steps of 0.1) as they did.
    """
    chosen: list[Pair] = []
    of_head: Counter[tuple[str, str]] = Counter()
    of_modifier: Counter[str] = Counter()
    quota: Counter[int] = Counter()
    for relatedness in BINS:
        ranked = sorted(
            (pair for pair in candidates if pair.relatedness == relatedness),
            key=lambda p: (p.gap > SMALL_GAP, shuffle_key(p.head, p.m1, p.m2)),
        )
        taken: Counter[int] = Counter()
        for pair in ranked:
            step = int(pair.gap * 10)
            if (
                taken.total() == PER_BIN
                or (quota and taken[step] == quota[step])
                or (pair.head, pair.m1, pair.m2) in FOUNDING
                or of_head[pair.head, relatedness] >= PAIRS_PER_HEAD
                or max(of_modifier[pair.m1], of_modifier[pair.m2]) >= PAIRS_PER_MODIFIER
            ):
                continue
            chosen.append(pair)
            of_head[pair.head, relatedness] += 1
            of_modifier.update((pair.m1, pair.m2))
            taken[step] += 1
        if taken.total() < PER_BIN:
            short = {step: quota[step] - taken[step] for step in quota if quota[step] > taken[step]}
            raise RuntimeError(
                f"only {taken.total()} pairs are {relatedness}; short by gap: {short}"
            )
        quota = quota or taken
    return chosen


def _is_head(wordnet: WordNet, word: str) -> bool:
    share = wordnet.find_share(word, "n")
    known = word in wordnet.senses["n"] and not wordnet.is_name(word)
    return known and (share is None or share >= 0.4) and not is_verb_form(wordnet, word)


def _is_modifier(wordnet: WordNet, word: str) -> bool:
    if wordnet.is_name(word) or wordnet.has_name_sense(word) or word in wordnet.senses["r"]:
        return False
    share = wordnet.find_share(word, "na")
    return share is None or share >= 0.4


def is_verb_form(wordnet: WordNet, word: str) -> bool:
    """Tell whether a word that no tagged text has as noun or adjective is a verb's participle."""
    if not re.search("(ing|ed)$", word) or wordnet.count(word, "n") + wordnet.count(word, "a"):
        return False
    stem = re.sub("(ing|ed)$", "", word)
    forms = (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else stem)
    return any(form in wordnet.senses["v"] for form in forms)


def _is_compound(wordnet: WordNet, modifier: str, head: str) -> bool:
    lemma = f"{modifier}_{head}"
    keys = wordnet.senses["n"].get(lemma, ())
    return any(lemma in wordnet.synsets[key].words for key in keys)


def _look_alike(one: str, other: str) -> bool:
    return one[:4] == other[:4]
