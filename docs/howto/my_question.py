"""Are the keys and values of longer words longer? A question in one file."""

from dataclasses import dataclass

import pandas as pd

from analyses.shared.drawing import draw_by_layer
from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.section import Section
from analyses.shared.settings import setting
from analyses.shared.style import Look, house_style, new_panels
from analyses.shared.tables import select


@dataclass(frozen=True)
class Settings:
    shortest: int = setting(1, "Fewest letters of a word that counts.", at_least=1)


title, asks = "Length", "Are the keys and values of longer words longer?"
needs = frozenset({Need.CAPTURE})
QUESTION = Question(__name__, title, asks, Settings, needs, in_run=True)


def compute(given, settings):
    letters = given.store.table("occurrences")["word"].str.len()
    letters, rows = letters[letters >= settings.shortest], []
    for layer in range(given.store.n_layers):
        for part in ("k", "v"):
            norms = given.store.read(part, layer)[letters.index].norm(dim=-1).numpy()
            found = pd.DataFrame(norms, letters.index).corrwith(letters, method="spearman")
            rows += [(layer, head, part, value) for head, value in found.items()]
    return {"summary": pd.DataFrame(rows, columns=["layer", "kv_head", "part", "value"])}


@house_style()
def draw(tables):
    figure, panels = new_panels(2.2, 2)
    for axes, part, name in zip(panels, "kv", ("keys", "values"), strict=True):
        rows = select(tables["summary"], part=part)
        draw_by_layer(rows, lines={"value": Look.of_part(name)}, ax=axes)
    return {"layers": figure}


def describe(tables, settings):
    k, v = tables["summary"].groupby("part")["value"].mean()
    told = f"Mean Spearman correlation of length and norm: {k:.2f} for keys, {v:.2f} for values."
    return Section(title, answer=(told,))
