"""What sharing keys and values costs a model that is trained so, and what buys it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analyses.shared.given import Need
from analyses.shared.question import Question
from analyses.shared.settings import setting


@dataclass(frozen=True)
class TyingSettings:
    """Which models are trained; the text that they are trained on is that of the command."""

    experiments: Literal["smoke", "laptop", "gpu"] = setting(
        "laptop", "Which models: smoke (a minute or two), laptop (under an hour), or gpu."
    )
    tokenizer: str = setting("bytes", "bytes, or the model whose tokenizer is used.")
    seeds: int | None = setting(
        None, "Seeds of every model; none: as many as the experiments have.", at_least=1
    )
    widths: tuple[int, ...] | None = setting(
        None,
        "Three or more widths to fit the factor of parameters on; none: those of the experiments.",
        at_least=1,
    )


QUESTION = Question(
    package=__name__,
    title="Trained with K = V",
    asks="What does sharing keys and values cost a model that is trained so?",
    settings=TyingSettings,
    needs=frozenset({Need.TRAINING, Need.CORPUS}),
    presets={"smoke": {"experiments": "smoke"}, "laptop": {}, "gpu": {"experiments": "gpu"}},
)
