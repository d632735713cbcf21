"""Intervals for ratios of sums whose units depend on each other: words, topics of words, documents.

A figure is a ratio of sums over units (events, pairs of words, documents), or made of such ratios.
What counts is how it changes when a unit counts a little more, the unit's *influence*; a figure's
variance is the sum of products of influences over all pairs of units that depend on each other:

    V = sum over clusters (sum of influences in it)^2 - sum over pairs of clusters (the same)^2

where a unit belongs to one cluster (a document) or two (the two words of a pair, their two topics);
the second sum takes off what units with the same two clusters would count twice. For words this is
the dyadic-robust variance of Fafchamps & Gubert 2007 and Aronow, Samii & Assenova 2015, the limit
of the resamples of :mod:`probes.stats.bootstrap`; here it costs no resampling, and topics, within
which words depend on each other, are a second, wider level: the largest variance counts. A
cluster's sum is divided by one minus its share of the denominator, as a jackknife does (MacKinnon,
Nielsen & Webb 2023, "Leverage, influence, and the jackknife in clustered regression models"), and
quantiles are those of t with the degrees of freedom that the clusters' weights leave
(:mod:`probes.stats.degrees`). Coverage on the real graph of pairs, with topics, hubs and selected
pairs: benchmarks/coverage.py and docs/inference.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from probes.errors import UsageError
from probes.stats.checks import hold_inside, require_fraction, require_same_shape
from probes.stats.degrees import count_degrees, count_degrees_of_documents

_SLACK = 0.25
"""A wider level can only add to a variance, but its few clusters estimate it badly. Never to
take less would keep all errors upwards, and intervals would hold the truth too often."""

_WHOLE = 1 - 1e-6  # a cluster with this share of all says nothing about others


@dataclass(frozen=True)
class RatioEstimate:
    """A figure with the influence of each unit on it, float64.

    Attributes
    ----------
    observed
        The figure; NaN where its denominator is 0.
    influence
        By how much it changes when a unit counts more, per unit of weight. Sums to 0.
    share
        Each unit's share of the denominator.
    """

    observed: Float[Tensor, "*figure"]
    influence: Float[Tensor, "*figure unit"]
    share: Float[Tensor, "*figure unit"]

    @classmethod
    def of(
        cls, numerator: Float[Tensor, "*figure unit"], denominator: Float[Tensor, "*figure unit"]
    ) -> RatioEstimate:
        """Divide the sums over units.

        Raises
        ------
        UsageError
            If shapes disagree or a denominator is negative.
        """
        above, below = numerator.double(), denominator.double().expand_as(numerator)
        if bool((below < 0).any()):
            raise UsageError("A denominator is negative; give how much was chosen in each unit.")
        total = below.sum(-1, keepdim=True)
        observed = above.sum(-1, keepdim=True) / total
        return cls(observed[..., 0], (above - observed * below) / total, below / total)

    @classmethod
    def mean(cls, estimates: Sequence[RatioEstimate]) -> RatioEstimate:
        """Average figures over the same units, plain; those that are NaN are left out."""
        return cls.stack(estimates).over_last()

    @classmethod
    def stack(cls, estimates: Sequence[RatioEstimate]) -> RatioEstimate:
        """Put figures over the same units on a new last axis of figures.

        Raises
        ------
        UsageError
            If there is none.
        """
        if not estimates:
            raise UsageError("There are no figures to put together; give one or more.")
        return cls(
            torch.stack([one.observed for one in estimates], -1),
            torch.stack([one.influence for one in estimates], -2),
            torch.stack([one.share for one in estimates], -2),
        )

    def over_last(self, weight: Float[Tensor, " last"] | None = None) -> RatioEstimate:
        """Average over the last axis of figures (heads), plain or weighted.

        Figures that are NaN are left out.
        """
        known = self.observed.isfinite()
        used = known.double() if weight is None else known * weight.double()
        used = used / used.sum(-1, keepdim=True)
        return RatioEstimate(
            (self.observed.where(known, 0.0) * used).sum(-1),
            (self.influence.where(known[..., None], 0.0) * used[..., None]).sum(-2),
            (self.share.where(known[..., None], 0.0) * used[..., None]).sum(-2),
        )

    def __sub__(self, other: RatioEstimate) -> RatioEstimate:
        """Subtract a figure over the same units."""
        return RatioEstimate(
            self.observed - other.observed,
            self.influence - other.influence,
            (self.share + other.share) / 2,
        )

    def map(
        self, function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]
    ) -> RatioEstimate:
        """Derive another figure, given the function and its derivative."""
        return RatioEstimate(
            function(self.observed), self.influence * slope(self.observed)[..., None], self.share
        )

    def root(self) -> RatioEstimate:
        """Take the square root: of a mean square, the root mean square."""
        return self.map(torch.sqrt, lambda square: 0.5 / square.sqrt())

    def pick(self, *place: int | slice) -> RatioEstimate:
        """Take some figures, by their places along the axes of figures."""
        return RatioEstimate(self.observed[place], self.influence[place], self.share[place])


@dataclass(frozen=True)
class Level:
    """One way in which units depend on each other: each is in one cluster, or in two.

    Attributes
    ----------
    first, second
        The clusters of each unit, numbers from 0; the same one twice where there is only one.
    count
        How many clusters there are.
    """

    first: Int[Tensor, " unit"]
    second: Int[Tensor, " unit"]
    count: int

    @classmethod
    def of(cls, first: Int[Tensor, " unit"], second: Int[Tensor, " unit"]) -> Level:
        """Keep the clusters that occur, numbered again."""
        _, number = torch.unique(torch.cat([first, second]), return_inverse=True)
        left, right = number.chunk(2)
        return cls(left, right, int(number.max()) + 1)

    def add_up(self, parts: Float[Tensor, "*figure unit"]) -> Float[Tensor, "*figure cluster"]:
        """Add up units by cluster; a unit of two clusters is in both."""
        sums = parts.new_zeros(*parts.shape[:-1], self.count).index_add_(-1, self.first, parts)
        other = parts * (self.first != self.second)
        return sums.index_add_(-1, self.second, other)

    def add_up_cells(self, parts: Float[Tensor, "*figure unit"]) -> Float[Tensor, "*figure cell"]:
        """Add up units by the two clusters that they are in, in either order."""
        low = torch.minimum(self.first, self.second)
        code = low * self.count + torch.maximum(self.first, self.second)
        _, cell = torch.unique(code, return_inverse=True)
        count = int(cell.max()) + 1
        return parts.new_zeros(*parts.shape[:-1], count).index_add_(-1, cell, parts)

    def pair_up(self, parts: Float[Tensor, "*figure unit"]) -> Float[Tensor, "*figure cell"]:
        """Do the same for units of two clusters only."""
        return self.add_up_cells(parts * (self.first != self.second))


@dataclass(frozen=True)
class Clusters:
    """How the units of a figure depend on each other, from the narrowest level to the widest."""

    levels: tuple[Level, ...]

    @classmethod
    def of_documents(cls, count: int) -> Clusters:
        """Let every unit be a document of its own.

        Raises
        ------
        UsageError
            If there are fewer than two.
        """
        if count < 2:
            raise UsageError(f"An interval over documents needs at least 2; {count} came.")
        number = torch.arange(count)
        return cls((Level(number, number, count),))

    @classmethod
    def of_pairs(
        cls,
        left_word: Int[Tensor, " unit"],
        right_word: Int[Tensor, " unit"],
        *,
        topic: Int[Tensor, " word"] | None = None,
    ) -> Clusters:
        """Let pairs that share a word or, wider, a topic depend on each other.

        Parameters
        ----------
        left_word, right_word
            The two words of each unit, as numbers from 0.
        topic
            The topic of each word; words without one have one of their own.

        Raises
        ------
        UsageError
            If a pair is a word with itself, or the lists differ in length.
        """
        require_same_shape("left_word", left_word, "right_word", right_word)
        if bool((left_word == right_word).any()):
            raise UsageError("Some pairs are a word with itself; leave them out of the pairs.")
        levels = [Level.of(left_word, right_word)]
        if topic is not None:
            levels.append(Level.of(topic[left_word], topic[right_word]))
        return cls(tuple(levels))

    def variance(
        self, estimate: RatioEstimate
    ) -> tuple[Float[Tensor, "*figure"], Float[Tensor, "*figure"]]:
        """Return a figure's variance, and the degrees of freedom with which it is known.

        Infinite where all that counts is in one cluster, NaN where the figure is.
        """
        narrowest = self.levels[0]
        variance = narrowest.add_up_cells(estimate.influence).square().sum(-1)
        if torch.equal(narrowest.first, narrowest.second):
            degrees = count_degrees_of_documents(estimate.share, estimate.influence)
        else:
            degrees = count_degrees(narrowest.add_up_cells(estimate.share))
        for level in self.levels:
            share = level.add_up(estimate.share)
            rest = (1 - share).clamp(min=1 - _WHOLE)
            sums = level.add_up(estimate.influence) / rest
            wide = sums.square().sum(-1) - level.pair_up(estimate.influence).square().sum(-1)
            wide = wide.where(share.amax(-1) < _WHOLE, torch.inf)
            extra = ((wide - variance) / wide).nan_to_num(1.0).clamp(0, 1)
            if not torch.equal(level.first, level.second):
                degrees = 1 / (extra / count_degrees(share) + (1 - extra) / degrees)
            error = _find_error(level, estimate.influence, rest, variance)
            variance = torch.maximum(variance - _SLACK * error, wide)
        return variance.where(estimate.observed.isfinite(), torch.nan), degrees

    def standard_error(self, estimate: RatioEstimate) -> Float[Tensor, "*figure"]:
        """Return the standard deviation of a figure over other words, topics or documents."""
        return self.variance(estimate)[0].sqrt()

    def interval(
        self,
        estimate: RatioEstimate,
        *,
        low: float = -torch.inf,
        high: float = torch.inf,
        level: float = 0.95,
    ) -> tuple[Float[Tensor, "*figure"], Float[Tensor, "*figure"]]:
        """Return an interval that stays inside the possible range.

        It is symmetric on the scale log((x - low) / (high - x)), or log(x - low) where there is no
        upper end. A figure that is at an end of its range has no spread to go by: its interval
        reaches as far as a share of none among this many units could (the rule of three, made
        exact).

        Parameters
        ----------
        low, high
            The range of the figure.
        level
            Coverage, above 0 and below 1.

        Returns
        -------
        Lower and upper end, float64; the whole range where all is in one cluster, NaN where the
        figure is.

        Raises
        ------
        UsageError
            If `level` is outside (0, 1), or a figure outside its range.
        """
        require_fraction("level", level)
        x = hold_inside(estimate.observed, low, high)
        variance, degrees = self.variance(estimate)
        reach = _find_quantile((1 + level) / 2, degrees) * variance.sqrt()
        scale = _Scale(low, high)
        middle, reach = scale.forward(x), reach * scale.slope(x)
        ends = [scale.backward(middle - reach), scale.backward(middle + reach)]
        if low > -torch.inf:
            cells = self.levels[-1].add_up_cells(estimate.share)
            none = 1 - ((1 - level) / 2) ** cells.square().sum(-1)
            span = high - low if high < torch.inf else torch.inf
            ends = [end.where((x > low) & (x < high), x) for end in ends]
            ends[1] = torch.where(x == low, low + none * span, ends[1])
            ends[0] = torch.where(x == high, high - none * span, ends[0])
        whole = variance == torch.inf
        return ends[0].where(~whole, low), ends[1].where(~whole, high)

    def test(
        self,
        estimate: RatioEstimate,
        *,
        null: float = 0.0,
        low: float = -torch.inf,
        high: float = torch.inf,
    ) -> Float[Tensor, "*figure"]:
        """Return how far a figure is from `null`, in normal deviates; 0 where nothing is known.

        On the scale of `interval`, so that it leaves `null` outside just where the deviate is
        larger than 1.96. For p-values, and for `max_t` beside `draw`.

        Raises
        ------
        UsageError
            If a figure is outside its range.
        """
        variance, degrees = self.variance(estimate)
        scale = _Scale(low, high)
        x = hold_inside(estimate.observed, low, high)
        error = variance.sqrt() * scale.slope(x)
        mark = scale.forward(torch.tensor(null, dtype=torch.float64))
        t = ((scale.forward(x) - mark) / error).nan_to_num(0.0, 0.0, 0.0)
        lower = torch.from_numpy(student.cdf(-t.abs().numpy(), degrees.nan_to_num(1.0).numpy()))
        deviate: Tensor = -torch.special.ndtri(lower.clamp(min=1e-300)) * t.sign()
        return deviate

    def draw(
        self, estimate: RatioEstimate, *, resamples: int, seed: int
    ) -> Float[Tensor, "resample *figure"]:
        """Draw normal deviates that depend on each other as the figures do: a null for `max_t`.

        Each cluster of the widest level counts by a normal number, the same for all figures
        (a multiplier bootstrap: Chernozhukov, Chetverikov & Kato 2013).
        """
        sums = self.levels[-1].add_up(estimate.influence).nan_to_num(0.0)
        scaled = sums / sums.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(sums.dtype).tiny)
        generator = torch.Generator().manual_seed(seed)
        number = torch.randn(resamples, sums.shape[-1], generator=generator, dtype=sums.dtype)
        return torch.einsum("rc,...c->r...", number, scaled)


@dataclass(frozen=True)
class _Scale:
    """The scale on which an interval is symmetric."""

    low: float
    high: float

    def forward(self, x: Tensor) -> Tensor:
        if self.low == -torch.inf:
            return x
        return (x - self.low).log() - ((self.high - x).log() if self.high < torch.inf else 0.0)

    def slope(self, x: Tensor) -> Tensor:
        if self.low == -torch.inf:
            return torch.ones_like(x)
        upper = 1 / (self.high - x) if self.high < torch.inf else 0.0
        return 1 / (x - self.low) + upper

    def backward(self, y: Tensor) -> Tensor:
        if self.low == -torch.inf:
            return y
        if self.high == torch.inf:
            return self.low + y.exp()
        return self.low + (self.high - self.low) * y.sigmoid()


def _find_error(
    level: Level,
    influence: Float[Tensor, "*figure unit"],
    rest: Float[Tensor, "*figure cluster"],
    variance: Float[Tensor, "*figure"],
) -> Float[Tensor, "*figure"]:
    """Return the error of a level's variance where it adds nothing to the narrower one's."""
    square = influence.square()
    own = level.add_up(square) / rest.square()
    scale = variance / square.sum(-1)
    return ((2 * own.square().sum(-1)).sqrt() * scale).nan_to_num(0.0)


def _find_quantile(level: float, degrees: Float[Tensor, "*figure"]) -> Float[Tensor, "*figure"]:
    return torch.as_tensor(student.ppf(level, degrees.numpy()), dtype=torch.float64)
