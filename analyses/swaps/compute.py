"""Swap keys, values or both on minimal pairs of compounds, in one head, one layer and everywhere.

"neural network" is run with the keys, the values or both of "social" in the place of those of
"neural". The founding claim says that their keys are alike and their values are not: then swapped
keys change little of what follows "network", and swapped values much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.given import Given
from analyses.shared.resumable import FinishedParts
from analyses.swaps.tables import (
    MATCHED_PAIRS,
    tabulate_example,
    tabulate_indices,
    tabulate_swaps,
)
from probes.causal.minimal_pairs import (
    MinimalPair,
    batch_pairs,
    draw_matched_pairs,
    find_minimal_pairs,
)
from probes.causal.swaps import MEASURES, Swap, Swapper, list_swaps
from probes.errors import TableError, UsageError
from probes.files import hash_json
from probes.progress import progress_bar
from probes.similarity.catalogue import WORD_PAIRS
from probes.words.pairs import hash_pairs, load_pairs
from probes.words.templates import choose_templates

if TYPE_CHECKING:
    from analyses.swaps import SwapSettings
    from probes.models.model import Model

FEWEST = 10
"""Minimal pairs in each population, for their words to be resampled."""

_PAIR = ["pair_id", "head", "m1", "m2"]


def compute(given: Given, settings: SwapSettings) -> dict[str, pd.DataFrame]:
    """Swap in every head, in every layer and everywhere, on the pairs and on random matched ones.

    Parameters
    ----------
    given
        A causal language model. Finished parts are kept; a run that was killed resumes from them.
    settings
        Pairs whose modifiers differ in their number of tokens are left out.

    Returns
    -------
    ``summary``
        ``population, scope, part, measure, value, ci_low, ci_high``: means over pairs (and over
        heads or layers). The population is ``word pairs`` or ``matched random pairs``.
        ``transfer`` is the summed shift of the logit difference over the summed gap between the
        two sentences: 1 if the sentence becomes the other.
    ``indices``
        ``population, scope, measure``, and the index (d_v - d_k) / (d_v + d_k) as ``value`` with
        ``ci_low, ci_high``; population ``word pairs - matched random pairs`` is their difference.
    ``heads``
        ``population, layer, kv_head, keys, values, index``, by total variation; empty unless
        single heads were asked for.
    ``example``
        The founding pair alone: ``scope, part, measure, value``.
    ``pairs``
        Every pair and swap, means over templates and directions.
    ``losses``
        Pairs that are not minimal, with the reason.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    UsageError
        If nothing is swapped everywhere at once, or keys or values are not swapped in single heads.
    TableError
        If fewer than ten pairs are minimal.
    """
    if "all" not in settings.scopes:
        raise UsageError(
            f"swaps.scopes is {', '.join(settings.scopes) or 'empty'}, and lacks 'all': the answer "
            "is that of swaps everywhere at once. Add it."
        )
    if not {"keys", "values"} <= set(settings.parts_of_heads):
        raise UsageError(
            f"in single heads {', '.join(settings.parts_of_heads) or 'nothing'} would be swapped, "
            "but their index compares keys with values. Give swaps.parts_of_heads at least "
            "keys,values."
        )
    model = given.model
    words = identify(given, settings)
    parts = FinishedParts.of(given, settings, leaving_out=("resamples",), beside=words)
    swapper = Swapper(model)
    swaps = [
        swap
        for swap in list_swaps(model, parts_of_heads=settings.parts_of_heads)
        if swap.scope in settings.scopes
    ]
    populations = list(_find_populations(model, settings))
    tables = []
    total = sum(len(population.minimal) for population in populations)
    with progress_bar("Swapping", total=total, unit="sentence pairs") as advance:
        for population in populations:
            for number, batch in enumerate(batch_pairs(population.minimal, settings.batch_size)):
                name = f"{population.name.replace(' ', '-')}-{number:04d}"
                part = parts.table(name, partial(_swap, swapper, batch, swaps))
                tables.append(population.name_rows(part))
                advance(len(batch))
    table = pd.concat(tables, ignore_index=True)
    keys = ["population", *_PAIR, "scope", "part", "layer", "kv_head"]
    table = table.groupby(keys, sort=False, as_index=False)[list(MEASURES)].mean()
    resampling = {"resamples": settings.resamples, "seed": settings.seed}
    indices, heads = tabulate_indices(table, **resampling)
    results = {
        "summary": tabulate_swaps(table, **resampling),
        "indices": indices,
        "heads": heads,
        "example": tabulate_example(table),
        "pairs": table,
        "losses": pd.concat([p.name_rows(p.losses) for p in populations], ignore_index=True),
    }
    for result in results.values():
        result.insert(0, "model", model.name)
    return results


def identify(given: Given, settings: SwapSettings) -> dict[str, Any]:
    """Name the pairs and templates that are read, by their hashes."""
    pairs, templates = _load(settings)
    texts = templates[["template_id", "text"]].astype(str).to_numpy().tolist()
    return {"pairs": hash_pairs(pairs), "templates": hash_json(texts)}


def _load(settings: SwapSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = load_pairs(settings.pairs, limit=settings.limit, seed=settings.seed)
    return pairs, choose_templates(settings.templates)


@dataclass(frozen=True)
class _Population:
    """Pairs of one kind, those of them that are minimal, and why the others are not."""

    name: str
    pairs: pd.DataFrame
    minimal: list[MinimalPair]
    losses: pd.DataFrame

    def name_rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Put population and pairs in the place of the pairs' row numbers."""
        names = self.pairs.loc[table["row"], _PAIR].reset_index(drop=True)
        names.insert(0, "population", self.name)
        return pd.concat([names, table.drop(columns="row").reset_index(drop=True)], axis="columns")


def _find_populations(model: Model, settings: SwapSettings) -> Iterator[_Population]:
    """Find the minimal pairs among the word pairs, and among random pairs that match them."""
    pairs, templates = _load(settings)
    matched = draw_matched_pairs(model.tokenizer, pairs, seed=settings.seed)
    for name, table in ((WORD_PAIRS, pairs), (MATCHED_PAIRS, matched)):
        table = table.reset_index(drop=True)
        minimal, losses = find_minimal_pairs(
            model.tokenizer, table, templates, prefix=model.source_prefix
        )
        n_pairs = len({pair.row for pair in minimal})
        if n_pairs < FEWEST:
            raise TableError(
                f"only {n_pairs} of {len(table)} {name} are minimal (modifiers of equally many "
                f"tokens); an interval needs {FEWEST}. Give more pairs."
            )
        yield _Population(name, table, minimal, losses)


def _swap(swapper: Swapper, batch: list[MinimalPair], swaps: list[Swap]) -> pd.DataFrame:
    """Tabulate one batch: a row per pair and swap."""
    measured = swapper.run(batch, swaps)
    rows = []
    for swap, of_pairs in zip(swaps, measured.tolist(), strict=True):
        place = {
            "scope": swap.scope,
            "part": swap.part,
            "layer": -1 if swap.layer is None else swap.layer,
            "kv_head": -1 if swap.kv_head is None else swap.kv_head,
        }
        rows += [
            {"row": pair.row} | place | dict(zip(MEASURES, numbers, strict=True))
            for pair, numbers in zip(batch, of_pairs, strict=True)
        ]
    return pd.DataFrame(rows)
