"""What the report says of erasure: what the model loses with a property."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select

SIDES = {"k": "keys", "v": "values"}


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the table of `analyses.erasure.compute`."""
    losses = tables["losses"]
    rows: list[tuple[Entry, ...]] = []
    answer = []
    for name in dict.fromkeys(losses["property"]):
        for what, side in SIDES.items():
            own = select(losses, property=name, what=what)
            erased = select(own, erased="property").iloc[0]
            gaps = select(own, erased="property - controls")
            controls = own[own["erased"].str.startswith("control")]
            accuracies = [erased["probe_before"], erased["probe_after"]]
            accuracies += [controls["probe_after"].mean(), erased["majority"]]
            rows.append(
                (
                    f"{name}, {side}",
                    *(show_number(100 * float(share), decimals=1) for share in accuracies),
                    show_first(select(own, erased="property"), decimals=3),
                    show_number(float(controls["value"].mean()), decimals=3),
                    show_first(gaps, decimals=3, signed=True),
                )
            )
            answer.append(_answer(name, side, erased, gaps))
    numbers = losses.iloc[0]
    return Section(
        anchor="erasure",
        title="What the model loses with a property",
        explanation=(
            "A property is erased (LEACE, Belrose et al. 2023) from the keys, or the values, of "
            "the modifiers at every layer, and the loss is measured on what follows them: "
            f"{int(numbers['n_words']):,} sentences of a word each. Erasers are fitted on one half "
            "of the words, probes and loss are of the other. Controls erase as many directions, "
            "fitted to the words' labels dealt out anew.",
        ),
        answer=tuple(answer),
        caveats=(
            "In sentences made of words and templates, less of a word can make what follows "
            "*easier* to guess. A loss that does not rise says that the model does not need the "
            "property here, not that it never does.",
        ),
        captions={
            "losses": (
                "Rise of the loss when a property is erased from values or keys (colours), and "
                "when controls are (grey); 95 % intervals over words.",
                "Points with intervals of the rise in loss for each property and control.",
            )
        },
        tables=(
            ShownTable(
                "Probes of the property, percent right, and the rise of the loss, nats a token.",
                "Probes: means over heads. Controls: means over them. Bold differences exclude 0.",
                (
                    "erased",
                    "probe before",
                    "after",
                    "after a control",
                    "commonest class",
                    "rise",
                    "of a control",
                    "property, less controls",
                ),
                tuple(rows),
            ),
        ),
    )


def _answer(name: str, side: str, erased: pd.Series[Any], gaps: pd.DataFrame) -> str:
    """Say by rule what erasing does to probes and loss."""
    text = (
        f"Without {name} in the {side} a probe gets {100 * float(erased['probe_after']):.0f} % "
        f"right, where it got {100 * float(erased['probe_before']):.0f} % and the commonest class "
        f"gives {100 * float(erased['majority']):.0f} %; "
    )
    rise = Quantity.of(erased if gaps.empty else gaps.iloc[0])
    versus = "" if gaps.empty else "than as many other directions"
    if rise.sign == 0:
        change = f"that costs the model neither clearly more nor less {versus}"
    else:
        change = f"that costs the model {'more' if rise.sign > 0 else 'less'} {versus}"
    return f"{text}{change.strip()} ({show(rise.value, 3)} nats a token, {show_interval(rise, 3)})."
