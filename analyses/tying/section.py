"""What the report says of the models trained with shared projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, join, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, show_number
from analyses.shared.tables import select
from probes.tying.variants import VARIANTS

VERDICTS = {
    "equivalent": "within 0.01",
    "different": "differs",
    "undecided": "undecided",
}
SAVED = ("query_key_value", "attention", "scaled", "total", "cache", "flops")


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the tables of `analyses.tying.compute`."""
    return Section(
        title="Trained with K = V: what it costs, and how many parameters buy it back",
        explanation=(
            "Small transformers are trained on the same text in the same order. They differ only "
            "in which of queries, keys and values share a projection. The learning rate of each "
            "variant is chosen on a grid by its own validation loss; the loss shown is that on "
            "other unseen documents. The curve loss = floor + scale (parameters / "
            "factor)^-exponent is fitted to all variants at once. The factor says how many times "
            "the parameters a variant needs for the loss of separate projections.",
        ),
        answer=tuple(_answer(tables)),
        caveats=(
            "The models are tiny and the text is short. Intervals are over seeds (initial weights "
            "and order of the data), for this text and this range of sizes; they say nothing about "
            "others. No correction is made for the number of variants.",
        ),
        captions=_CAPTIONS,
        tables=(_tabulate_costs(tables), _tabulate_counts(tables["counts"])),
    )


_CAPTIONS = {
    "scaling": (
        "Loss on unseen text against parameters, the fitted curves, the cost at every width, and "
        "the factor of parameters for equal loss. Lines: 95 % intervals over seeds; pale bars: the "
        "factor without each width in turn; grey band: 0.01 nats.",
        "Curves of loss against parameters for separate and tied projections, differences by "
        "width, and factors of parameters with intervals.",
    ),
    "variants": (
        "The cost of every variant at one width, that of K = V by positions, and the cost during "
        "training (validation loss). 95 % intervals over seeds; grey band: 0.01 nats.",
        "Points with intervals of the loss less that of separate projections, by variant and by "
        "positions, and lines of the same over training steps.",
    ),
    "tasks": (
        "Tasks whose answer is known: recall of a value by its key, completion of an item by "
        "itself, and a translation. Above: during training; below: at its end. Dashed: a guess "
        "among what is shown. 95 % intervals over seeds.",
        "Accuracy of every variant on three synthetic tasks, by head size.",
    ),
    "tieability": (
        "How well what a head writes follows linearly from its keys, in each variant before and "
        "after training, and its excess over the keys of other heads. 95 % intervals over seeds.",
        "Points of tieability and excess tieability of every variant, untrained and trained.",
    ),
}


def _tabulate_costs(tables: dict[str, pd.DataFrame]) -> ShownTable:
    costs, cells = tables["costs"], tables["cells"]
    rows: list[tuple[Entry, ...]] = []
    for row in select(costs, experiment="variants").sort_values("value").to_dict("records"):
        numbers = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
        name = str(row["variant"])
        recalled = [
            show_number(float(value))
            for value in (
                _mean_accuracy(cells, experiment, name) for experiment in ("recall", "completion")
            )
        ]
        rows.append(
            (
                VARIANTS[name].label,
                VERDICTS[str(row["verdict"])],
                show_number(*numbers, decimals=3, signed=True),
                show_number(float(row["p_equivalent"]), decimals=3),
                show_number(100 * float(row["parameters_saved"]), decimals=1),
                *recalled,
            )
        )
    return ShownTable(
        "The cost of sharing, nats per token.",
        "Less separate projections, seed by seed; 95 % t intervals over seeds. The test of "
        "equivalence is that of two one-sided t tests at 0.01 nats. Parameters: of the whole "
        "model. Accuracies: means over head sizes.",
        (
            *("variant", "verdict", "cost", "p (equivalent)", "parameters saved, %"),
            *("recall", "completion"),
        ),
        tuple(rows),
        n_words=2,
    )


def _mean_accuracy(cells: pd.DataFrame, experiment: str, variant: str) -> float:
    return float(select(cells, experiment=experiment, variant=variant)["accuracy"].mean())


