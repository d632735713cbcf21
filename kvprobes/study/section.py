"""What the page of a study says: what holds in every model, in some, in none; and in the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.co_attended.verdict import ANSWERS
from analyses.shared.numbers import Quantity, join, show, show_interval
from analyses.shared.section import Entry, Section, Shown, ShownTable
from analyses.shared.tables import select
from kvprobes.study.gather import ALL
from kvprobes.study.numbers import Number, find_number
from kvprobes.study.plan import Study


def describe(study: Study, tables: dict[str, pd.DataFrame], *, missing: int) -> Section:
    """Describe the tables of `kvprobes.study.gather.tabulate`.

    Parameters
    ----------
    missing
        How many models are still to be run.
    """
    models = tables["models"]
    caveats = [f"{row['model']}: {row['reason']}." for row in _read(models[~models["pooled"]])]
    if missing:
        caveats.insert(0, f"{missing} models are still to be run.")
    return Section(
        title=study.title,
        explanation=(
            "Every model read the same words in the same sentences. Numbers are means over the "
            "heads of a model. The mean over models is that of a random-effects model: models are "
            "taken as drawn from a population with a spread of its own. The interval for a new "
            "model says where its number is expected, measured with an error like these, if it "
            "is of the same population. With few models that interval is wide.",
        ),
        answer=tuple(_tell(tables)),
        caveats=tuple(caveats),
        captions={
            "numbers": (
                "Every number of every model, with 95 % intervals; below them the mean over models "
                "with its interval, and (grey) where a new model is expected. Squares: models that "
                "read other words, which are not in the mean. Dashed: what nothing would give.",
                "Forest plot: a panel a number, a row per model, the mean over models below.",
            )
        },
        tables=tuple(_tabulate(study, tables)),
        rule=(
            "A hypothesis has held if the 95 % interval of the mean over models is on its side of "
            "the mark, has failed if it is on the other side, and is undetermined otherwise. It "
            "counts as deviated if the study file was changed after the first capture."
            if study.hypotheses
            else ""
        ),
    )


def _tell(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    numbers, means = tables["numbers"], tables["means"]
    for name in numbers["number"].unique():
        number = find_number(str(name))
        mine = select(numbers, number=str(name))
        text = f"{number.label[0].upper()}{number.label[1:]}: {_count(mine, number)}"
        mean = select(means, number=str(name), group=ALL)
        if len(mean) and mean["models"].iloc[0] > 1:
            text += f". {_tell_mean(mean.iloc[0], number)}"
        yield f"{text}."


def _count(rows: pd.DataFrame, number: Number) -> str:
    above, below = rows["ci_low"] > number.nothing, rows["ci_high"] < number.nothing
    counts = {
        f"above {number.nothing:g}": int(above.sum()),
        f"below {number.nothing:g}": int(below.sum()),
        f"neither clearly above nor below {number.nothing:g}": int((~above & ~below).sum()),
    }
    if len(rows) in counts.values() and len(rows) > 1:
        [told] = [place for place, count in counts.items() if count]
        return f"{told} in all {len(rows)} models"
    return join([f"{told} in {count} of {len(rows)}" for told, count in counts.items() if count])


def _tell_mean(row: pd.Series[Any], number: Number) -> str:
    new = Quantity(float(row["value"]), float(row["new_low"]), float(row["new_high"]))
    own = Quantity.of(row)
    text = (
        f"Mean over {int(row['models'])} models {show(own.value, number.decimals)} "
        f"({show_interval(own, number.decimals)})"
    )
    if new.bounded:
        text += f"; a new model is expected at {show_interval(new, number.decimals)}"
    return text


def _tabulate(study: Study, tables: dict[str, pd.DataFrame]) -> Iterator[ShownTable]:
    if study.hypotheses:
        yield ShownTable(
            "Hypotheses.",
            "Written down before the first capture, and tried on pairs of the test split.",
            ("claim", "outcome", "mean over models", "models"),
            tuple(
                (
                    row["claim"],
                    row["outcome"],
                    _show(row, find_number(row["number"])),
                    f"{row['models']:.0f}",
                )
                for row in _read(tables["hypotheses"])
            ),
            n_words=2,
        )
    if len(tables["answers"]):
        yield _tabulate_answers(tables["answers"])
    yield _tabulate_means(tables["means"])
    yield _tabulate_models(tables["models"])


def _tabulate_answers(answers: pd.DataFrame) -> ShownTable:
    rows: list[tuple[Entry, ...]] = []
    for (source, model), mine in answers.groupby(["source", "model"], sort=False):
        verdicts = mine.set_index("name")["verdict"]
        rows.append((str(source), str(model), *(verdicts.get(name) for name in ANSWERS)))
    return ShownTable(
        "The four answers of every model.",
        "By the rules of the single report.",
        ("source", "model", *ANSWERS),
        tuple(sorted(rows, key=lambda row: str(row[0]))),
        n_words=6,
    )


def _tabulate_means(means: pd.DataFrame) -> ShownTable:
    rows: list[tuple[Entry, ...]] = []
    last = ""
    for row in _read(means):
        number = find_number(row["number"])
        new = Quantity(row["value"], row["new_low"], row["new_high"])
        is_spread = row["models"] > 1
        cells: tuple[Entry, ...] = (
            _show(row, number),
            Shown(show_interval(new, number.decimals)) if new.bounded else None,
            Shown(show(row["spread"], number.decimals)) if is_spread else None,
            Shown(f"{100 * row['inconsistency']:.0f} %") if is_spread else None,
            Shown(f"{row['models']}"),
        )
        rows.append(("" if number.label == last else number.label, row["group"], *cells))
        last = number.label
    return ShownTable(
        "Means over models, by group.",
        "Spread: standard deviation between models, without errors of measurement. I²: share of "
        "the variance between models that errors of measurement do not explain.",
        ("number", "models", "mean", "a new model", "spread", "I²", "count"),
        tuple(rows),
        n_words=2,
    )


def _tabulate_models(models: pd.DataFrame) -> ShownTable:
    rows = tuple(
        (
            row["model"],
            *(row[name] or None for name in ("family", "training", "sees", "precision")),
            "yes" if row["pooled"] else "no",
            Shown(f"{row['parameters'] / 1e6:,.0f} M") if row["parameters"] > 0 else None,
            Shown(f"{row['layers']:.0f}") if row["layers"] > 0 else None,
        )
        for row in _read(models)
    )
    return ShownTable(
        "The models.",
        "Precision: of the weights as they travelled; all are computed in the precision asked for.",
        ("model", "family", "training", "sees", "precision", "in the mean", "size", "layers"),
        rows,
        n_words=6,
    )


def _read(table: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    yield from table.to_dict("records")


def _show(row: Mapping[Any, Any], number: Number) -> Shown:
    own = Quantity(*(float(row[name]) for name in ("value", "ci_low", "ci_high")))
    clear = own.bounded and not own.low <= number.nothing <= own.high
    return Shown(show(own.value, number.decimals), show_interval(own, number.decimals), clear)
