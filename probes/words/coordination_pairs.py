"""Which modifiers are set side by side in coordinations: drawn so that no selection brings them.

A table of pairs may have been chosen by how related its two modifiers are, as the shipped one was.
So two modifiers of a head are drawn that the table did not bring together: neither in one row, nor
by a chain of rows (a with b, b with c), along which relatedness would pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from probes.errors import UsageError
from probes.words.lexicon import read_frequencies
from probes.words.pairs import NEEDED
from probes.words.tables import require_columns

DEFAULT_COUNT = 200
"""Distinct pairs of modifiers; see `probes.capture.plan_coordination` for what they cost."""

INCLUDED, SOURCES = "included", ("unconnected", "connected", "listed")
"""What brought two modifiers together. ``unconnected``: chance alone. ``connected``: chance, among
words that a chain of the table's rows connects. ``listed``: a row of the table. ``included``: the
caller asked for them."""

COLUMNS = ("pair_id", *NEEDED, "source", "relatedness", "z_m1", "z_m2")

Pair = tuple[str, str]


def choose_coordinations(
    pairs: pd.DataFrame,
    count: int = DEFAULT_COUNT,
    *,
    seed: int = 0,
    include: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Choose distinct pairs of modifiers, each with one head noun that both go with.

    Heads come in a random order, and each gives one pair before any gives a second. Within a head
    the pair is drawn evenly among all of its modifiers that no chain of rows connects. Only where
    the table has too few of these are ``connected`` ones drawn, and rows of the table last; the
    column ``source`` says which is which, so that a verdict can leave them out.

    Parameters
    ----------
    pairs
        With ``head``, ``m1``, ``m2``, and perhaps ``pair_id``, ``relatedness``, ``z_m1``, ``z_m2``.
    count
        At most this many are drawn; a small table has fewer.
    include
        Pairs that are wanted whatever chance says, such as the founding pair; they come first and
        do not count.

    Returns
    -------
    ``pair_id, head, m1, m2, source, relatedness, z_m1, z_m2``. Relatedness is empty and frequency
    (log10 of occurrences per 10^9 words) missing where neither the tables nor the lexicon know it.
    No two modifiers come twice, in either order, with any head.

    Raises
    ------
    TableError
        If a column is missing.
    UsageError
        If `count` is negative, or nothing at all is asked for.
    """
    wanted = 0 if include is None else len(include)
    if count < 0 or count + wanted == 0:
        raise UsageError(f"count is {count}: a number of pairs, 1 or more, was expected.")
    require_columns("the table of pairs", pairs, NEEDED)
    rows: list[tuple[str, str, str, str, str]] = []
    used: set[frozenset[str]] = set()
    if include is not None and wanted:
        require_columns("the table of pairs to include", include, NEEDED)
        for head, m1, m2 in zip(*(include[name] for name in NEEDED), strict=True):
            if frozenset((m1, m2)) not in used:
                used.add(frozenset((m1, m2)))
                rows.append(("", head, m1, m2, INCLUDED))
    n_included = len(rows)
    drawn = _draw(pairs, np.random.default_rng(seed))
    for number, (head, (m1, m2), source) in enumerate(drawn):
        if len(rows) - n_included >= count:
            break
        if frozenset((m1, m2)) not in used:
            used.add(frozenset((m1, m2)))
            rows.append((f"drawn{number:05d}", head, m1, m2, source))
    chosen = pd.DataFrame(rows, columns=["pair_id", *NEEDED, "source"])
    tables = [pairs] if include is None else [pairs, include]
    return _tell_what_is_known(chosen, tables)


def _draw(pairs: pd.DataFrame, random: np.random.Generator) -> Iterator[tuple[str, Pair, str]]:
    """Yield head, modifiers and source: a pair a head and round, the least connected first."""
    listed: dict[str, list[Pair]] = defaultdict(list)
    for head, m1, m2 in zip(*(pairs[name] for name in NEEDED), strict=True):
        listed[head].append((m1, m2))
    found: dict[str, dict[str, list[Pair]]] = {source: {} for source in SOURCES}
    for head in sorted(listed):
        for source, candidates in _sort_by_source(listed[head]).items():
            if candidates:
                order = random.permutation(len(candidates))
                found[source][head] = [candidates[place] for place in order]
    for source, by_head in found.items():
        heads = [sorted(by_head)[place] for place in random.permutation(len(by_head))]
        for turn in range(max(map(len, by_head.values()), default=0)):
            for head in heads:
                if turn < len(by_head[head]):
                    yield head, by_head[head][turn], source


def _sort_by_source(rows: list[Pair]) -> dict[str, list[Pair]]:
    """Part all pairs of one head's modifiers by what the table's rows say of them."""
    component: dict[str, str] = {}
    for first, second in rows:
        kept, joined = component.setdefault(first, first), component.setdefault(second, second)
        for word, name in component.items():
            if name == joined:
                component[word] = kept
    together = {frozenset(row) for row in rows}
    sorted_pairs: dict[str, list[Pair]] = {source: [] for source in SOURCES}
    for m1, m2 in combinations(sorted(component), 2):
        if component[m1] != component[m2]:
            source = "unconnected"
        else:
            source = "listed" if frozenset((m1, m2)) in together else "connected"
        sorted_pairs[source].append((m1, m2))
    return sorted_pairs


def _tell_what_is_known(chosen: pd.DataFrame, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Add names and relatedness of listed pairs, and the words' frequencies."""
    names: dict[tuple[str, frozenset[str]], str] = {}
    relatedness: dict[tuple[str, frozenset[str]], str] = {}
    frequency = dict(read_frequencies())
    for table in tables:
        keys = [
            (head, frozenset((m1, m2)))
            for head, m1, m2 in zip(*(table[name] for name in NEEDED), strict=True)
        ]
        for column, known in (("pair_id", names), ("relatedness", relatedness)):
            if column in table:
                known.update(zip(keys, table[column].astype(str), strict=True))
        for word, z in (("m1", "z_m1"), ("m2", "z_m2")):
            if z in table:
                frequency.update(zip(table[word], table[z], strict=True))
    keys = [
        (head, frozenset((m1, m2)))
        for head, m1, m2 in zip(*(chosen[name] for name in NEEDED), strict=True)
    ]
    made_up = [name or f"{INCLUDED}{number:05d}" for number, name in enumerate(chosen["pair_id"])]
    return chosen.assign(
        pair_id=[names.get(key, name) for key, name in zip(keys, made_up, strict=True)],
        relatedness=[relatedness.get(key, "") for key in keys],
        z_m1=[frequency.get(word, np.nan) for word in chosen["m1"]],
        z_m2=[frequency.get(word, np.nan) for word in chosen["m2"]],
    )[list(COLUMNS)]
