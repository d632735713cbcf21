"""What the report says of erasure: what the model loses with a property."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.shared.numbers import Quantity, show, show_interval
from analyses.shared.section import Entry, Section, ShownTable, show_first, show_number
from analyses.shared.tables import select
from probes.similarity.catalogue import PARTS


def describe(tables: dict[str, pd.DataFrame], settings: Mapping[str, Any]) -> Section:
    """Describe the table of `analyses.erasure.compute`."""
    losses = tables["losses"]
    rows: list[tuple[Entry, ...]] = []
    answer = []
    for name in dict.fromkeys(losses["property"]):
        for part in PARTS:
            own = select(losses, property=name, part=part)
            erased = select(own, erased="property").iloc[0]
            gaps = select(own, erased="property - controls")
            controls = own[own["erased"].str.startswith("control")]
            accuracies = [erased["probe_before"], erased["probe_after"]]
            accuracies += [controls["probe_after"].mean(), erased["majority"]]
            rows.append(
                (
                    f"{name}, {part}",
                    *(show_number(100 * float(share), decimals=1) for share in accuracies),
                    show_first(select(own, erased="property"), decimals=3),
                    show_number(float(controls["value"].mean()), decimals=3),
                    show_first(gaps, decimals=3, signed=True),
                )
            )
            answer.append(_answer(name, part, erased, gaps))
    numbers = losses.iloc[0]
    return Section(
        title="What the model loses with a property",
        explanation=(
            "A property is erased (LEACE, Belrose et al. 2023) from the keys, or the values, of "
            "the modifiers at every layer, and the loss is measured on what follows them: "
            f"{int(numbers['n_words']):,} sentences of a word each. Erasers are fitted on one half "
            "of the words; probes and loss are of the other. Controls erase as many directions: "
            "they are fitted on labels that are shuffled among the words.",
        ),
        answer=tuple(answer),
        caveats=(
            "The sentences are words in templates. There, what follows a word can become easier "
            "to guess when less is known of the word. If the loss does not rise, the model does "
            "not need the property in these sentences; it may need it in others.",
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
                "Probes of the property, percent right, and the rise of the loss, nats per token.",
                "Probes: means over heads. Controls: means over them. Bold differences exclude 0.",
                (
                    "erased",
                    "probe before",
                    "after",
                    "after a control",
                    "most frequent class",
                    "rise",
                    "of a control",
                    "property, less controls",
                ),
                tuple(rows),
            ),
        ),
    )


def _answer(name: str, part: str, erased: pd.Series[Any], gaps: pd.DataFrame) -> str:
    """Say by rule what erasing does to probes and loss."""
    before, after, majority = (
        f"{100 * float(erased[name]):.0f} %" for name in ("probe_before", "probe_after", "majority")
    )
    rise = Quantity.of(erased if gaps.empty else gaps.iloc[0])
    amount = {1: "more", -1: "less", 0: "neither clearly more nor less"}[rise.sign]
    versus = "" if gaps.empty else " than to erase as many other directions"
    return (
        f"Without {name} in the {part} a probe gets {after} right, before that {before}; the "
        f"most frequent class gives {majority}. It costs the model {amount}{versus} "
        f"({show(rise.value, 3)} nats per token, {show_interval(rise, 3)})."
    )
