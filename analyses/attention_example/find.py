"""Where the example is in a capture: its words, and their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probes.capture.located import CapturedWords
from probes.capture.plan import locate_pairs
from probes.errors import TableError
from probes.words.founding import FOUNDING_PAIRS

if TYPE_CHECKING:
    from analyses.attention_example import ExampleSettings
    from probes.capture.store import Store


def choose_language(store: Store, settings: ExampleSettings) -> ExampleSettings:
    """Take the founding pair of another language, if the capture has that one and not English."""
    heads = set(store.table("queries")["head"])
    asked = (settings.head, settings.first, settings.second)
    if asked != FOUNDING_PAIRS[0] or asked[0] in heads:
        return settings
    for head, first, second in FOUNDING_PAIRS[1:]:
        if head in heads:
            return replace(settings, head=head, first=first, second=second)
    return settings


def find_example(store: Store, settings: ExampleSettings) -> NDArray[Any]:
    """Find the rows [side, template] of the example's two modifiers before its head word.

    Raises
    ------
    TableError
        If a compound is missing in a template, or the two words are the same.
    """
    words = (settings.first, settings.second)
    if words[0] == words[1]:
        raise TableError(
            f"the example compares {words[0]!r} with itself; name two different words."
        )
    queries, template_ids = store.table("queries"), CapturedWords.of(store).template_ids
    pair = pd.DataFrame({"head": [settings.head], "m1": words[:1], "m2": words[1:]})
    sides = np.stack([rows[0] for rows in locate_pairs(pair, queries, template_ids)])
    for word, rows in zip(words, sides, strict=True):
        absent = [name for name, row in zip(template_ids, rows, strict=True) if row < 0]
        if absent:
            losses = store.table("losses")
            reasons = losses.loc[
                (losses["modifier"] == word) & (losses["head"] == settings.head), "reason"
            ]
            why = f" ({reasons.iloc[0]})" if len(reasons) else ""
            held = queries.groupby("head")["modifier"].unique()
            held = held[held.map(len) > 1]
            other = (
                f"; here, for instance, head={held.index[0]!r}, first={held.iloc[0][0]!r}, "
                f"second={held.iloc[0][1]!r}"
                if len(held)
                else ""
            )
            raise TableError(
                f"the capture in {store.folder} does not hold the compound "
                f"'{word} {settings.head}' in {', '.join(absent)}{why}. Capture pairs that have "
                f"it, or name another example, two modifiers of one captured head word{other}."
            )
    return sides
