"""The weights alone: whether W_K and W_V of a head read the same directions of the input.

``compute`` needs the model and no text, ``draw`` the tables alone. `kvprobes capture` and `run`
write its tables, since they have the model at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from analyses.shared.numbers import show
from analyses.shared.section import Section, Shown, ShownTable, show_number
from analyses.shared.tables import select
from probes.similarity.angles import principal_angles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.models.model import Model

NAME = "weights"


def compute(model: Model) -> dict[str, pd.DataFrame]:
    """Measure the principal angles between the row spaces of W_K and W_V in every kv head.

    Returns
    -------
    ``heads``
        ``model, site, layer, kv_head, value`` (mean squared cosine), ``mismatched_mean`` (W_K with
        W_V of the layer's other heads; NaN where there is none), ``chance, chance_sd`` (random
        subspaces), ``effect`` (standard deviations above chance).
    """
    tables = []
    for site, geometry in model.sites.items():
        for layer in range(geometry.n_layers):
            W_K, W_V = geometry.key_weights(layer), geometry.value_weights(layer)
            own = principal_angles(W_K, W_V)
            others = [
                principal_angles(W_K, W_V.roll(shift, dims=0)).mean_squared_cosine
                for shift in range(1, len(W_V))
            ]
            other = torch.stack(others).mean(0) if others else torch.full((len(W_K),), torch.nan)
            tables.append(
                pd.DataFrame(
                    {
                        "site": site,
                        "layer": layer,
                        "kv_head": np.arange(len(W_K)),
                        "value": own.mean_squared_cosine.cpu(),
                        "mismatched_mean": other.cpu(),
                        "chance": own.chance.cpu(),
                        "chance_sd": own.chance_sd.cpu(),
                        "effect": own.standardised.cpu(),
                    }
                )
            )
    heads = pd.concat(tables, ignore_index=True)
    heads.insert(0, "model", model.name)
    return {"heads": heads}


def describe_inputs(model: Model) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {"weights": model.weights_hash, "config": model.origin.get("config_hash")}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe how much the row spaces overlap, beside other heads and chance."""
    heads = tables["heads"]
    rows, answer = [], []
    for site in heads["site"].unique():
        own = select(heads, site=str(site))
        numbers = own[["value", "mismatched_mean", "chance", "effect"]].mean()
        beyond = int((own["effect"] > 3).sum())
        cells = [show_number(float(numbers[name]), decimals=3) for name in numbers.index[:3]]
        effect = show_number(float(numbers["effect"]), decimals=1)
        rows.append((str(site), *cells, effect, Shown(f"{beyond} of {len(own)}")))
        answer.append(_answer(str(site), own, beyond))
    return Section(
        anchor="weights",
        title="The weights alone: do W_K and W_V read the same directions?",
        explanation=(
            "Mean squared cosine of the principal angles between the row spaces of W_K and W_V: 1 "
            "if both read the same directions of the input, d_head / d_input if they were random "
            "subspaces. Mismatched: W_V of another head of the layer. No text is involved.",
        ),
        answer=tuple(answer),
        captions={
            "angles": (
                "Overlap of the directions that W_K and W_V read, by layer: a dot a kv head, "
                "line their mean; dashed: W_V of another head of the layer; dotted: random "
                "subspaces.",
                "Dots by layer of the mean squared cosine between the row spaces of key and value "
                "weights, with lines for mismatched heads and for chance.",
            )
        },
        tables=(
            ShownTable(
                "Mean squared cosine, means over heads.",
                "Effect: standard deviations above random subspaces. The last column counts the "
                "heads more than 3 above.",
                ("site", "own head", "mismatched", "random", "effect", "clearly above random"),
                tuple(rows),
            ),
        ),
    )


def _answer(site: str, own: pd.DataFrame, beyond: int) -> str:
    value, chance = float(own["value"].mean()), float(own["chance"].mean())
    other = float(own["mismatched_mean"].mean())
    text = (
        f"At the {site} site W_K and W_V of a head share {show(value, 3)} of their directions, "
        f"where random subspaces would {show(chance, 3)} ({beyond} of {len(own)} heads are more "
        "than 3 standard deviations above that)"
    )
    if np.isnan(other):
        return f"{text}; a layer has one kv head, so no other head stands beside it."
    gaps = own.groupby("layer")[["value", "mismatched_mean"]].mean()
    more = int((gaps["value"] > gaps["mismatched_mean"]).sum())
    return (
        f"{text}, and with W_V of another head {show(other, 3)}: own heads share more in {more} of "
        f"{len(gaps)} layers."
    )


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the overlap by layer, from the tables alone."""
    from analyses.weights.figures import draw_angles

    return {"angles": draw_angles(tables["heads"])}
