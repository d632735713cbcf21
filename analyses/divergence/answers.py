"""What the headline answers: a verdict, three sentences and warnings, by rule from the summary."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analyses.divergence import RATIO
from analyses.divergence.relatedness import tell_kinds
from analyses.divergence.tables import NULLS
from analyses.shared.numbers import Quantity, join, show, show_interval
from analyses.shared.tables import select
from probes.similarity.catalogue import (
    EXCESS,
    OCCURRENCES,
    RANDOM_PAIRS,
    TRAINED,
    WORD_PAIRS,
    find_condition,
    name_difference,
)

SAME = 0.05
"""The largest difference of DR that means nothing: inside it two conditions count as equal."""
FEWEST = 50
"""Distinct word pairs below which nothing is judged."""
LITTLE, MUCH = 0.25, 0.75
"""The verdict's two marks on DR(5 %): a quarter, and three quarters, of what chance gives."""
TIED_NULLS = {
    "mismatched_heads": "the keys of another head",
    "random_slice": "a random slice of the input of the layer",
}
"""The nulls that keep the trained values, and what is in the place of the keys."""


def _label(null: str) -> str:
    return find_condition(null).label


def find(
    summary: pd.DataFrame, population: str, space: str, measure: str, condition: str
) -> Quantity | None:
    """Return a figure of the summary, or None if it is not there."""
    place = {"population": population, "space": space, "measure": measure}
    rows = select(summary, condition=condition, **place)
    if rows.empty or pd.isna(rows["value"].iloc[0]):
        return None
    return Quantity.of(rows.iloc[0])


def answer(summary: pd.DataFrame, kinds: Mapping[str, Quantity]) -> tuple[str, ...]:
    """Answer in three sentences.

    1. How often similar keys come with dissimilar values: DR(5 %) on the word pairs (half of DR is
       the share itself), on random pairs of the captured words, and within each kind of pairs.
    2. Whether that is less or more than under each null: by whether the interval of the difference
       excludes 0.
    3. How much of the values a linear map of the keys gives, against every null in the table.

    Parameters
    ----------
    summary
        The table of `analyses.divergence.compute`.
    kinds
        DR(5 %) within related, mid and unrelated pairs (`find_kinds`).
    """
    return _answer_ratio(summary, kinds), _answer_nulls(summary), _answer_tieability(summary)


def verdict(
    summary: pd.DataFrame, kinds: Mapping[str, Quantity], *, n_pairs: int | None = None
) -> str:
    """Judge the claim "similar keys, dissimilar values" in one plain sentence.

    The rule, on the 95 % interval of DR(5 %) of the word pairs in the functional space, with a mark
    at 0.25 and one at 0.75 (1 is chance: values that know nothing about keys):

    - *not what this model does*: all of it is below 0.25, so that of the pairs with the most
      similar keys fewer than 1 in 8 have values in the less similar half;
    - *partly supported*: all of it is between the marks;
    - *supported*: all of it is at or above 0.75;
    - *at most* or *at least partly supported*: it holds the lower, or the upper, mark;
    - *undecided*: it holds both, or there is no interval;
    - *undetermined*: there are fewer than `FEWEST` distinct pairs, so `n_pairs` is told instead.

    The same rule is applied to random pairs of the captured words, and named where it says
    something else. Separately: whether trained heads dissociate more or less than each null, by the
    interval of the difference, and whether that turns round in the centred space. The ratio within
    each of the `kinds` of pairs closes it.
    """
    if n_pairs is not None and n_pairs < FEWEST:
        return (
            "“Similar keys, dissimilar values” is undetermined on these word pairs: only "
            f"{n_pairs} are distinct, and {FEWEST} are needed ({tell_kinds(kinds)})."
        )
    judged = {
        population: judge(find(summary, population, "functional", RATIO, TRAINED))
        for population in (WORD_PAIRS, RANDOM_PAIRS)
    }
    words, everything = judged[WORD_PAIRS], judged[RANDOM_PAIRS]
    text = f"“Similar keys, dissimilar values” is {words} on these word pairs"
    if everything != words and find(summary, RANDOM_PAIRS, "functional", RATIO, TRAINED):
        text += f" (and {everything} on random pairs of the same words)"
    turned = [_label(null) for null in NULLS if _turns_round(summary, null)]
    if turned:
        turned = [f", though against {join(turned)} that turns round in the centred space"]
    return f"{text}; {_separation(summary)}{''.join(turned)} ({tell_kinds(kinds)})."


def judge(ratio: Quantity | None) -> str:
    """Apply the rule of `verdict` to one DR(5 %)."""
    if ratio is None or not ratio.bounded:
        return "undecided"
    if ratio.high < LITTLE:
        return "not what this model does"
    if ratio.low >= MUCH:
        return "supported"
    if ratio.low >= LITTLE:
        return "partly supported" if ratio.high < MUCH else "at least partly supported"
    return "at most partly supported" if ratio.high < MUCH else "undecided"


