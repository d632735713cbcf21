"""Does it matter whose keys, or whose values? Swaps on minimal pairs of compounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class SwapSettings:
    """Which pairs and templates, and which parts are swapped in single heads."""

    pairs: str = setting("compound_pairs", "A shipped table of pairs, or a file.")
    limit: int | None = setting(160, "Use at most this many pairs; none: all of them.", at_least=1)
    templates: str = setting("2", "How many of the shipped templates, their ids, or a file.")
    scopes: tuple[Literal["all", "layer", "head"], ...] = setting(
        ("all",),
        "Where to swap: everywhere at once, in each layer, in each kv head; the last two are slow.",
    )
    parts_of_heads: tuple[Literal["keys", "values", "both"], ...] = setting(
        ("keys", "values", "both"),
        "What to swap in single heads; in layers and everywhere all three are swapped.",
    )
    batch_size: int = setting(
        32, "Sentence pairs per batch; changes speed, and the last digits.", at_least=1
    )
    resamples: int = setting(300, "Resamples of the words for every interval.", at_least=2)
    seed: int = setting(0, "Seed of every random choice.")


QUESTION = Question(
    package=__name__,
    title="Swaps",
    asks="Which changes more of what follows a word: swapped keys or swapped values?",
    settings=SwapSettings,
    needs=frozenset({Need.MODEL}),
    in_run=True,
    quick={"limit": 40, "templates": "1"},
    presets={
        "quick": {
            "scopes": ("all", "layer", "head"),
            "limit": 24,
            "templates": "1",
            "parts_of_heads": ("keys", "values"),
            "batch_size": 24,
        },
        "full": {"scopes": ("all", "layer", "head")},
    },
)
