"""The trials of the analysis of substitution: which there are, their maps, and their losses.

Finished parts are kept as `analyses.shared.resumable.FinishedParts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.shared.resumable import FinishedParts
from probes.causal.edits import Edit, editable_layers
from probes.causal.maps import AffineMap
from probes.causal.substitute import (
    Substitution,
    Summing,
    fit_at_once,
    fit_in_order,
    sum_layers,
)
from probes.causal.sweep import Baseline, Sweep
from probes.causal.windows import Windows
from probes.progress import progress_bar

if TYPE_CHECKING:
    from analyses.substitution import SubstitutionSettings
    from probes.models.model import Model


@dataclass(frozen=True)
class Trial:
    """One substitution somewhere: what is put where, and where it is kept."""

    scope: str
    kind: str
    fit: str = "at once"
    layer: int = -1
    kv_head: int = -1
    rank: int = -1
    directions: str = ""

    @property
    def fit_name(self) -> str:
        """The name of its maps."""
        rank = f"-{self.directions}-{self.rank}" if self.directions else ""
        return f"{self.kind.replace(' ', '-')}-{self.fit.replace(' ', '-')}{rank}"

    def edits(self, fits: dict[str, Substitution], places: list[int]) -> list[Edit]:
        """Return its edits."""
        fit = fits[self.fit_name]
        if self.scope == "all":
            return [fit.edit(place) for place in places]
        return [fit.edit(self.layer, None if self.kv_head < 0 else (self.kv_head,))]


def list_trials(model: Model, kinds: list[str], settings: SubstitutionSettings) -> Iterator[Trial]:
    """List what is tried: everywhere, in each layer, in each kv head."""
    for kind in kinds:
        yield Trial("all", kind)
        if kind in settings.ordered_kinds:
            yield Trial("all", kind, "in order")
    yield from _list_ranked(settings)
    for place in editable_layers(model.geometry):
        for kind in kinds:
            yield Trial("layer", kind, layer=place)
        for head in range(model.geometry.layers[place].n_kv_heads):
            for kind in kinds:
                if kind in settings.head_kinds:
                    yield Trial("head", kind, layer=place, kv_head=head)


def _list_ranked(settings: SubstitutionSettings) -> Iterator[Trial]:
    """List the substitutions that may use this many directions of the keys."""
    for directions in ("top", "best"):
        for rank in settings.ranks:
            yield Trial("all", "keys", rank=rank, directions=directions)


def fit_trials(
    model: Model,
    train: Windows,
    kinds: list[str],
    settings: SubstitutionSettings,
    parts: FinishedParts,
    *,
    resumes: bool,
) -> tuple[dict[str, Substitution], pd.DataFrame]:
    """Fit all maps, or read those that are kept."""
    reading: dict[str, Any] = {"batch_size": settings.batch_size, "seed": settings.seed}

    @cache
    def sum_up() -> dict[int, Summing]:
        with progress_bar("Fitting maps", total=len(train), unit="windows") as advance:
            return sum_layers(model, train, kinds, on_batch=advance, **reading)

    def recall(trial: Trial, fit: Callable[[], Substitution]) -> bool:
        """Read a trial's maps or fit them; says whether they were there."""
        fitted = []

        def make() -> dict[str, Any]:
            fitted.append(fit())
            return _pack(fitted[0])

        tensors = parts.tensors(f"fit-{trial.fit_name}", make)
        fits[trial.fit_name] = _unpack(trial.kind, tensors, settings.seed)
        return not fitted

    def fit_everywhere(trial: Trial) -> Substitution:
        limits: dict[str, Any] = {}
        if trial.directions:
            limits = {"rank": trial.rank, "directions": trial.directions}
        return fit_at_once(sum_up(), trial.kind, seed=settings.seed, **limits)

    fits: dict[str, Substitution] = {}
    for trial in [*(Trial("all", kind) for kind in kinds), *_list_ranked(settings)]:
        recall(trial, partial(fit_everywhere, trial))
    r2 = parts.table("r2", lambda: _tabulate_r2(model, sum_up()))
    ordered = [Trial("all", kind, "in order") for kind in kinds if kind in settings.ordered_kinds]
    n_layers = len(editable_layers(model.geometry))
    with progress_bar("Fitting in order", total=len(ordered) * n_layers, unit="layers") as advance:
        for trial in ordered:
            fit = partial(fit_in_order, model, train, trial.kind, resumes=resumes, **reading)
            if recall(trial, partial(fit, on_layer=advance)):
                advance(n_layers)
    return fits, r2


