"""A figure of every head beside its null: everything a table says about the two."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.multiple import benjamini_hochberg, max_t
from probes.stats.permutation import ROUNDING, Alternative, permutation_p


@dataclass(frozen=True)
class NullComparison:
    """What :func:`compare_with_null` found; all float64, in the shape of the heads.

    Attributes
    ----------
    value
        The figure as observed.
    null_mean, null_sd
        Mean and standard deviation of the null samples; the latter NaN for one sample.
    effect
        (value - null_mean) / null_sd; NaN where the null has no spread to measure by: one null
        sample, or samples that are all equal.
    p
        Permutation p-value, uncorrected. Of a null whose samples are all equal it is 1 if the
        figure is equal to them too, else NaN: such a null cannot say how far is far.
    p_bh
        Benjamini-Hochberg adjusted, over the heads that have a p: calling all heads below q
        different keeps the expected share of false calls at q.
    p_max_t
        Max-T adjusted: the chance that *any* head of the family looks so extreme under the null.
        NaN where the null has no spread.
    """

    value: Float[Tensor, "*head"]
    null_mean: Float[Tensor, "*head"]
    null_sd: Float[Tensor, "*head"]
    effect: Float[Tensor, "*head"]
    p: Float[Tensor, "*head"]
    p_bh: Float[Tensor, "*head"]
    p_max_t: Float[Tensor, "*head"]

    def columns(self) -> dict[str, Float[Tensor, " head"]]:
        """Flatten every figure: the columns of a tidy table with a row per head."""
        return {field.name: getattr(self, field.name).reshape(-1) for field in fields(self)}


def compare_with_null(
    observed: Float[Tensor, "*head"],
    null_samples: Float[Tensor, "sample *head"],
    *,
    alternative: Alternative = "two-sided",
) -> NullComparison:
    """Compare the figure of every head with its null samples; all heads are one family.

    Parameters
    ----------
    observed
        One figure per head, any axes.
    null_samples
        The figures under the null. One row must be one draw of the null for *all* heads (the same
        permutation of the words), or max-T cannot use how heads depend on each other.
    alternative
        "greater", "less" or "two-sided": on which side a figure counts as extreme.

    Returns
    -------
    NullComparison
        `p_max_t` is never below `p`, and `p_bh` only by rounding. Unchanged, except for value, mean
        and spread, by ``a x + b`` with a > 0.

    Raises
    ------
    UsageError
        For an unknown alternative, no samples, or shapes that disagree.
    NonFiniteError
        If anything is NaN or infinite.

    Notes
    -----
    Sources: Phipson & Smyth 2010 (p), Benjamini & Hochberg 1995, Westfall & Young 1993 (max-T). For
    max-T every figure is standardised by the mean and spread of the null samples *and* the observed
    figure together, so that the observation is treated as any other arrangement and the level stays
    exact for few samples too.
    """
    p = permutation_p(observed, null_samples, alternative=alternative)
    mean, sd = _find_moments(null_samples)
    p = torch.where((sd == 0) & (p < 1), torch.nan, p)
    p_bh = torch.full_like(p, torch.nan)
    p_bh[~p.isnan()] = benjamini_hochberg(p[~p.isnan()])
    return NullComparison(
        value=observed.double(),
        null_mean=mean,
        null_sd=sd,
        effect=torch.where(sd > 0, (observed.double() - mean) / sd, torch.nan),
        p=p,
        p_bh=p_bh,
        p_max_t=_adjust_by_max_t(observed, null_samples, p, sd, alternative),
    )


def _find_moments(null_samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (n - 1) of the null samples, float64.

    The deviation is NaN for one sample, and exactly 0 where the samples differ by rounding only.
    """
    samples = null_samples.double()
    mean = samples.mean(dim=0)
    if samples.shape[0] < 2:
        return mean, torch.full_like(mean, torch.nan)
    sd = samples.std(dim=0)
    return mean, torch.where(sd > ROUNDING * samples.abs().amax(dim=0), sd, 0.0)


def _adjust_by_max_t(
    observed: Tensor, null_samples: Tensor, p: Tensor, sd: Tensor, alternative: Alternative
) -> Tensor:
    """Standardise and adjust the heads whose null has spread; the others are NaN."""
    usable = (sd > 0).reshape(-1)
    adjusted = torch.full_like(p, torch.nan).reshape(-1)
    if bool(usable.any()):
        together = torch.cat([observed[None], null_samples]).double().flatten(1)[:, usable]
        standardised = (together - together.mean(0)) / together.std(0)
        found = max_t(standardised[0], standardised[1:], alternative=alternative)
        # Twice a one-sided p of a skewed null can be above max-T's, which compares sizes.
        adjusted[usable] = torch.maximum(found, p.reshape(-1)[usable])
    return adjusted.reshape(p.shape)