def _separation(summary: pd.DataFrame) -> str:
    """Say whether trained heads dissociate more or less than the nulls."""
    signs = {
        null: difference.sign
        for null in NULLS
        if (difference := _difference(summary, null)) is not None
    }
    if not signs:
        return "there is no null to compare its heads with"
    words = {1: "more than", -1: "less than", 0: "not distinguishably from"}
    groups = {sign: [_label(null) for null, own in signs.items() if own == sign] for sign in words}
    parts = [f"{words[sign]} {join(names)}" for sign, names in groups.items() if names]
    return f"its heads dissociate keys from values {join(parts)}"


def _answer_ratio(summary: pd.DataFrame, kinds: Mapping[str, Quantity]) -> str:
    ratio = find(summary, WORD_PAIRS, "functional", RATIO, TRAINED)
    if ratio is None:
        return "How often similar keys come with dissimilar values was not measured on word pairs."
    text = (
        "Of the 5 % of word pairs with the most similar keys, on average over heads, "
        f"{show(50 * ratio.value, 1)} % have values less similar than those of the median pair, "
        f"where 50 % would if values knew nothing about keys ({_show_ratio(ratio)})"
    )
    everything = find(summary, RANDOM_PAIRS, "functional", RATIO, TRAINED)
    if everything is not None:
        text += (
            f"; of random pairs of the same words, {show(50 * everything.value, 1)} % "
            f"({_show_ratio(everything, short=True)})"
        )
    return f"{text}. {tell_kinds(kinds)}."


def _show_ratio(ratio: Quantity, *, short: bool = False) -> str:
    if not ratio.bounded:
        return f"DR = {show(ratio.value)}, no interval"
    name = "" if short else "95 % interval "
    return f"DR = {show(ratio.value)}, {name}{show_interval(ratio)}"


def _difference(summary: pd.DataFrame, null: str, space: str = "functional") -> Quantity | None:
    return find(summary, WORD_PAIRS, space, RATIO, name_difference(null))


def _answer_nulls(summary: pd.DataFrame) -> str:
    parts = []
    for null in NULLS:
        name = _label(null)
        level = find(summary, WORD_PAIRS, "functional", RATIO, null)
        difference = _difference(summary, null)
        if level is None or difference is None:
            continue
        equal = difference.lies_within(SAME)
        words = {
            1: "more than in",
            -1: "less than in",
            0: f"the same, within {SAME}, as in" if equal else "not distinguishably different from",
        }[difference.sign]
        bounds = show_interval(difference, 3) or "no interval"
        parts.append(
            f"{words} {name} (DR = {show(level.value)}; trained minus {name} = "
            f"{show(difference.value, 3)}, {bounds})"
        )
    if not parts:
        return "No null is beside this figure, so it cannot be said whether it is special."
    text = f"On the word pairs that is {join(parts)}"
    missing = [null for null in NULLS if _difference(summary, null) is None]
    if missing:
        labels = [_label(null) for null in missing]
        text += f"; {join(labels)} could not be formed" + (
            " (a layer has a single kv head)" if missing == ["mismatched_heads"] else ""
        )
    return text + "."


def _answer_tieability(summary: pd.DataFrame) -> str:
    place = (OCCURRENCES, "functional")
    tied = find(summary, *place, "tieability", TRAINED)
    if tied is None:
        return "How much of the values a linear map of the keys gives was not measured."
    text = (
        f"The best linear map of the keys of a head gives {show(100 * tied.value, 0)} % of the "
        "variance of what its values write, on words it was not fitted on (tieability R² = "
        f"{show(tied.value, 3)}" + (f", {show_interval(tied, 3)})" if tied.bounded else ")")
    )
    parts, signs = [], []
    for null, name in TIED_NULLS.items():
        level = find(summary, *place, "tieability", null)
        excess = find(summary, *place, f"{EXCESS}{null}", TRAINED)
        if level is None or excess is None:
            continue
        words = {1: "more than", -1: "less than", 0: "not distinguishably different from"}
        bounds = show_interval(excess, 3) or "no interval"
        parts.append(
            f"{words[excess.sign]} {name} ({show(level.value, 3)}; excess {show(excess.value, 3)}, "
            f"{bounds})"
        )
        signs.append(excess.sign)
    if not parts:
        return text + "; no null is beside it."
    meaning = {
        (True, False): ": keys and values of a head share more than these nulls do",
        (False, True): ": keys and values of a head are further apart than these nulls put them",
    }.get((all(s > 0 for s in signs), all(s < 0 for s in signs)), "")
    return f"{text}, {join(parts)}{meaning}."


