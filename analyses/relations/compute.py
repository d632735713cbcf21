"""Which relation between words dissociates keys from values? Each against a matched control.

Synonyms, antonyms, hypernyms, co-hyponyms, meronyms, similar adjectives, and two modifiers of one
head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analyses.relations.ranked import RankedPairs, SideBootstrap, rank_pairs
from analyses.relations.related import (
    RelatedPairs,
    find_relations,
    find_shared_heads,
    name_shared_heads,
)
from analyses.relations.tables import (
    rank_relations,
    tabulate_related_pairs,
    tabulate_relation_heads,
    tabulate_relations,
)
from analyses.shared.given import Given
from analyses.shared.tables import name_capture
from analyses.shared.word_pairs import RELATIONS
from probes.capture.located import LocatedPairs
from probes.errors import TableError
from probes.parallel import one_core_operations
from probes.progress import progress_bar

if TYPE_CHECKING:
    from analyses.relations import RelationsSettings
    from probes.capture.store import Store


@one_core_operations()
def compute(given: Given, settings: RelationsSettings) -> dict[str, pd.DataFrame]:
    """Rank every related pair, and its control, among random pairs of words of its kind.

    Parameters
    ----------
    given
        A finished capture of word pairs that share a head, and that of the relations' words.

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
    store, words = given.store, given.words.get(RELATIONS)
    if words is None:
        raise TableError(
            "there is no finished capture of the relations' words. Run `kvprobes analyse "
            "relations` or `kvprobes run`: they capture the words first."
        )
    drawing = {"references": settings.references, "seed": settings.seed}
    sources = [find_relations(words, **drawing)]
    shared = find_shared_heads(store, **drawing)
    if shared is not None:
        sources.append(shared)
    total = sum(source.store.n_layers for source in sources)
    with progress_bar("Ranking related words", total=total, unit="layers") as advance:
        parts = [rank_pairs(source, seed=settings.seed, on_layer=advance) for source in sources]
    ranked = {place: RankedPairs.join([part[place] for part in parts]) for place in parts[0]}
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
    name_capture(tables.values(), store)
    return {
        **tables,
        "contrasts": contrasts,
        "pairs": tabulate_related_pairs(table, ranked),
        "coverage": _count_pairs(words, store, sources),
    }


def _count_pairs(words: Store, store: Store, sources: list[RelatedPairs]) -> pd.DataFrame:
    """Count the pairs given and compared, relation by relation, so that no loss is silent."""
    named = []
    for each, name in ((words, lambda pairs: pairs["relation"]), (store, name_shared_heads)):
        located = LocatedPairs.of(each)
        relation = name(located.table)
        named.append(relation[located.first_of_same(relation).numpy()])
    given = pd.concat(named)
    compared = pd.concat([source.table["relation"] for source in sources]).value_counts()
    counts = given.value_counts(sort=False)
    return pd.DataFrame(
        {
            "relation": counts.index,
            "given": counts.to_numpy(),
            "compared": [int(compared.get(name, 0)) for name in counts.index],
        }
    )