def _tabulate_counts(counts: pd.DataFrame) -> ShownTable:
    rows: list[tuple[Entry, ...]] = []
    for row in counts.to_dict("records"):
        shares = [show_number(100 * float(row[f"saved_{name}"]), decimals=1) for name in SAVED]
        rows.append((VARIANTS[str(row["variant"])].label, *shares))
    return ShownTable(
        "What each variant saves, %.",
        "Exact counts, against separate projections: of the parameters of Q, K and V; of attention "
        "(with the output); of attention and feed-forward; of the model; of the numbers cached a "
        "token; and of the operations of a forward pass over a full window.",
        (
            *("variant", "of Q, K, V", "of attention", "of attention and feed-forward"),
            *("of the model", "cache", "operations"),
        ),
        tuple(rows),
    )


def _answer(tables: dict[str, pd.DataFrame]) -> list[str]:
    return [
        _answer_factor(tables["scaling"]),
        _answer_costs(tables["costs"]),
        *_answer_verdicts(tables["costs"]),
        *_answer_tasks(tables["cells"], tables["learning"]),
        *_answer_tieability(tables["tieability"]),
    ]


def _answer_factor(scaling: pd.DataFrame) -> str:
    parts = [
        f"{_tell(select(scaling, variant='tied', counted=counted).iloc[0], 2, ' times')} the {name}"
        for counted, name in (
            ("scaled_parameters", "parameters of attention and feed-forward layers"),
            ("parameters", "parameters in all"),
        )
    ]
    return f"For equal loss K = V needs {join(parts)}."


def _answer_costs(costs: pd.DataFrame) -> str:
    mine = select(costs, experiment="scaling")
    parts = []
    for variant, name in (("tied", "equal width"), ("tied_wide", "equal parameters")):
        rows = select(mine, variant=variant).sort_values("d_model")
        first, last = rows.iloc[0], rows.iloc[-1]
        parts.append(
            f"at {name}, {_tell(first)} at d_model {int(first['d_model'])} and {_tell(last)} at "
            f"{int(last['d_model'])}"
        )
    return f"K = V costs, in nats per token: {'; '.join(parts)}."


def _answer_verdicts(costs: pd.DataFrame) -> list[str]:
    """Say which variants are worse than separate projections, better, as good, or undecided."""
    mine = select(costs, experiment="variants")
    different = select(mine, verdict="different")
    groups = {
        "worse than separate projections": different[different["value"] > 0],
        "better than these": different[different["value"] < 0],
        "within 0.01 nats of these": select(mine, verdict="equivalent"),
        "undecided": select(mine, verdict="undecided"),
    }
    said = [
        f"{text}: {join([VARIANTS[str(name)].label for name in rows['variant']])}"
        for text, rows in groups.items()
        if len(rows)
    ]
    return [f"At one width, {'; '.join(said)}."] if said else []


def _answer_tasks(cells: pd.DataFrame, learning: pd.DataFrame) -> list[str]:
    """Say who is right half-way through training, and in the end, averaged over head sizes."""
    sentences = []
    for experiment, text in (
        ("recall", "Recall: a key is matched, and another thing, its value, is returned"),
        ("recall_narrow", "The same in a narrow model"),
        ("completion", "Completion: what is matched is what is returned"),
    ):
        mine = select(learning, experiment=experiment)
        if mine.empty:
            continue
        steps = sorted(mine["step"].unique())
        halfway = mine[mine["step"] == steps[len(steps) // 2]]
        parts = [
            f"{VARIANTS[name].label} "
            f"{show(100 * float(select(halfway, variant=name)['accuracy'].mean()), 0)} and "
            f"{show(100 * _mean_accuracy(cells, experiment, name), 0)} %"
            for name in ("separate", "tied", "query_key", "all_tied")
            if name in set(mine["variant"])
        ]
        sentences.append(
            f"{text}. Right answers half-way through training and at its end: {'; '.join(parts)}."
        )
    return sentences


def _answer_tieability(tieability: pd.DataFrame) -> list[str]:
    mine = select(
        tieability, experiment="variants", task="text", variant="separate", measure="excess"
    )
    change = select(mine, when="trained - untrained")
    if change.empty:
        return []
    trained = float(select(mine, when="trained")["value"].iloc[0])
    sign = Quantity.of(change.iloc[0]).sign
    verdict = {1: "rises", -1: "falls", 0: "does not clearly change"}[sign]
    return [
        f"In models with separate projections the excess tieability {verdict} in training: by "
        f"{_tell(change.iloc[0])}, to {show(trained)}."
    ]


def _tell(row: pd.Series[Any], decimals: int = 3, unit: str = "") -> str:
    found = Quantity.of(row)
    return f"{show(found.value, decimals)}{unit} ({show_interval(found, decimals)})"
