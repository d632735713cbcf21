"""Translation, where the founding question comes from: cross-attention beside self-attention.

The same measures at the three sites of an encoder-decoder: the encoder's self-attention and
cross-attention (keys and values of the same source words; queries from the head noun, and from the
step that translates the modifier), and the decoder's self-attention (the translated modifier). As a
script: ``python -m analyses.cross_attention.compute --help``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.cross_attention.tables import keep_space, tabulate_differences
from analyses.divergence.compute import compute as divergence
from analyses.shared.section import Entry, Section, ShownTable, describe_intervals, show_first
from analyses.shared.tables import select
from probes.capture.store import open_store
from probes.errors import TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

NAME = "cross_attention"
SITES = ("encoder", "decoder", "cross")
SITE_NAMES = {
    "encoder": "encoder, self",
    "decoder": "decoder, self",
    "cross": "cross-attention",
}
SHOWN_MEASURES = (
    ("dissociation_ratio_5%", "word pairs", "DR(5 %)"),
    ("representational_similarity", "word pairs", "representational similarity"),
    ("tieability", "occurrences", "tieability R²"),
)
MEASURES = tuple(measure for measure, _, _ in SHOWN_MEASURES)
CONDITIONS = ("trained", "mismatched", "random", "slice")
TRANSLATIONS = 12


@dataclass(frozen=True)
class CrossSettings(divergence.DivergenceSettings):
    """How much to compute at each site; see `analyses.divergence.compute.DivergenceSettings`."""


def find_sites(store: Store) -> dict[str, Store]:
    """Open the captures of all three sites, given that of the encoder.

    Raises
    ------
    TableError
        If the model has no cross-attention.
    """
    folders = {site: store.folder.parent / f"capture-{site}" for site in SITES[1:]}
    if not all((folder / "manifest.json").exists() for folder in folders.values()):
        raise TableError(
            f"{store.manifest['model']} was captured at one site only. Give an encoder-decoder "
            "(such as opus-mt-zh-en) to `kvprobes capture`."
        )
    return {"encoder": store} | {site: open_store(folder) for site, folder in folders.items()}


def compute(
    store: Store, pairs: pd.DataFrame, *, settings: CrossSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Measure all heads of all three sites, in every space, under every condition.

    Parameters
    ----------
    store
        The encoder's finished capture of `pairs`; the other sites' stand beside it.

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
        If the model has no cross-attention, or fewer than 20 pairs can be compared at a site.
    """
    settings = settings or CrossSettings()
    stores = find_sites(store)
    tables, measured = {}, {}
    for site in SITES:
        found = divergence.measure(stores[site], pairs, settings)
        tables[site] = divergence.tabulate(stores[site], found, settings)
        measured[site] = keep_space(found, "functional")
    columns = ["template_id", "modifier", "head", "sentence", "translation", "written", "weight"]
    return {
        "summary": _stack({site: found["summary"] for site, found in tables.items()}),
        "differences": tabulate_differences(
            measured,
            base="encoder",
            measures=MEASURES,
            resamples=settings.resamples,
            seed=settings.seed,
        ),
        "heads": _stack({site: found["heads"] for site, found in tables.items()}),
        "translations": stores["cross"].table("queries")[columns],
    }


def describe_inputs(
    store: Store, pairs_hash: str, settings: CrossSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "captures": {site: found.identity_hash for site, found in find_sites(store).items()},
        "pairs": pairs_hash,
        "settings": asdict(settings or CrossSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the three measures at the three sites, from the tables alone."""
    from analyses.cross_attention.figures import draw_sites

    return {"sites": draw_sites(tables["summary"])}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Say what the three sites show, beside each other."""
    rows: list[tuple[Entry, ...]] = []
    for measure, population, shown in SHOWN_MEASURES:
        for site in SITES:
            place = {"site": site, "measure": measure, "population": population}
            summary = select(tables["summary"], space="functional", **place)
            gap = select(tables["differences"], condition="trained", **place)
            cells = [show_first(select(summary, condition=name)) for name in CONDITIONS]
            name = shown if site == SITES[0] else ""
            rows.append((name, SITE_NAMES[site], *cells, show_first(gap, signed=True)))
    chosen = tables["translations"].drop_duplicates(["modifier", "head"]).head(TRANSLATIONS)
    columns = ["modifier", "sentence", "translation", "written"]
    translations = chosen[columns].astype(str).itertuples(index=False, name=None)
    return Section(
        anchor="translation",
        title="Translation: cross-attention beside self-attention",
        explanation=(
            "The rest of this report is about the encoder's self-attention. Here the same measures "
            "stand for all three places where this model attends. In cross-attention, keys and "
            "values come from the encoder's output at the source word, and queries from the "
            "decoder at the step that writes the word's translation; in the decoder's "
            "self-attention, keys and values are those of the translated word. The decoder is "
            "given the model's own greedy translation, and which of its tokens stands for a source "
            "word is read from the model's own cross-attention.",
        ),
        captions={
            "sites": (
                "The three places where the model attends, side by side: dissociation ratio and "
                "representational similarity of the word pairs, and tieability on words not fitted "
                "on. Means over all heads of a site, functional space; "
                f"{describe_intervals(settings)}. A lower dissociation ratio means that "
                "similar keys more often come with similar values.",
                "Three panels, one a measure; in each the encoder, the decoder and "
                "cross-attention, with trained heads beside their nulls.",
            )
        },
        tables=(
            ShownTable(
                "Functional space, means over heads.",
                "Intervals: 95 %, words resampled, the same at all sites. Bold: excludes 0.",
                (
                    *("measure", "site", "trained", "mismatched", "random", "slice of x"),
                    "trained, minus the encoder's",
                ),
                tuple(rows),
                n_words=2,
            ),
            ShownTable(
                "Some of the model's translations.",
                "“Taken” is the token that stands for the modifier.",
                ("modifier", "source", "translation", "taken"),
                tuple(translations),
                n_words=4,
            ),
        ),
    )


def _stack(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for site, table in tables.items():
        part = table.copy()
        part.insert(0, "site", site)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
