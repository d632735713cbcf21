"""The summary of the probes as a table for a paper."""

from __future__ import annotations

import pandas as pd

from analyses.probing.tables import GAP, KEYS, SLICE, UNTRAINED, VALUES

COLUMNS = {KEYS: "keys", VALUES: "values", SLICE: "random slice of $x$", GAP: "values $-$ keys"}


def to_latex(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    """Write the summary in LaTeX (booktabs): keys, values and difference, with intervals.

    Scores are in percent; brackets hold 95 % intervals over words. Then the controls: keys and
    values of the untrained model where it has been captured, the commonest class, random labels.
    """
    summary = tables["summary"]
    chosen = summary[summary["part"].isin(COLUMNS)]
    cells = [
        rf"{value:.1f} {{\scriptsize[{low:.1f}, {high:.1f}]}}"
        for value, low, high in 100 * chosen[["value", "ci_low", "ci_high"]].to_numpy()
    ]
    table = chosen.assign(cell=cells).pivot_table(
        index="property", columns="part", values="cell", aggfunc="first", sort=False
    )
    keys = chosen[chosen["part"] == KEYS].set_index("property")
    table = table[[name for name in COLUMNS if name in table]].rename(columns=COLUMNS)
    by_part = {part: summary[summary["part"] == part] for part in UNTRAINED}
    controls = {
        part: rows.set_index("property")["value"].reindex(keys.index)
        for part, rows in by_part.items()
        if len(rows)
    }
    controls |= {name: keys[name] for name in ("majority", "control")}
    for name, values in controls.items():
        table[name] = [f"{100 * value:.1f}" if value == value else "--" for value in values]
    table.index.name = table.columns.name = None
    written = table.style.format_index(escape="latex").to_latex(
        hrules=True, column_format="l" + "r" * len(table.columns), position_float="centering"
    )
    return {"summary": written}
