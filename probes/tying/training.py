"""Training one model: AdamW, warm-up and cosine, one batch a step that follows from the step alone.

On one thread of one processor two runs of the same settings give the same bytes, and so does a run
that was killed and resumes from its last checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy

from probes.errors import NonFiniteError, UsageError
from probes.tying.batch import NOT_SCORED, Batch, Task
from probes.tying.checkpoint import Progress, load_checkpoint, save_checkpoint
from probes.tying.score import score
from probes.tying.transformer import Transformer


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes
    ----------
    learning_rate
        At its peak: after a linear warm-up over the first `warmup` of the steps; then a cosine down
        to `final` of it.
    weight_decay
        Of matrices; norms and maps from key to value have none.
    clip
        The longest gradient.
    evaluations
        How often, evenly spread, the validation part is scored and a checkpoint written.
    precision
        ``bfloat16``: the forward pass under autocast, weights and optimiser in float32.
    compiled
        Whether ``torch.compile`` is used.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    warmup: float = 0.05
    final: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    evaluations: int = 10
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.evaluations) < 1 or self.evaluations > self.steps:
            raise UsageError(
                f"{self.steps} steps of {self.batch_size} sequences with {self.evaluations} "
                "evaluations: give at least one of each, and no more evaluations than steps."
            )
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"The learning rate is {self.learning_rate}; give one above 0.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * (self.final + (1 - self.final) * cosine)

    def is_evaluated(self, done: int) -> bool:
        """Whether the model is scored after this many steps."""
        marks = {
            round(self.steps * mark / self.evaluations) for mark in range(1, self.evaluations + 1)
        }
        return done in marks


def train(
    model: Transformer,
    task: Task,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    device: str = "cpu",
    on_step: Callable[[int], None] = lambda _: None,
) -> Progress:
    """Train a model in place.

    Parameters
    ----------
    model
        With its initial weights. Where a whole checkpoint is, they are replaced by those there.
    checkpoint
        A file in which the run is kept at every evaluation; None keeps nothing.
    identity
        What a checkpoint must carry to be gone on from.
    on_step
        Called after every step, and once for those that a checkpoint holds.

    Returns
    -------
    Progress
        The log, one row per evaluation, and the time spent, also that before a kill.

    Raises
    ------
    StoreMismatchError
        If the checkpoint is of another run.
    NonFiniteError
        If the loss is not a number: the learning rate is too high.
    """
    model.to(device)
    optimiser = make_optimiser(model, settings)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        found = load_checkpoint(checkpoint, model, optimiser, identity=identity)
        progress = found or progress
        on_step(progress.step)
    forward: Any = torch.compile(model) if settings.compiled else model
    if not progress.log:
        progress.log.append(_evaluate(model, task, settings, progress.step, math.nan, device))
    model.train()
    began, spent = time.perf_counter(), time.process_time()
    since, total = progress.step, torch.zeros((), device=device)
    for step in range(progress.step, settings.steps):
        batch = task.batch(step, size=settings.batch_size, seed=settings.seed).to(device)
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(step)
        total += take_step(forward, model, optimiser, batch, settings)
        progress.step = step + 1
        if settings.is_evaluated(progress.step):
            mean = total.item() / (progress.step - since)
            if not math.isfinite(mean):
                raise NonFiniteError(
                    f"The loss is {mean} after {progress.step} steps at learning rate "
                    f"{settings.learning_rate:g}; give a lower one."
                )
            progress.log.append(_evaluate(model, task, settings, progress.step, mean, device))
            progress.seconds += time.perf_counter() - began
            progress.processor_seconds += time.process_time() - spent
            began, spent = time.perf_counter(), time.process_time()
            since, total = progress.step, torch.zeros((), device=device)
            if checkpoint is not None:
                save_checkpoint(checkpoint, model, optimiser, progress, identity=identity)
        on_step(1)
    return progress


def take_step(
    forward: Any,
    model: Transformer,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    settings: TrainingSettings,
) -> torch.Tensor:
    """Take one step; returns the mean loss of the batch, in nats per scored token.

    Parameters
    ----------
    forward
        The model, or its compiled twin.
    """
    kind = batch.tokens.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        logits = forward(batch.tokens, batch.source)
    loss = cross_entropy(
        logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=NOT_SCORED
    )
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.detach()


def make_optimiser(model: Transformer, settings: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW that decays matrices only."""
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.ndim == 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim != 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=True
    )


def _evaluate(
    model: Transformer,
    task: Task,
    settings: TrainingSettings,
    step: int,
    train_loss: float,
    device: str,
) -> dict[str, int | float]:
    found = score(model, task.unseen("validation"), device=device, precision=settings.precision)
    return {
        "step": step,
        "learning_rate": settings.rate(max(0, step - 1)),
        "train_nats": train_loss,
        **{f"validation_{name}": value for name, value in asdict(found).items()},
    }
