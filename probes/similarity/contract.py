"""What every measure declares about itself, so that one test can hold it to its word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from torch import Tensor


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

    The heads are in front. Pair figures are [*head, pair]. COORDINATES are keys, values [*head,
    occurrence, d] and the word of each occurrence; a word occurs once, or is several words to the
    measures that compare words. WEIGHTS are [*head, d, d_input]. ATTENTION is s_K [*head, pair] and
    the attention to the left and to the right word, [*head, query_head, pair] each.
    """

    PAIR_SIMILARITIES = "s_K and s_V"
    PAIR_DISTANCES = "d_K and d_V"
    COORDINATES = "keys and values as coordinates in a space"
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
        return frozenset(
            {
                Takes.PAIR_SIMILARITIES: of_pairs,
                Takes.PAIR_DISTANCES: of_pairs,
                Takes.COORDINATES: of_vectors | {t.SHIFTED_KEYS, t.SHIFTED_VALUES, t.REORDERED},
                Takes.WEIGHTS: of_vectors | {t.ROTATED_INPUT},
                Takes.ATTENTION: {
                    t.INCREASING_KEYS,
                    t.INCREASING_ATTENTION,
                    t.REORDERED,
                    t.REORDERED_QUERY_HEADS,
                    t.EXCHANGED_WORDS,
                },
            }[self]
        )


@dataclass(frozen=True)
class Sizes:
    """How large a measure's input is: what its value by chance may depend on.

    ``count`` occurrences or pairs; ``d_input``, the width of what W_K and W_V read.
    """

    count: int
    d_key: int
    d_value: int
    d_input: int


@dataclass(frozen=True)
class MeasureContract:
    """A measure and what it promises. `tests/similarity/test_contract.py` checks every promise.

    Attributes
    ----------
    name
        As in result tables.
    function
        Takes the tensors that `takes` names, heads in front, and returns the figure of every head;
        all else has the value that `name` says, or its default.
    takes
        What it is called with.
    unchanged_by
        The transformations that leave it as it is; every other one that its input admits changes
        it.
    identical
        Its value when values are the keys (for ATTENTION, when the attention to both words orders
        the pairs as s_K does); None where that depends on the data.
    independent
        Its value by chance, in expectation, when keys and values know nothing of each other; None
        where it has none.
    source
        Paper or section.
    axes
        What it returns for a head: nothing more than a number unless axes are named.
    pair_weights
        Whether it takes ``weights`` [resample, pair], so that `PairBootstrap.estimate` can resample
        it.
    """

    name: str
    function: Callable[..., Tensor]
    takes: Takes
    unchanged_by: frozenset[Transformation]
    identical: float | None
    independent: Callable[[Sizes], float] | None
    source: str
    axes: tuple[str, ...] = ()
    pair_weights: bool = False
