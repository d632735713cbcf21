"""The four answers: yes, no or undetermined, by marks that were fixed before real models were read.

A rule joins one-sided tests. All of its conditions must hold (the largest p counts), or one of them
is enough (the smallest p counts, times their number). The p-values of the four answers are
corrected together by Holm's method. "No" needs evidence of its own: an interval on the other side
of a mark, or inside a margin that means nothing. Where neither side is shown, the answer is
"undetermined".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t as student

Verdict = Literal["yes", "no", "undetermined"]

ALIKE = 55.0
"""Keys, and values, count as alike from this mean percentile on: 5 points above pairs that are not
selected. Values were not held to it until real models had been seen: their answer was yes at 58."""

SAME_KEY = 0.1
"""Nats of logit: two keys closer than this are one key to the model, at any rank."""

NOTHING = 1.0
"""Percentile points that mean nothing."""

NO_SHARE = 0.01
"""A difference of shares that means nothing."""

LARGE_GAP = 0.5
"""Values differ if their gap is at least this share of the gap of pairs that are not selected."""

NO_INDEX = 0.02
"""A difference of the swap index that means nothing."""

MIDDLE = 50.0
"""The mean percentile of pairs that are not selected."""

LEVEL = 0.025
"""One-sided p below which an answer is given: its 95 % interval then leaves the mark out. It was
.05 until one real model had been seen, whose answer was yes with an interval that held the mark."""

FEWEST_PAIRS, FEWEST_SELECTED = 50, 10
"""Distinct pairs in all, and among those that are co-attended, below which nothing is answered."""

ANSWERS = {
    "keys alike": "Do words that one query attends to have similar keys?",
    "values less alike": "Are their values less alike than their keys?",
    "values dissimilar": "Are their values dissimilar?",
    "difference used": "Does the model use the difference?",
}
"""Answer -> its question."""


@dataclass(frozen=True)
class Evidence:
    """A number, its standard error, and with how many degrees of freedom that is known.

    Tests are by t, as the intervals are; with infinitely many degrees t is the normal distribution.
    """

    value: float
    error: float
    degrees: float = math.inf

    def p_above(self, mark: float) -> float:
        """Return the one-sided p of the hypothesis that the truth is at most `mark`."""
        return self._tail(self.value - mark)

    def p_below(self, mark: float) -> float:
        """Return the one-sided p of the hypothesis that the truth is at least `mark`."""
        return self._tail(mark - self.value)

    def _tail(self, distance: float) -> float:
        if not (math.isfinite(self.value) and math.isfinite(self.error)):
            return 1.0
        if self.error <= 0:
            return 0.0 if distance > 0 else 1.0
        return float(student.sf(distance / self.error, self.degrees))


@dataclass(frozen=True)
class Answer:
    """One answer, with the corrected p-values behind it."""

    name: str
    question: str
    verdict: Verdict
    p_yes: float
    p_no: float
    reason: str


def every(*p: float) -> float:
    """All conditions must hold (intersection-union test)."""
    return max(p)


def some(*p: float) -> float:
    """One condition is enough (Bonferroni)."""
    return min(1.0, len(p) * min(p))


def try_keys(percentile: Evidence, excess: Evidence | None, gap: Evidence) -> tuple[float, float]:
    """Test whether keys are alike: p of yes and p of no.

    Parameters
    ----------
    percentile
        Mean percentile of the keys of co-attended pairs.
    excess
        The same, less that of pairs chosen by the attention of another head; None where a layer has
        one kv head.
    gap
        Root mean square gap of their logits, in nats.
    """
    ranks = [percentile.p_above(ALIKE)] + ([] if excess is None else [excess.p_above(0.0)])
    not_ranks = [percentile.p_below(ALIKE)] + ([] if excess is None else [excess.p_below(0.0)])
    yes = some(every(*ranks), gap.p_below(SAME_KEY))
    no = every(some(*not_ranks), gap.p_above(SAME_KEY))
    return yes, no


def try_difference(difference: Evidence, excess: Evidence | None) -> tuple[float, float]:
    """Test whether values are less alike than keys.

    Parameters
    ----------
    difference
        Percentile of keys less that of values.
    excess
        The same, less that of pairs chosen by the attention of another head.
    """
    both = [difference] + ([] if excess is None else [excess])
    yes = every(*(one.p_above(0.0) for one in both))
    no = some(*(one.p_below(NOTHING) for one in both))
    return yes, no


def try_values(percentile: Evidence, quadrant: Evidence, gap: Evidence) -> tuple[float, float]:
    """Test whether values are dissimilar.

    Parameters
    ----------
    percentile
        Mean percentile of the values of co-attended pairs.
    quadrant
        Share of them with keys above and values below the median, less that of matched pairs.
    gap
        Their value gap over that of matched pairs.
    """
    yes = every(
        some(percentile.p_below(MIDDLE), quadrant.p_above(0.0)),
        percentile.p_below(ALIKE),
        gap.p_above(LARGE_GAP),
    )
    no = some(
        percentile.p_above(ALIKE),
        every(percentile.p_above(MIDDLE), quadrant.p_below(NO_SHARE)),
        gap.p_below(LARGE_GAP),
    )
    return yes, no


def try_use(index: Evidence, beyond: Evidence) -> tuple[float, float]:
    """Test whether swapped values move the next token more than swapped keys.

    Parameters
    ----------
    index
        (d_v - d_k) / (d_v + d_k) of the word pairs.
    beyond
        The same, less that of random matched pairs: this comparison decides.
    """
    return every(index.p_above(0.0), beyond.p_above(0.0)), some(
        index.p_below(0.0), beyond.p_below(NO_INDEX)
    )


def judge(
    tests: Mapping[str, tuple[float, float] | None],
    *,
    pairs: int | None = None,
    selected: int | None = None,
) -> list[Answer]:
    """Give the four answers.

    Parameters
    ----------
    tests
        Answer -> p of yes and p of no; None where it was not measured.
    pairs, selected
        How many distinct pairs there are, and how many of them are co-attended in a head on
        average; None where documents are counted instead.
    """
    known = {name: p for name, p in tests.items() if p is not None}
    yes = dict(zip(known, correct_holm([p for p, _ in known.values()]), strict=True))
    no = dict(zip(known, correct_holm([p for _, p in known.values()]), strict=True))
    few = ""
    if pairs is not None and pairs < FEWEST_PAIRS:
        counted = "is 1 distinct pair" if pairs == 1 else f"are {pairs} distinct pairs"
        few = f"there {counted} of words, and {FEWEST_PAIRS} are needed"
    elif selected is not None and selected < FEWEST_SELECTED:
        few = (
            f"a head attends to both words of {selected} distinct pairs, and {FEWEST_SELECTED} are "
            "needed"
        )
    answers = []
    for name, question in ANSWERS.items():
        if name not in known:
            answers.append(
                Answer(name, question, "undetermined", math.nan, math.nan, "it was not measured")
            )
            continue
        verdict: Verdict = "undetermined"
        reason = few or "the numbers allow both yes and no"
        if not few and yes[name] < LEVEL:
            verdict, reason = "yes", ""
        elif not few and no[name] < LEVEL:
            verdict, reason = "no", ""
        answers.append(Answer(name, question, verdict, yes[name], no[name], reason))
    return answers


def correct_holm(p: Sequence[float]) -> list[float]:
    """Correct p-values so that the chance of any false one stays below the level (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda number: p[number])
    corrected, largest = [0.0] * len(p), 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[number]))
        corrected[number] = largest
    return corrected
