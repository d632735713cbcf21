"""Tables as the commands print them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import rich.console
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
        told = {name: value for name, value in geometry.items() if value not in (None, False)}
        shown = ", ".join(f"{name} {value}" for name, value in told.items() if name != "site")
        console.print(f"\n[bold]{site}[/bold]", shown)


def print_heads(heads: pd.DataFrame, title: str) -> None:
    """Print percentiles by layer and kv head, keys and values side by side."""
    console = Console()
    console.print(f"{title}: percentile of s_K | s_V among the word pairs\n", soft_wrap=True)
    table = Table(box=None)
    table.add_column("layer", justify="right")
    for kv_head in sorted(heads["kv_head"].unique()):
        table.add_column(f"head {kv_head}", justify="right")
    for layer, rows in heads.groupby("layer"):
        cells = zip(rows["key_percentile"], rows["value_percentile"], strict=True)
        table.add_row(str(layer), *(f"{k:3.0f} | {v:3.0f}" for k, v in cells))
    console.print(table)
    fits = (heads["key_percentile"] > 50) & (heads["value_percentile"] < 50)
    console.print(
        f"Means over heads: keys {heads['key_percentile'].mean():.0f}, values "
        f"{heads['value_percentile'].mean():.0f} (50 is the middle). Keys above the middle and "
        f"values below it in {fits.sum()} of {len(heads)} heads, where 1 in 4 would be if the two "
        "had nothing to do with each other."
    )


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
