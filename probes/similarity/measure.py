"""The record of a measure: what it is called, how it is computed, and what it promises.

Every measure of this package has one, at the end of its own file, in a tuple ``MEASURES``; the
catalogue lists the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from probes.similarity.ranked import RankedPairs
    from probes.similarity.shuffled import DealtPairs
    from probes.stats.estimates import Estimate


class Transformation(Enum):
    """A change of a measure's input under which it may, or may not, stay the same."""

    INCREASING_KEYS = "a strictly increasing map of the keys' pair figures"
    INCREASING_VALUES = "a strictly increasing map of the values' pair figures"
    INCREASING_ATTENTION = "a strictly increasing map of each query head's attention"
    ROTATED_KEYS = "a rotation of the keys, another for every head"
    ROTATED_VALUES = "a rotation of the values, another for every head"
    SHIFTED_KEYS = "a vector added to all keys of a head"
    SHIFTED_VALUES = "a vector added to all values of a head"
    SCALED_KEYS = "a positive factor on a head's keys"
    SCALED_VALUES = "a positive factor on a head's values"
    MAPPED_KEYS = "an invertible linear map of the keys"
    MAPPED_VALUES = "an invertible linear map of the values"
    ROTATED_INPUT = "a rotation of what W_K and W_V read, the same for both"
    REORDERED = "another order of pairs or occurrences, the same for keys and values"
    REORDERED_QUERY_HEADS = "another order of the query heads of a group"
    EXCHANGED_WORDS = "the left and the right word of every pair exchanged"
    SWAPPED = "keys in the place of values and values in the place of keys"


class Takes(Enum):
    """What a measure is called with, and which transformations that admits.

    The heads are in front. Pair figures are [*head, pair]. Coordinates are keys, values
    [*head, occurrence, d]; for HELD_OUT come ``words`` (the number of each occurrence's word) and
    ``seed``; for WORDS a row is a word. NEIGHBOURHOODS are what `find_neighbours` makes of them.
    WEIGHTS are [*head, d, d_input]. ATTENTION is s_K [*head, pair] and the attention to the left
    and to the right word, [*head, query_head, pair] each.
    """

    PAIR_SIMILARITIES = "s_K and s_V"
    PAIR_DISTANCES = "d_K and d_V"
    COORDINATES = "keys and values as coordinates in a space"
    HELD_OUT = "keys and values as coordinates, and which word each is of"
    WORDS = "keys and values as coordinates, one row per word"
    NEIGHBOURHOODS = "the nearest words of every word, by its keys and by its values"
    WEIGHTS = "W_K and W_V"
    ATTENTION = "s_K and the attention to both words"

    @property
    def admits(self) -> frozenset[Transformation]:
        """The transformations that can be made of this input."""
        t = Transformation
        of_pairs = {t.INCREASING_KEYS, t.INCREASING_VALUES, t.REORDERED, t.SWAPPED}
        of_vectors = {
            t.ROTATED_KEYS,
            t.ROTATED_VALUES,
            t.SCALED_KEYS,
            t.SCALED_VALUES,
            t.MAPPED_KEYS,
            t.MAPPED_VALUES,
            t.SWAPPED,
        }
        if self.of_pairs:
            return frozenset(of_pairs)
        if self is Takes.WEIGHTS:
            return frozenset(of_vectors | {t.ROTATED_INPUT})
        if self is Takes.ATTENTION:
            return frozenset(
                {
                    t.INCREASING_KEYS,
                    t.INCREASING_ATTENTION,
                    t.REORDERED,
                    t.REORDERED_QUERY_HEADS,
                    t.EXCHANGED_WORDS,
                }
            )
        return frozenset(of_vectors | {t.SHIFTED_KEYS, t.SHIFTED_VALUES, t.REORDERED})

    @property
    def of_pairs(self) -> bool:
        """Whether it takes a figure of keys and a figure of values for every pair of words."""
        return self in (Takes.PAIR_SIMILARITIES, Takes.PAIR_DISTANCES)


RIGID = frozenset(
    {
        Transformation.ROTATED_KEYS,
        Transformation.ROTATED_VALUES,
        Transformation.SHIFTED_KEYS,
        Transformation.SHIFTED_VALUES,
        Transformation.SCALED_KEYS,
        Transformation.SCALED_VALUES,
        Transformation.REORDERED,
    }
)
"""What leaves every distance in its proportion to the others."""


