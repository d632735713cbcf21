"""The experiments of ``kvprobes tie``: a smoke test, what a laptop can do, what a GPU should."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from probes.tying.runs import TaskSettings
from probes.tying.sweep import Experiment
from probes.tying.training import TrainingSettings
from probes.tying.variants import VARIANTS

if TYPE_CHECKING:
    from analyses.tying import TyingSettings

ALL = tuple(VARIANTS)
MAIN = ("separate", "tied", "tied_wide")
RECALL = TaskSettings("recall", options=(("items", 8), ("cues", 8), ("keys", 16), ("values", 16)))
COMPLETION = TaskSettings(
    "completion", options=(("items", 8), ("cues", 8), ("ring", 64), ("reach", 2))
)
TRANSLATION = TaskSettings(
    "translation", options=(("words", 16), ("lexicon", 64), ("followers", 16))
)


def _training(steps: int, batch_size: int, *, evaluations: int = 10) -> TrainingSettings:
    """Return training settings; experiments set the learning rate."""
    return TrainingSettings(steps, batch_size, learning_rate=1e-2, evaluations=evaluations)


def _text(
    training: TrainingSettings,
    widths: tuple[int, ...],
    rates: tuple[float, ...],
    seeds: int,
    *,
    middle: int,
    narrow: int,
    fewer_seeds: int,
    fewer_rates: tuple[float, ...],
    length: int = 128,
    d_head: int = 16,
    n_layers: int = 2,
) -> tuple[Experiment, ...]:
    """Return the three experiments on text; what they have in common is trained once."""
    scaling = Experiment(
        name="scaling",
        task=TaskSettings(length=length),
        variants=MAIN,
        widths=widths,
        training=training,
        rates=rates,
        seeds=seeds,
        d_heads=(d_head,),
        n_layers=n_layers,
    )
    variants = replace(
        scaling,
        name="variants",
        variants=ALL,
        widths=(middle,),
        rates=fewer_rates,
        seeds=fewer_seeds,
    )
    positions = replace(
        scaling,
        name="positions",
        variants=("separate", "tied"),
        widths=(narrow,),
        seeds=fewer_seeds,
        positions=("rotary", "learned"),
    )
    return scaling, variants, positions


def _synthetic(
    name: str,
    task: TaskSettings,
    training: TrainingSettings,
    seeds: int,
    *,
    variants: tuple[str, ...] = ALL,
    width: int = 32,
    d_heads: tuple[int, ...] = (16,),
    rates: tuple[float, ...] = (5e-3, 1e-2),
) -> Experiment:
    """Return an experiment of one layer without positions."""
    return Experiment(
        name=name,
        task=task,
        variants=variants,
        widths=(width,),
        training=training,
        rates=rates,
        seeds=seeds,
        positions=("none",),
        d_heads=d_heads,
        n_layers=1,
    )


def _translation(training: TrainingSettings, seeds: int) -> Experiment:
    return replace(
        _synthetic("translation", TRANSLATION, training, seeds, variants=(*MAIN, "all_tied")),
        positions=("learned",),
        d_heads=(8,),
        n_encoder_layers=1,
    )


PRESETS: dict[str, tuple[Experiment, ...]] = {
    "smoke": (
        *_text(
            _training(20, 4, evaluations=2),
            (16, 32, 48, 64),
            (1e-2,),
            2,
            middle=32,
            narrow=16,
            fewer_seeds=2,
            fewer_rates=(1e-2,),
            length=32,
        ),
        _synthetic("recall", RECALL, _training(20, 16, evaluations=2), 2, rates=(1e-2,)),
        _synthetic("completion", COMPLETION, _training(20, 16, evaluations=2), 2, rates=(1e-2,)),
        _translation(_training(20, 16, evaluations=2), 2),
    ),
    "laptop": (
        *_text(
            _training(1500, 4),
            (32, 48, 64, 96),
            (3e-3, 6e-3, 1.2e-2),
            3,
            middle=64,
            narrow=32,
            fewer_seeds=3,
            fewer_rates=(3e-3, 6e-3),
        ),
        _synthetic("recall", RECALL, _training(800, 64), 3),
        _synthetic("completion", COMPLETION, _training(200, 64), 3, rates=(1e-2,)),
        _synthetic("recall_narrow", RECALL, _training(800, 64), 3, width=12, d_heads=(4,)),
        _translation(_training(600, 32), 3),
    ),
    "gpu": (
        *_text(
            replace(_training(20_000, 64, evaluations=40), precision="bfloat16", compiled=True),
            (128, 256, 384, 512, 768),
            (5e-4, 1e-3, 2e-3),
            5,
            middle=384,
            narrow=128,
            fewer_seeds=3,
            fewer_rates=(5e-4, 1e-3),
            length=512,
            d_head=64,
            n_layers=8,
        ),
        _synthetic("recall", RECALL, _training(3200, 64), 5),
        _synthetic("completion", COMPLETION, _training(400, 64), 5),
        _synthetic("recall_narrow", RECALL, _training(800, 64), 5, width=12, d_heads=(4,)),
        _translation(_training(2000, 64), 5),
    ),
}
"""Name -> its experiments. ``gpu`` wants text of your own: it would memorise the shipped 183 kB."""


def choose_experiments(settings: TyingSettings, *, source: str) -> tuple[Experiment, ...]:
    """Return the experiments that the settings ask for.

    Parameters
    ----------
    source
        The text, as `probes.words.load_corpus` takes it.
    """

    def change(experiment: Experiment) -> Experiment:
        changes: dict[str, Any] = {}
        if experiment.task.name == "text":
            changes["task"] = replace(experiment.task, source=source, tokens=settings.tokenizer)
        if experiment.name == "scaling" and settings.widths is not None:
            changes["widths"] = settings.widths
        if settings.seeds is not None:
            changes["seeds"] = settings.seeds
        return replace(experiment, **changes)

    return tuple(map(change, PRESETS[settings.experiments]))