def warn(summary: pd.DataFrame) -> list[str]:
    """Warn where the figures mislead.

    If the raw cosine of keys is high (0.5 or more) where the centred one is near zero (below 0.1 on
    either side); for each null that is on the other side of the trained heads in the centred
    space; and where the keys of random heads spread over fewer directions in the functional space.
    """
    found = []
    for population in (RANDOM_PAIRS, WORD_PAIRS):
        raw, centred = (
            find(summary, population, space, "mean_key_cosine", TRAINED)
            for space in ("raw", "centred")
        )
        if raw and centred and raw.value >= 0.5 and abs(centred.value) < 0.1:
            name = "random pairs of the words" if population == RANDOM_PAIRS else "the word pairs"
            found.append(
                "A high raw cosine of two keys means little here: it averages "
                f"{show(raw.value)} over {name}, and {show(centred.value)} once the vector that "
                "all keys share, which draws attention to no word over another, is subtracted"
                f"{_say_shares(summary)}."
            )
            break
    for null in NULLS:
        name = _label(null)
        if (turned := _turns_round(summary, null)) is not None:
            trained, level = (show(figure.value, 3) for figure in turned)
            found.append(
                f"The comparison with {name} depends on the space: in the centred one, where every "
                f"direction of a key counts alike, DR is {trained} in trained and {level} in "
                f"{name}{_show_gap(summary, null)}, the other way round."
            )
    return found + _warn_of_dimensions(summary)


def _warn_of_dimensions(summary: pd.DataFrame) -> list[str]:
    """Warn that random heads are another null in the functional space than in the centred one."""
    spread: dict[tuple[str, str], float] = {}
    ratios: dict[tuple[str, str], str] = {}
    for condition in (TRAINED, "random_heads"):
        for space in ("functional", "centred"):
            dimension = find(summary, OCCURRENCES, space, "key_dimension", condition)
            ratio = find(summary, WORD_PAIRS, space, RATIO, condition)
            if dimension is None or ratio is None:
                return []
            spread[condition, space] = dimension.value
            ratios[condition, space] = show(ratio.value, 3)
    if spread["random_heads", "functional"] >= spread["random_heads", "centred"]:
        return []  # then there is nothing to warn of
    told = {place: show(dimension, 1) for place, dimension in spread.items()}
    return [
        "Random heads are not the same null in every space. In the functional space keys are "
        "measured by S, the second moment of the queries that read them. Random queries on the "
        "trained input are dominated by few directions, so the keys of a random head, seen through "
        f"S, spread over an effective {told['random_heads', 'functional']} directions, against "
        f"{told['random_heads', 'centred']} in the centred space (trained heads: "
        f"{told[TRAINED, 'functional']} against {told[TRAINED, 'centred']}). Two keys alike in a "
        "few directions need be alike in nothing else: DR(5 %) of random heads on the word pairs "
        f"is {ratios['random_heads', 'functional']} in the functional and "
        f"{ratios['random_heads', 'centred']} in the centred space (trained: "
        f"{ratios[TRAINED, 'functional']} and {ratios[TRAINED, 'centred']}). Compare trained with "
        "random heads only within one space, and look first at the mismatched heads, which keep "
        "the trained metrics."
    ]


def _say_shares(summary: pd.DataFrame) -> str:
    """Say how much of keys and of values is one common vector, where that was measured."""
    key, value = (
        find(summary, OCCURRENCES, "raw", f"{part}_common_share", TRAINED)
        for part in ("key", "value")
    )
    if key is None or value is None:
        return ""
    return (
        f": {show(100 * key.value, 0)} % of the squared length of a key is that one vector (of a "
        f"value {show(100 * value.value, 0)} %)"
    )


def _turns_round(summary: pd.DataFrame, null: str) -> tuple[Quantity, Quantity] | None:
    """Return DR of trained heads and of a null in the centred space, if their order is opposite.

    Where the difference in the centred space has an interval, it must exclude 0.
    """
    difference, there = (_difference(summary, null, space) for space in ("functional", "centred"))
    trained, level = (
        find(summary, WORD_PAIRS, "centred", RATIO, condition) for condition in (TRAINED, null)
    )
    if difference is None or trained is None or level is None:
        return None
    if there is not None and there.bounded:
        turned = difference.sign * there.sign < 0
    else:
        turned = difference.sign * (trained.value - level.value) < 0
    return (trained, level) if turned else None


def _show_gap(summary: pd.DataFrame, null: str) -> str:
    """Write the difference in the centred space in brackets, where it has an interval."""
    gap = _difference(summary, null, "centred")
    if gap is None or not gap.bounded:
        return ""
    name = _label(null)
    return f" (trained minus {name} = {show(gap.value, 3)}, {show_interval(gap, 3)})"
