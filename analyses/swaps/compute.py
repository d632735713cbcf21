"""Does it matter whose keys, or whose values? Swaps on minimal pairs of compounds.

"neural network" is run with the keys, the values or both of "social" in the place of those of
"neural". The founding claim says that their keys are alike and their values are not: then swapping
keys changes little of what follows "network", and swapping values much. As a script:
``python -m analyses.swaps.compute --preset quick``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.presets import choose_preset
from analyses.shared.resumable import Units
from analyses.substitution.section import describe_swaps as describe
from analyses.swaps.tables import tabulate_example, tabulate_indices, tabulate_swaps
from probes.causal.minimal_pairs import (
    MinimalPair,
    batch_pairs,
    draw_matched_pairs,
    find_minimal_pairs,
)
from probes.causal.swaps import MEASURES, Swap, SwappedPart, Swapper, list_swaps
from probes.errors import TableError
from probes.files import hash_json
from probes.progress import progress_bar
from probes.words.pairs import hash_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.models.model import Model

__all__ = [
    "PRESETS",
    "SwapSettings",
    "choose_settings",
    "compute",
    "describe",
    "describe_inputs",
    "draw",
]

NAME = "swaps"
FEWEST = 10
"""Minimal pairs in each population, for their words to be resampled."""


@dataclass(frozen=True)
class SwapSettings:
    """How many pairs and templates, and which parts are swapped in single heads.

    ``pairs`` and ``templates`` are what the script loads; `compute` takes those it is given.
    """

    pairs: int = 160
    templates: int = 2
    parts_of_heads: tuple[SwappedPart, ...] = ("key", "value", "both")
    batch_size: int = 32
    resamples: int = 300
    seed: int = 0


PRESETS = {
    "quick": SwapSettings(pairs=24, templates=1, parts_of_heads=("key", "value"), batch_size=24),
    "full": SwapSettings(),
}


def compute(
    model: Model,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    settings: SwapSettings | None = None,
    folder: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Swap in every head, in every layer and everywhere, on the pairs and on random matched ones.

    Parameters
    ----------
    model
        A causal language model.
    pairs
        With ``pair_id``, ``head``, ``m1``, ``m2``. Those whose modifiers differ in their number of
        tokens are left out.
    templates
        With ``template_id``, ``text``.
    folder
        Where finished parts are kept; a run that was killed goes on from them.

    Returns
    -------
    ``summary``
        ``population, scope, part, measure, value, ci_low, ci_high``: means over pairs (and over
        heads or layers); ``transfer`` is the summed shift of the logit difference over the summed
        gap between the two sentences: 1 if the sentence becomes the other.
    ``indices``
        ``population, scope, measure``, and the index (d_v - d_k) / (d_v + d_k) as ``value`` with
        ``ci_low, ci_high``; population ``word pairs - random pairs`` is their difference.
    ``heads``
        ``population, layer, kv_head, key, value, index``, by total variation.
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
    TableError
        If fewer than ten pairs are minimal.
    """
    settings = settings or SwapSettings()
    units = Units(folder, describe_inputs(model, pairs, templates, settings))
    swapper = Swapper(model)
    swaps = list_swaps(model, parts_of_heads=settings.parts_of_heads)
    given = pairs.reset_index(drop=True)
    matched = draw_matched_pairs(model.tokenizer, given, seed=settings.seed).reset_index(drop=True)
    populations = {"word pairs": given, "random pairs": matched}
    found, losses = {}, []
    for name, table in populations.items():
        found[name], lost = find_minimal_pairs(
            model.tokenizer, table, templates, prefix=model.source_prefix
        )
        losses.append(
            table.loc[lost["row"], ["pair_id", "head", "m1", "m2"]].assign(
                population=name,
                template_id=lost["template_id"].to_numpy(),
                reason=lost["reason"].to_numpy(),
            )
        )
        n_pairs = len({pair.row for pair in found[name]})
        if n_pairs < FEWEST:
            raise TableError(
                f"only {n_pairs} {name} have modifiers of equally many tokens; {FEWEST} are needed "
                "for an interval. Give more pairs."
            )
    parts = []
    total = sum(map(len, found.values()))
    with progress_bar("Swapping", total=total, unit="sentence pairs") as advance:
        for name, minimal in found.items():
            for number, batch in enumerate(batch_pairs(minimal, settings.batch_size)):

                def make(batch: list[MinimalPair] = batch) -> pd.DataFrame:
                    return _swap(swapper, batch, swaps)

                unit = units.table(f"{name.replace(' ', '-')}-{number:04d}", make)
                parts.append(_join(unit, populations[name], name))
                advance(len(batch))
    keys = [*PAIR, "scope", "part", "layer", "kv_head"]
    table = pd.concat(parts, ignore_index=True)
    table = table.groupby(keys, sort=False, as_index=False)[list(MEASURES)].mean()
    resampling = {"resamples": settings.resamples, "seed": settings.seed}
    indices, heads = tabulate_indices(table, **resampling)
    tables = {
        "summary": tabulate_swaps(table, **resampling),
        "indices": indices,
        "heads": heads,
        "example": tabulate_example(table),
        "pairs": table,
        "losses": pd.concat(losses, ignore_index=True),
    }
    for result in tables.values():
        result.insert(0, "model", model.name)
    return tables


PAIR = ["population", "pair_id", "head", "m1", "m2"]


def _swap(swapper: Swapper, batch: list[MinimalPair], swaps: list[Swap]) -> pd.DataFrame:
    """Tabulate one batch: a row a pair and swap."""
    figures = swapper.run(batch, swaps)
    rows = []
    for swap, of_pairs in zip(swaps, figures.tolist(), strict=True):
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


def _join(unit: pd.DataFrame, pairs: pd.DataFrame, population: str) -> pd.DataFrame:
    """Put the pairs' names in the place of their row numbers."""
    names = pairs.loc[unit["row"], ["pair_id", "head", "m1", "m2"]].reset_index(drop=True)
    names.insert(0, "population", population)
    return pd.concat([names, unit.drop(columns="row")], axis="columns")


def describe_inputs(
    model: Model,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    settings: SwapSettings | None = None,
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    texts = [
        [str(i), str(t)] for i, t in zip(templates["template_id"], templates["text"], strict=True)
    ]
    return {
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "pairs": hash_pairs(pairs),
        "templates": hash_json(texts),
        "settings": asdict(settings or SwapSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what swaps of keys and of values change, from the tables alone."""
    from analyses.swaps.figures import draw_swap_maps, draw_swaps

    return {
        "summary": draw_swaps(tables["summary"], tables["indices"]),
        "heads": draw_swap_maps(tables["heads"]),
    }


def choose_settings(preset: str, *, seed: int = 0) -> SwapSettings:
    """Return the settings of a preset, ``quick`` or ``full``; see `choose_preset`."""
    return choose_preset(PRESETS, preset, seed=seed)


if __name__ == "__main__":
    import typer

    from kvprobes.command.cli import swap

    typer.run(swap)
