"""Translation, where the founding question comes from: cross-attention beside self-attention.

The same measures at the three sites of an encoder-decoder: the encoder's self-attention and
cross-attention (keys and values of the same source words; queries from the head noun, and from the
step that translates the modifier), and the decoder's self-attention (the translated modifier).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.cross_attention.tables import BASE, keep_space, tabulate_differences
from analyses.divergence.compute import choose_measures, measure, tabulate
from analyses.divergence.compute import identify as identify_measures
from analyses.shared.given import Given

if TYPE_CHECKING:
    from analyses.cross_attention import CrossSettings

TRANSLATION = [
    *("template_id", "modifier", "head", "sentence", "translation", "written", "weight"),
]


def compute(given: Given, settings: CrossSettings) -> dict[str, pd.DataFrame]:
    """Measure all heads of all three sites, in every space, under every condition.

    Parameters
    ----------
    given
        The captures of the three sites.

    Returns
    -------
    ``summary``
        The summary of `analyses.divergence.compute` with a column ``site``.
    ``differences``
        Cross-attention and the decoder minus the encoder, functional space: ``site, population,
        measure, condition, value, ci_low, ci_high``. The sites share their words, so both figures
        are measured in the same resamples of the words (`probes.stats.SharedResamples`).
    ``heads``
        The same per layer and kv head, with ``site``.
    ``translations``
        ``template_id, modifier, head, sentence, translation, written, weight``: which token was
        taken for the modifier's translation, and how much the decoder looks at the modifier there.

    Raises
    ------
    TableError
        If fewer than 20 pairs can be compared at a site.
    """
    tables, measured = {}, {}
    for site, store in given.sites.items():
        found = measure(store, settings)
        tables[site] = tabulate(store, found, settings)
        measured[site] = keep_space(found, "functional")
    return {
        "summary": _stack({site: found["summary"] for site, found in tables.items()}),
        "differences": tabulate_differences(
            measured,
            base=BASE,
            measures=choose_measures(settings),
            resamples=settings.resamples,
            seed=settings.seed,
        ),
        "heads": _stack({site: found["heads"] for site, found in tables.items()}),
        "translations": given.sites["cross"].table("queries")[TRANSLATION],
    }


def identify(given: Given, settings: CrossSettings) -> dict[str, Any]:
    """Name the measures; see `analyses.divergence.compute`."""
    return identify_measures(given, settings)


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for site, table in tables.items():
        part = table.copy()
        part.insert(0, "site", site)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
