"""What a study takes, before anything is run: tokens, hours and disk, by rules of thumb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvprobes.study.plan import Study, StudyModel
from probes.words.pairs import load_pairs
from probes.words.templates import choose_templates

TOKENS = 11
"""Tokens of a sentence of the shipped templates, on average."""

PASSES = 3.0
"""Capture, coordinations, running text and swaps, in forward passes over the captured sentences."""

CPU, GPU = 4e11, 1e14
"""Floating-point operations per second: two cores (a run of the default model took about ten
minutes with them), and one data-centre GPU at a third of its peak."""

BYTES = 2 * 3
"""A coordinate of keys, values and input, in bfloat16."""


@dataclass(frozen=True)
class Cost:
    """What one model takes; hours and disk are None where its size is not given."""

    tokens: int
    cpu_hours: float | None
    gpu_hours: float | None
    gigabytes: float | None


def estimate_cost(study: Study, model: StudyModel) -> Cost:
    """Estimate one model: 2 operations a parameter and token; width and depth follow its size.

    A transformer of N parameters and L layers is about 100 L wide, so N is about 120,000 L³
    (Kaplan et al. 2020, "Scaling laws for neural language models", figure 5).
    """
    table = load_pairs(study.capture.pairs or "compound_pairs", limit=study.capture.limit)
    if study.capture.split is not None and "split" in table:
        table = table[table["split"] == study.capture.split]
    sentences = 2 * len(table) * len(choose_templates(study.capture.templates or "3"))
    tokens = sentences * TOKENS
    if not model.parameters:
        return Cost(tokens, None, None, None)
    work = 2 * model.parameters * tokens * PASSES
    layers = (model.parameters / 120_000) ** (1 / 3)
    gigabytes = sentences * layers * 100 * layers * BYTES / 1e9
    return Cost(tokens, work / CPU / 3600, work / GPU / 3600, gigabytes)


def estimate_costs(study: Study) -> Iterator[str]:
    """Say what every model takes, and all of them."""
    total = 0
    for model in study.models:
        cost = estimate_cost(study, model)
        total += cost.tokens
        told = f"{model.title}: {cost.tokens:,} tokens"
        if cost.cpu_hours is None:
            told += "; give its parameters for hours and disk"
        else:
            told += (
                f", about {cost.cpu_hours:.1f} h on two cores or {cost.gpu_hours:.2f} h on a GPU, "
                f"{cost.gigabytes:.1f} GB on disk"
            )
        yield told
    yield (
        f"In all {len(study.models)} models, {total:,} tokens captured. These are rules of thumb, "
        "not bounds."
    )
