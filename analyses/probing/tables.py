"""Tables of the probes: every head, differences between keys and values, means, learning curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from analyses.shared.significance import tabulate_samples
from analyses.shared.tables import number_heads
from probes.linear.measure import Design, HeadMeasurements
from probes.linear.resampled import WordScore, compare_scores
from probes.stats.bootstrap import interval

Measured = Sequence[dict[str, list[HeadMeasurements]]]
KEYS, VALUES, SLICE = "keys", "values", "random_slice"
GAP = f"{VALUES} - {KEYS}"
UNTRAINED = (f"untrained {KEYS}", f"untrained {VALUES}")
COMPARISONS = (
    *((VALUES, KEYS), (KEYS, SLICE), (VALUES, SLICE)),
    *zip((KEYS, VALUES), UNTRAINED, strict=True),
)
FLIPS = 999


def tabulate_heads(
    designs: Sequence[Design], measured: Measured, weights: Sequence[Tensor]
) -> pd.DataFrame:
    """Tabulate every property, kind of input, layer and kv head."""
    parts = []
    for design, found, resamples in zip(designs, measured, weights, strict=True):
        for part, layers in found.items():
            score = _stack_scores(layers)
            low, high = interval(score.resample(resamples))
            parts.append(
                number_heads(*score.observed.shape).assign(
                    property=design.wanted.name,
                    score=_name_score(design),
                    part=part,
                    value=_flat(score.observed),
                    ci_low=_flat(low),
                    ci_high=_flat(high),
                    **{name: _flat(value) for name, value in _beside(layers).items()},
                )
            )
    table = pd.concat(parts, ignore_index=True)
    first = ["property", "score", "part", "layer", "kv_head", "value", "ci_low", "ci_high"]
    return table[[*first, *(column for column in table if column not in first)]]


def tabulate_differences(
    designs: Sequence[Design], measured: Measured, weights: Sequence[Tensor], *, seed: int
) -> pd.DataFrame:
    """Tabulate paired differences of every head, with p-values corrected over all heads."""
    parts = []
    for design, found, resamples in zip(designs, measured, weights, strict=True):
        scores = {part: _stack_scores(layers) for part, layers in found.items()}
        for one, other in _compared(scores):
            a, b = scores[one], scores[other]
            low, high = interval(a.resample(resamples) - b.resample(resamples))
            refits = _stack_refits(found[one]) - _stack_refits(found[other])
            tested = compare_scores(a, b, samples=FLIPS, seed=seed)
            # Pairs that share a word cannot be exchanged one by one: intervals only.
            known = np.nan if design.wanted.of_pairs else 1.0
            parts.append(
                number_heads(*a.observed.shape).assign(
                    property=design.wanted.name,
                    score=_name_score(design),
                    part=f"{one} - {other}",
                    value=_flat(a.observed - b.observed),
                    ci_low=_flat(low),
                    ci_high=_flat(high),
                    p=known * _flat(tested.p),
                    p_bh=known * _flat(tested.p_bh),
                    p_max_t=known * _flat(tested.p_max_t),
                    refit_sd=_flat(_spread(refits)),
                )
            )
    first = ["property", "score", "part"]
    table = pd.concat(parts, ignore_index=True)
    return table[[*first, *(column for column in table if column not in first)]]


def tabulate_summary(
    designs: Sequence[Design],
    measured: Measured,
    whole: Sequence[dict[int, HeadMeasurements]],
    weights: Sequence[Tensor],
) -> pd.DataFrame:
    """Tabulate means over all heads, their differences, and the whole input at a few layers."""
    rows: list[dict[str, Any]] = []
    for design, found, inputs, resamples in zip(designs, measured, whole, weights, strict=True):
        place = {"property": design.wanted.name, "score": _name_score(design)}
        observed, samples, refits = {}, {}, {}
        for part, layers in found.items():
            score = _stack_scores(layers)
            observed[part] = score.observed
            samples[part] = score.resample(resamples).mean((1, 2))
            beside = {n: float(v.mean()) for n, v in _beside(layers).items()}
            # The spread of the mean over heads, not the mean of the heads' spreads.
            refits[part] = _stack_refits(layers).mean((1, 2))
            beside["refit_sd"] = float(_spread(refits[part]))
            best = float(score.observed.max())
            rows.append(
                {**place, "part": part, "layer": -1}
                | tabulate_samples(score.observed.mean(), samples[part])
                | beside
                | {"best_head": best}
            )
        for one, other in _compared(observed):
            gap = observed[one] - observed[other]
            rows.append(
                {**place, "part": f"{one} - {other}", "layer": -1}
                | tabulate_samples(gap.mean(), samples[one] - samples[other])
                | {"refit_sd": float(_spread(refits[one] - refits[other]))}
            )
        for layer, measurement in inputs.items():
            score = measurement.probing.score
            rows.append(
                {**place, "part": "embedding" if layer == 0 else "x", "layer": layer}
                | tabulate_samples(score.observed.mean(), score.resample(resamples).mean(1))
                | {n: float(v.mean()) for n, v in _beside([measurement]).items() if n != "refit_sd"}
            )
    return pd.DataFrame(rows)


def tabulate_learning(designs: Sequence[Design], measured: Measured) -> pd.DataFrame:
    """Tabulate accuracy and bits per label on the words that come next; means over heads."""
    rows = []
    for design, found in zip(designs, measured, strict=True):
        for part, layers in found.items():
            codes = [layer.code for layer in layers if layer.code is not None]
            if not codes:
                continue
            accuracy = torch.stack([code.accuracy[:, 0] for code in codes]).mean((0, 1))
            bits = torch.stack([code.block_bits[:, 0] for code in codes]).mean((0, 1))
            for block, count in enumerate(codes[0].trained_on.tolist()):
                rows.append(
                    {
                        "property": design.wanted.name,
                        "part": part,
                        "trained_on": count,
                        "accuracy": float(accuracy[block]),
                        "bits": float(bits[block]),
                    }
                )
    columns = ["property", "part", "trained_on", "accuracy", "bits"]
    return pd.DataFrame(rows, columns=columns)


def tabulate_properties(designs: Sequence[Design], left_out: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate what was probed for, and what was not, with the reason."""
    rows: list[dict[str, Any]] = []
    for design in designs:
        wanted = design.wanted
        rows.append(
            {
                "property": wanted.name,
                "score": _name_score(design),
                "classes": ", ".join(wanted.classes) if len(wanted.classes) < 20 else "",
                "n_classes": len(wanted.classes),
                "n_units": int(wanted.units.max()) + 1,
                "n_rows": len(wanted.labels),
                "n_tested": int(design.splits[0].tested().sum()),
                "folds": design.splits[0].n_folds,
                "split_by": wanted.split_by,
                "left_out": "",
            }
        )
    rows += [{"property": name, "left_out": reason} for name, reason in left_out.items()]
    return pd.DataFrame(rows)


