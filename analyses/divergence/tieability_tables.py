"""Tables of tieability, its excess over the nulls, and the dimension of the coordinates."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from analyses.divergence.tables import head_table
from probes.similarity.conditions import Measurements
from probes.similarity.tieability import resampled_r2
from probes.stats.bootstrap import interval, resample_words


def tabulate_tieability(
    measured: Measurements, *, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate tieability and its excess over each null, per head and on average.

    Intervals resample the held-out words, not the fits.
    """
    n_words = len(measured.tied["trained"][0].words)
    counts = resample_words(n_words, resamples=resamples, seed=seed)
    values, samples = {}, {}
    for condition, results in measured.tied.items():
        values[condition] = torch.stack([result.r2 for result in results])
        samples[condition] = torch.stack([resampled_r2(r, counts) for r in results], dim=1)
    place = {"population": "occurrences", "space": "functional", "measure": "tieability"}
    heads = [head_table(place, values, interval(samples["trained"]))]
    means = [
        {**place, "condition": condition} | _summarise(values[condition], samples[condition])
        for condition in values
    ]
    for null in [condition for condition in values if condition != "trained"]:
        place = {**place, "measure": f"excess_tieability_vs_{null}"}
        excess = _excess(values["trained"], values[null])
        resampled = _excess(samples["trained"], samples[null])
        heads.append(head_table(place, {"trained": excess}, interval(resampled)))
        means.append({**place, "condition": "trained"} | _summarise(excess, resampled))
    return pd.concat(heads, ignore_index=True), pd.DataFrame(means)


def _excess(trained: Tensor, null: Tensor) -> Tensor:
    """E = (R^2 - R^2_null) / (1 - R^2_null), with the null's mean over the heads of the layer."""
    baseline = null.mean(-1, keepdim=True)
    return (trained - baseline) / (1 - baseline)


def _summarise(values: Tensor, samples: Tensor) -> dict[str, float]:
    """Mean over heads and its interval."""
    low, high = interval(samples.mean((1, 2)))
    return {"value": float(values.mean()), "ci_low": float(low), "ci_high": float(high)}


def tabulate_dimensions(measured: Measurements) -> pd.DataFrame:
    """Tabulate in how many directions keys and values spread, and how much of them is shared."""
    rows = [
        {
            "population": "occurrences",
            "space": space,
            "measure": f"{kind}_dimension",
            "condition": condition,
            "value": float(dimension.mean()),
        }
        for (space, condition, kind), dimension in measured.dimension.items()
    ]
    rows += [
        {
            "population": "occurrences",
            "space": "raw",
            "measure": f"{kind}_common_share",
            "condition": condition,
            "value": float(share.mean()),
        }
        for (condition, kind), share in measured.common.items()
    ]
    return pd.DataFrame(rows)