@dataclass(frozen=True)
class Sizes:
    """How large a measure's input is: what its value by chance may depend on.

    ``count`` occurrences or pairs; ``d_input``, the width of what W_K and W_V read.
    """

    count: int
    d_key: int
    d_value: int
    d_input: int = 0


def always(value: float) -> Callable[[Sizes], float]:
    """Make the chance value of a measure for which it is the same for all sizes."""
    return lambda _: value


@dataclass(frozen=True)
class Dealt:
    """A measure of pairs split in two, for words whose values are given at random to the keys.

    Attributes
    ----------
    prepare
        Takes one head's key figures ``[pair]`` and returns the function of the shuffled values,
        which gives the measure of every sample: what the keys alone decide is done once.
    levels
        Whether the values' distances come as `distance_levels`, which are ranked faster.
    """

    prepare: Callable[[Tensor], Callable[[DealtPairs], Tensor]]
    levels: bool = False


@dataclass(frozen=True)
class Measure:
    """A measure and what it promises. `tests/similarity/test_contract.py` checks every promise.

    Attributes
    ----------
    name
        As in result tables.
    label, symbol
        In plain words, and short for the headings of tables.
    unit
        What a value is counted in: "of what chance gives", "share of the variance".
    direction
        1 where more means that keys and values are more alike, -1 less alike, 0 neither.
    heading, meaning
        What it measures, in a sentence or two for a reader, and under which heading that is;
        measures of one heading are explained once.
    function
        Takes what `takes` names and returns the value of every head; all else has the value that
        `name` says, or its default.
    takes
        What it is called with.
    unchanged_by
        The transformations that leave it as it is; every other one that its input admits changes
        it.
    identical
        Its value when values are the keys (for ATTENTION, when the attention to both words orders
        the pairs as s_K does); None where that depends on the data.
    independent
        Its value by chance, in expectation, when keys and values know nothing about each other;
        None where it has none.
    source
        Paper, or where its definition is.
    axes
        What it returns for a head: nothing more than a number unless axes are named.
    pair_weights
        Whether it takes ``weights`` [resample, pair], and so can be resampled.
    ranked
        The same from ranks that all heads and measures share: takes the keys and the values of one
        head each and gives its value in every resample. Without it, ``weights`` are used.
    dealt
        The same for shuffled values, where that is faster than calling `function`.
    interval
        The ends of its interval from an estimate and the number of pairs, where the usual one says
        too little.
    beside_nulls
        Whether the question ``nulls`` asks it, if it is a number that two sides (`Side`) give.
    enough
        Whether an input of these sizes can distinguish it from chance; otherwise it is left out.
    """

    name: str
    label: str
    symbol: str
    unit: str
    direction: Literal[-1, 0, 1]
    heading: str
    meaning: str
    function: Callable[..., Tensor]
    takes: Takes
    unchanged_by: frozenset[Transformation]
    identical: float | None
    independent: Callable[[Sizes], float] | None
    source: str
    axes: tuple[str, ...] = ()
    pair_weights: bool = False
    ranked: Callable[[RankedPairs, RankedPairs], Tensor] | None = None
    dealt: Dealt | None = None
    interval: Callable[[Estimate, int], tuple[Tensor, Tensor]] | None = None
    possible: tuple[float, float] = (-math.inf, math.inf)
    beside_nulls: bool = True
    enough: Callable[[Sizes], bool] = lambda _: True

    @property
    def of_pairs(self) -> bool:
        """Whether it is a number of pairs that can be resampled, as `divergence` does."""
        return self.takes.of_pairs and self.pair_weights and not self.axes

    @property
    def of_sides(self) -> bool:
        """Whether the question ``nulls`` measures it on two sides (`Side`)."""
        others = (Takes.WEIGHTS, Takes.ATTENTION)
        return self.beside_nulls and not self.axes and self.takes not in others

    def find_interval(self, estimate: Estimate, n_pairs: int) -> tuple[Tensor, Tensor]:
        """Return the ends of the 95 % interval of every value; none leaves the possible range."""
        found = estimate.interval() if self.interval is None else self.interval(estimate, n_pairs)
        return found[0].clamp(*self.possible), found[1].clamp(*self.possible)
