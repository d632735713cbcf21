"""The weights alone: whether W_K and W_V of a head read the same directions of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from analyses.shared.given import Given
from probes.similarity.angles import principal_angles

if TYPE_CHECKING:
    from analyses.weights import WeightsSettings


def compute(given: Given, settings: WeightsSettings) -> dict[str, pd.DataFrame]:
    """Measure the principal angles between the row spaces of W_K and W_V in every kv head.

    Parameters
    ----------
    given
        A model; no text is read.

    Returns
    -------
    ``heads``
        ``model, site, layer, kv_head, value`` (mean squared cosine), ``mismatched_heads_mean`` (W_K
        with W_V of the layer's other heads; NaN where there is none), ``chance, chance_sd`` (random
        subspaces), ``effect`` (standard deviations above chance).
    """
    tables = []
    for site, geometry in given.model.sites.items():
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
                        "mismatched_heads_mean": other.cpu(),
                        "chance": own.chance.cpu(),
                        "chance_sd": own.chance_sd.cpu(),
                        "effect": own.standardised.cpu(),
                    }
                )
            )
    heads = pd.concat(tables, ignore_index=True)
    heads.insert(0, "model", given.model.name)
    return {"heads": heads}
