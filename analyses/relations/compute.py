"""Which relation between words dissociates keys from values? Each against a matched control.

Synonyms, antonyms, hypernyms, co-hyponyms, meronyms, similar adjectives, and two modifiers of one
head. ``compute`` turns the captures into tables, ``draw`` turns the tables into figures. As a
script: ``python -m analyses.relations.compute --help``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.relations.compute.related import (
    RelatedPairs,
    find_relations,
    find_shared_heads,
    name_shared_heads,
)
from analyses.relations.tables import (
    SideBootstrap,
    join_ranked,
    rank_pairs,
    rank_relations,
    tabulate_related_pairs,
    tabulate_relation_heads,
    tabulate_relations,
)
from analyses.shared.words_sections import describe_relations as describe
from kvprobes.captures.words import WORDS, find_word_captures
from probes.parallel import one_core_operations
from probes.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.capture.store import Store

__all__ = ["RelationsSettings", "compute", "describe", "describe_inputs", "draw"]

NAME = "relations"


@dataclass(frozen=True)
class RelationsSettings:
    """How much to compute.

    ``resamples`` of the words for every interval; ``references`` random pairs of each part of
    speech (and of the compounds' modifiers), among which every pair is ranked.
    """

    resamples: int = 300
    references: int = 5000
    seed: int = 0


@one_core_operations()
def compute(
    store: Store, pairs: pd.DataFrame, *, settings: RelationsSettings | None = None
) -> dict[str, pd.DataFrame]:
    """Rank every related pair, and its control, among random pairs of words of its kind.

    Parameters
    ----------
    store
        A finished capture of `pairs`; that of the relations' words stands beside it.
    pairs
        With ``head``, ``m1``, ``m2``: the pairs of two modifiers that share a head.

    Returns
    -------
    ``ranking``
        The relations, that which dissociates most above its control first; see `rank_relations`.
    ``contrasts``
        The difference of every two of them.
    ``summary``
        Means over heads: ``relation, pairs, space, condition, measure, of, value, ci_low,
        ci_high``; ``of`` is ``related``, ``control`` or ``related - control``.
    ``heads``
        The same difference for dissociation per relation, layer and kv head, with corrected p.
    ``pairs``
        Per pair, means over heads.
    ``coverage``
        Per relation: ``given`` and ``compared`` pairs.

    Raises
    ------
    TableError
        If there is no capture of words, or no relation has 30 pairs with controls.
    """
    settings = settings or RelationsSettings()
    words = find_word_captures(store)[WORDS]
    drawing = {"references": settings.references, "seed": settings.seed}
    sources = [find_relations(words, **drawing)]
    shared = find_shared_heads(store, pairs, **drawing)
    if shared is not None:
        sources.append(shared)
    total = sum(source.store.n_layers for source in sources)
    with progress_bar("Ranking related words", total=total, unit="layers") as advance:
        ranked = join_ranked(
            [rank_pairs(source, seed=settings.seed, on_layer=advance) for source in sources]
        )
    table = pd.concat([source.table for source in sources], ignore_index=True)
    with progress_bar("Resampling words", total=4) as advance:
        bootstrap = SideBootstrap.draw(table, resamples=settings.resamples, seed=settings.seed)
        advance(1)
        ranking, contrasts = rank_relations(table, ranked, bootstrap)
        advance(1)
        summary = tabulate_relations(table, ranked, bootstrap)
        advance(1)
        heads = tabulate_relation_heads(table, ranked, bootstrap)
        advance(1)
    tables = {"ranking": ranking, "summary": summary, "heads": heads}
    for part in tables.values():
        part.insert(0, "model", store.manifest["model"])
        part.insert(1, "key_stage", store.manifest["identity"]["key_stage"])
    return {
        **tables,
        "contrasts": contrasts,
        "pairs": tabulate_related_pairs(table, ranked),
        "coverage": _count_pairs(words, pairs, sources),
    }


def _count_pairs(words: Store, pairs: pd.DataFrame, sources: list[RelatedPairs]) -> pd.DataFrame:
    """Count the pairs given and compared, relation by relation, so that no loss is silent."""
    given = pd.concat([words.table("pairs")["relation"], name_shared_heads(pairs)])
    compared = pd.concat([source.table["relation"] for source in sources]).value_counts()
    counts = given.value_counts(sort=False)
    return pd.DataFrame(
        {
            "relation": counts.index,
            "given": counts.to_numpy(),
            "compared": [int(compared.get(name, 0)) for name in counts.index],
        }
    )


def describe_inputs(
    store: Store, pairs_hash: str, settings: RelationsSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "capture": store.identity_hash,
        "words": find_word_captures(store)[WORDS].identity_hash,
        "pairs": pairs_hash,
        "settings": asdict(settings or RelationsSettings()),
    }


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the relations beside their controls and nulls, and their heads, from tables alone."""
    from analyses.relations.compute import figures

    return {
        "relations": figures.draw_relations(tables["summary"], tables["ranking"]),
        "relation_heads": figures.draw_relation_heads(tables["heads"], tables["ranking"]),
    }


if __name__ == "__main__":
    from kvprobes.command.cli import run_analysis_script

    run_analysis_script(NAME)
