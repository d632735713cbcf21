"""Tables as the commands print them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import rich.console
from rich.markup import escape
from rich.table import Table

from kvprobes.command.errors import show


class Console(rich.console.Console):
    """A console on which no word of a file steers the terminal."""

    def render_str(self, text: str, **options: Any) -> Any:
        """Turn text into what is printed, its control signs spelled out."""
        return super().render_str(show(text), **options)


def print_models(listed: pd.DataFrame) -> None:
    """Print the bundled models, two lines each so that they fit 100 columns."""
    table = Table(box=None, padding=(0, 1, 1, 0))
    table.add_column("name\narchitecture", overflow="fold")
    table.add_column("licence")
    table.add_column("MB", justify="right")
    table.add_column("million\nparameters", justify="right")
    table.add_column("origin\nprecision", overflow="fold")
    table.add_column("cached")
    for row in listed.itertuples(index=False):
        table.add_row(
            f"{row.name}\n{row.architecture}",
            str(row.licence),
            str(row.size_mb),
            str(row.parameters_m),
            f"{row.origin}\n{row.precision}",
            "yes" if row.cached else "no",
        )
    Console().print(table)


def print_checks(checks: pd.DataFrame, sites: Mapping[str, Mapping[str, Any]]) -> None:
    """Print an examination part by part, and the geometry of every site."""
    console = Console()
    for part in checks["part"].unique():
        rows = checks[checks["part"] == part]
        console.print(f"[bold]{part}[/bold]")
        if part != "attention":
            for row in rows.itertuples():
                found = f": {row.note}" if row.note else ""
                console.print("ok   " if row.passed else "FAILS", f"{row.check}{found}")
            continue
        table = Table("site", "check", "stage", "layer", "difference", "", box=None)
        for row in rows.itertuples():
            shown = "" if row.note else f"{row.difference:.1e}"
            verdict = "n/a" if row.note else "ok" if row.passed else "DIFFERS"
            names = (row.site, row.check, row.stage, row.layer)
            table.add_row(*map(str, names), shown, verdict)
        console.print(table)
        for note in filter(None, dict.fromkeys(rows["note"])):
            console.print(f"n/a: {note}")
    for site, geometry in sites.items():
        told = {name: value for name, value in geometry.items() if value not in (None, False, [])}
        shown = ", ".join(f"{name} {value}" for name, value in told.items() if name != "site")
        console.print(f"\n[bold]{site}[/bold]", shown)
        if geometry.get("skipped"):
            numbers = ", ".join(map(str, geometry["skipped"]))
            console.print(f"Layers without attention are skipped: {numbers}.")


def print_columns(table: str, columns: pd.DataFrame) -> None:
    """Print what each column of a table means."""
    shown = Table("column", "unit", "meaning", title=f"[bold]{table}[/bold]", title_justify="left")
    for row in columns.itertuples():
        shown.add_row(*(escape(str(cell)) for cell in row[1:]))
    Console().print(shown)


def print_heads(heads: pd.DataFrame, title: str) -> None:
    """Print percentiles by layer and kv head, keys and values side by side."""
    console = Console()
    console.print(
        f"{title}, each word in a sentence of its own: percentile of s_K|s_V among the word "
        "pairs\n",
        soft_wrap=True,
    )
    console.print(_lay_out_heads(heads, "kv_head"))
    fits = (heads["key_percentile"] > 50) & (heads["value_percentile"] < 50)
    console.print(
        f"Means over heads: keys {heads['key_percentile'].mean():.0f}, values "
        f"{heads['value_percentile'].mean():.0f} (50 is the middle). Keys above the middle and "
        f"values below it in {fits.sum()} of {len(heads)} heads, where 1 in 4 would be if the two "
        "had nothing to do with each other."
    )


MEASURES = {
    "key_percentile": "percentile of the keys",
    "key_percentile_excess": "beyond pairs that another head attends to",
    "key_gap": "gap of the keys, nats of logit",
    "difference": "percentile of the keys, less that of the values",
    "difference_excess": "beyond pairs that another head attends to",
    "value_percentile": "percentile of the values",
    "value_percentile_excess": "beyond pairs that another head attends to",
    "quadrant": "share with keys above, values below the median",
    "quadrant_excess": "beyond matched pairs",
    "value_gap_over_matched": "gap of the values, over that of matched pairs",
    "swap_index": "(values - keys) / (values + keys), moved by swaps",
}
"""Measure of one pair -> how it is told."""


def print_one_query(answers: pd.DataFrame, heads: pd.DataFrame, reason: str) -> None:
    """Print the numbers of the four answers for one pair, and its percentiles by query head."""
    console = Console()
    console.print("\nBoth words in one sentence, where one query attends to them", soft_wrap=True)
    if reason:
        console.print(reason, soft_wrap=True)
    table = Table("", "mean over heads", "95 % interval", box=None)
    for question, rows in answers.groupby("question", sort=False):
        table.add_row(f"[bold]{question}[/bold]")
        for row in rows.to_dict("records"):
            interval = f"{row['ci_low']:.2f} to {row['ci_high']:.2f}"
            if pd.isna(row["ci_low"]):
                interval = "one pair: no interval"
            table.add_row(f"  {MEASURES[row['measure']]}", f"{row['value']:.2f}", interval)
    if len(answers):
        console.print(table)
    if answers[answers["name"] == "difference used"].empty:
        console.print(
            "This pair was not swapped: `kvprobes analyse swaps` swaps the pairs of a table.",
            soft_wrap=True,
        )
    if heads.empty or reason:
        return
    wide = heads.pivot_table(
        index=["layer", "head"], columns="measure", values="value", dropna=False
    ).reset_index()
    known = wide["key_percentile"].notna()
    console.print(
        f"Intervals are over sentences: one pair says nothing about others. {known.sum()} of "
        f"{len(wide)} query heads attend to both words in a sentence. Their percentiles, keys|"
        "values:\n",
        soft_wrap=True,
    )
    console.print(_lay_out_heads(wide, "head"))


def _lay_out_heads(heads: pd.DataFrame, column: str) -> Table:
    """Lay percentiles out by layer and head, keys and values side by side."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("layer, head", justify="right")
    for head in sorted(heads[column].unique()):
        table.add_column(str(head), justify="right", no_wrap=True)
    for layer, rows in heads.groupby("layer"):
        cells = zip(rows["key_percentile"], rows["value_percentile"], strict=True)
        table.add_row(str(layer), *("" if pd.isna(k) else f"{k:.0f}|{v:.0f}" for k, v in cells))
    return table


def print_questions(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the questions, what each needs, and how long it took last time."""
    table = Table(box=None, padding=(0, 2, 1, 0))
    table.add_column("question\nasked by run", no_wrap=True)
    for name in ("asks", "needs"):
        table.add_column(name, overflow="fold")
    table.add_column("last\ntook", justify="right", no_wrap=True)
    for row in rows:
        asked = "yes" if row["in_run"] else "no"
        needs = ";\n".join(row["needs"])
        table.add_row(f"{row['name']}\n{asked}", row["asks"], needs, _spell_time(row["seconds"]))
    Console().print(table)


def _spell_time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 60:,.0f} min" if seconds >= 100 else f"{max(seconds, 1):,.0f} s"