def _beside(layers: Sequence[HeadMeasurements]) -> dict[str, Tensor]:
    """Return what is beside the score, each [layer, head]."""
    probings = [layer.probing for layer in layers]
    score = torch.stack([probing.score.observed for probing in probings])
    control = torch.stack([probing.control for probing in probings])
    missing = torch.full_like(score, torch.nan)
    codes = [layer.code for layer in layers if layer.code is not None]
    balanced = [p.balanced.observed for p in probings if p.balanced is not None]
    return {
        "balanced": torch.stack(balanced) if balanced else missing,
        "majority": torch.stack([p.majority.observed.expand(score.shape[1]) for p in probings]),
        "control": control,
        "selectivity": score - control,
        "bits": torch.stack([code.bits[:, 0] for code in codes]) if codes else missing,
        "compression": torch.stack([code.compression[:, 0] for code in codes])
        if codes
        else missing,
        "refit_sd": _spread(_stack_refits(layers)),
    }


def _compared(parts: Collection[str]) -> list[tuple[str, str]]:
    """List the comparisons of what has been probed."""
    return [pair for pair in COMPARISONS if set(pair) <= set(parts)]


def _stack_refits(layers: Sequence[HeadMeasurements]) -> Tensor:
    """Return the scores with other folds, [refit, layer, head]; the same folds for every input."""
    return torch.stack([layer.refits for layer in layers], 1)


def _spread(refits: Tensor) -> Tensor:
    """Return the standard deviation over refits, NaN where there is but one."""
    return refits.std(0) if len(refits) > 1 else torch.full_like(refits[0], torch.nan)


def _stack_scores(layers: Sequence[HeadMeasurements]) -> WordScore:
    return WordScore.stack([layer.probing.score for layer in layers])


def _name_score(design: Design) -> str:
    return "r2" if design.wanted.is_number else "accuracy"


def _flat(values: Tensor) -> NDArray[Any]:
    return values.double().flatten().numpy()
