"""What a model loses when values are made from keys: the test of K = V by intervention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting

Kind = Literal["keys", "other keys", "random_slice", "mean", "clamp", "reverse"]
"""See `probes.causal.substitute.KINDS`."""


@dataclass(frozen=True)
class SubstitutionSettings:
    """How much text is read, and which substitutions are tried.

    Every kind is tried in every layer and everywhere.
    """

    length: int = setting(128, "Tokens of a window.", at_least=2)
    train_windows: int = setting(8, "Windows of each document to fit maps on.", at_least=1)
    test_windows: int = setting(1, "Windows of each held-out document to test on.", at_least=1)
    test_documents: int | None = setting(
        None, "Held-out documents to test on, evenly spread; none: all of them.", at_least=1
    )
    head_kinds: tuple[Kind, ...] = setting(
        ("keys", "mean", "other keys", "random_slice", "clamp", "reverse"),
        "Kinds to try in every single kv head too.",
    )
    ordered_kinds: tuple[Kind, ...] = setting(
        ("keys", "mean", "other keys", "random_slice", "reverse"),
        "Kinds to fit in order too: layer by layer, on what the layers below have become.",
    )
    ranks: tuple[int, ...] = setting(
        (1, 2, 4, 8, 16, 32),
        "How many directions of the keys may be used: points of a curve.",
        at_least=1,
    )
    batch_size: int = setting(
        16, "Windows per batch; changes speed, and the last digits.", at_least=1
    )
    resamples: int = setting(1000, "Resamples of the documents for every interval.", at_least=2)
    seed: int = setting(0, "Of the random slices and the resamples.")


QUESTION = Question(
    package=__name__,
    title="Substitution",
    asks="What does a model lose when its values are made from its keys?",
    settings=SubstitutionSettings,
    needs=frozenset({Need.MODEL, Need.CORPUS}),
    uses=frozenset({Need.HEADS}),
    presets={
        "quick": {
            "length": 40,
            "train_windows": 4,
            "test_documents": 12,
            "head_kinds": ("keys", "mean"),
            "ordered_kinds": ("keys",),
            "ranks": (1, 8, 32),
        },
        "full": {},
    },
)