def _pack(fit: Substitution) -> dict[str, Any]:
    return {
        f"{name}.{place}": getattr(found, name)
        for place, found in fit.maps.items()
        for name in ("weights", "bias")
    }


def _unpack(kind: str, tensors: dict[str, Any], seed: int) -> Substitution:
    places = sorted({int(name.rpartition(".")[2]) for name in tensors})
    return Substitution(
        kind, {p: AffineMap(tensors[f"weights.{p}"], tensors[f"bias.{p}"]) for p in places}, seed
    )


def _tabulate_r2(model: Model, sums: dict[int, Summing]) -> pd.DataFrame:
    """Tabulate how much of each head's values its keys tell, in the functional metric."""
    rows = []
    for place, summing in sums.items():
        found = summing.explained(model.geometry.value_metric(place))
        rows += [
            {"layer": place, "kv_head": head, "r2_text": float(value)}
            for head, value in enumerate(found)
        ]
    return pd.DataFrame(rows)


def run_trials(
    sweep: Sweep,
    test: Windows,
    plan: list[Trial],
    fits: dict[str, Substitution],
    settings: SubstitutionSettings,
    parts: FinishedParts,
) -> pd.DataFrame:
    """Try everything on every batch of held-out text, one finished part a batch and layer."""
    batches = list(test.batches(settings.batch_size))
    tables: list[pd.DataFrame] = []
    places = editable_layers(sweep.geometry)
    by_layer: dict[int, list[Trial]] = {}
    for trial in plan:
        by_layer.setdefault(trial.layer, []).append(trial)
    with progress_bar("Replacing", total=len(plan) * len(batches), unit="trials") as advance:
        for number, batch in enumerate(batches):
            begun: list[Baseline] = []
            for layer, trials in by_layer.items():

                def make(
                    trials: list[Trial] = trials,
                    batch: Windows = batch,
                    begun: list[Baseline] = begun,
                ) -> pd.DataFrame:
                    if not begun:
                        begun.append(sweep.begin(batch))
                    return _try(sweep, begun[0], trials, fits, places)

                name = f"losses-{number:04d}-{'all' if layer < 0 else f'{layer:03d}'}"
                tables.append(parts.table(name, make))
                advance(len(trials))
    whole = pd.concat(tables, ignore_index=True)
    sums = ["loss", "plain", "tokens"]
    keys = [column for column in whole.columns if column not in sums]
    return whole.groupby(keys, sort=False, as_index=False)[sums].sum()


def _try(
    sweep: Sweep,
    baseline: Baseline,
    trials: list[Trial],
    fits: dict[str, Substitution],
    places: list[int],
) -> pd.DataFrame:
    """Try some substitutions on one batch; the unchanged model's losses are beside them."""
    losses = sweep.run(baseline, [trial.edits(fits, places) for trial in trials])
    batch = baseline.batch
    frame = pd.DataFrame(
        {
            "document": batch.document,
            "tokens": batch.scored.sum(dim=1).numpy(),
            "plain": baseline.sum_rows(baseline.losses).numpy(),
        }
    )
    parts = []
    for trial, loss in zip(trials, losses, strict=True):
        by_document = frame.assign(loss=loss.numpy()).groupby("document", as_index=False).sum()
        parts.append(by_document.assign(**asdict(trial)))
    return pd.concat(parts, ignore_index=True)
