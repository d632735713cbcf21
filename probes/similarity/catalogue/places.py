"""Where a figure is measured: in which space, over which words or pairs."""

from __future__ import annotations

from typing import Literal

Space = Literal["raw", "centred", "functional"]

SPACES: dict[Space, str] = {
    "raw": "the vectors as they are",
    "centred": "less their mean over the words of a template",
    "functional": "centred, and measured as the model itself tells vectors apart",
}
"""Space -> what it is."""

WORD_PAIRS, RANDOM_PAIRS, OCCURRENCES = "word pairs", "random pairs", "occurrences"
POPULATIONS: dict[str, str] = {
    WORD_PAIRS: "the pairs of the table: two words that are before the same head word",
    RANDOM_PAIRS: "random pairs of the captured words",
    OCCURRENCES: "all captured words, not in pairs",
}
"""Population -> what it is."""

Part = Literal["keys", "values"]
PARTS: dict[Part, tuple[str, str]] = {"keys": ("#332288", "o"), "values": ("#DDAA33", "s")}
"""Keys or values -> colour and marker in every figure (of Tol's schemes, as they are no
conditions)."""

TOPS = (0.01, 0.05, 0.10)
"""The shares p of the pairs with the most similar keys."""

EXCESS = "excess_tieability_vs_"
"""Before the name of a null: how far tieability is above it."""

ATTENDED = 0.25
"""The share of the attention weights that counts as high."""
