"""Trained heads against null heads, with the layer as the unit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from probes.stats.multiple import benjamini_hochberg

FLIPS = 10_000


def compare_over_layers(figures: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Compare each measure's mean over the heads of a layer with that of every null's heads.

    The layers are paired: a difference a layer, and under the null its sign is as likely to be the
    other (a sign-flip test of their mean, two-sided). Layers of one model are not independent, so p
    says how regular the difference is over the layers, not how it would be in another model.

    Parameters
    ----------
    figures
        ``layer, measure, null, value``, one row a head; ``null`` is ``trained`` for trained heads.
    seed
        Of the sign flips.

    Returns
    -------
    ``measure, null, value`` (trained), ``null_mean, null_sd`` (over the null's layer means),
    ``difference, effect`` (mean difference over its standard deviation between layers), ``p, p_bh``
    (over all measures of a null), ``samples`` (layers).
    """
    means = figures.pivot_table("value", ["measure", "null"], "layer", sort=False)
    random = np.random.default_rng(seed)
    signs = random.choice([-1.0, 1.0], size=(FLIPS, means.shape[1]))
    rows = []
    for measure in means.index.get_level_values("measure").unique():
        trained = means.loc[(measure, "trained")]
        for null, of_null in means.loc[measure].drop("trained").iterrows():
            gaps = (trained - of_null).dropna().to_numpy()
            rows.append(
                {
                    "measure": measure,
                    "null": null,
                    "value": float(trained.mean()),
                    "null_mean": float(of_null.mean()),
                    "null_sd": float(of_null.std()),
                    "difference": float(gaps.mean()),
                    "effect": _standardise(gaps),
                    "p": _flip_signs(gaps, signs[:, : len(gaps)]),
                    "samples": len(gaps),
                }
            )
    table = pd.DataFrame(rows)
    table["p_bh"] = np.nan
    for _, index in table.groupby("null").groups.items():
        table.loc[index, "p_bh"] = _adjust(table.loc[index, "p"].to_numpy())
    return table


def _standardise(gaps: np.ndarray) -> float:
    spread = gaps.std(ddof=1) if len(gaps) > 1 else 0.0
    return float(gaps.mean() / spread) if spread > 0 else float("nan")


def _flip_signs(gaps: np.ndarray, signs: np.ndarray) -> float:
    """Two-sided p of the mean under random signs, the observed arrangement counted in."""
    observed = abs(gaps.mean()) * (1 - 1e-12)
    flipped = np.abs(signs @ gaps) / len(gaps)
    return float((1 + (flipped >= observed).sum()) / (1 + len(signs)))


def _adjust(p: np.ndarray) -> np.ndarray:
    import torch

    adjusted: np.ndarray = benjamini_hochberg(torch.tensor(p)).numpy()
    return adjusted
