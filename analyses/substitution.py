"""What a model loses when values are made from keys: the test of K = V by intervention.

``compute`` replaces values (or keys) head by head, layer by layer and everywhere while the model
reads held-out text, and measures the rise of its cross-entropy; ``draw`` draws the tables. As a
script: ``python -m analyses.substitution --preset quick``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.tables.rises import (
    tabulate_geometry,
    tabulate_heads,
    tabulate_ranks,
    tabulate_rises,
)
from analyses.units import Units
from probes.causal.edits import Edit, editable_layers
from probes.causal.maps import AffineMap
from probes.causal.substitute import (
    Substitution,
    Summing,
    fit_at_once,
    fit_in_order,
    list_kinds,
    sum_layers,
)
from probes.causal.sweep import Baseline, Sweep
from probes.causal.windows import Windows, cut_windows
from probes.errors import UsageError
from probes.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from probes.models.model import Model
    from probes.words.texts import Corpus

NAME = "substitution"


@dataclass(frozen=True)
class SubstitutionSettings:
    """How much text is read, and which substitutions are tried.

    ``length`` tokens a window; ``train_windows`` and ``test_windows`` a document;
    ``test_documents`` of the held-out ones (None: all), spread evenly. ``head_kinds`` are tried in
    every single kv head, all kinds in every layer and everywhere; ``ordered_kinds`` are also fitted
    in order. ``ranks`` are the points of the curve.
    """

    length: int = 128
    train_windows: int = 8
    test_windows: int = 1
    test_documents: int | None = None
    head_kinds: tuple[str, ...] = ("keys", "mean", "other keys", "slice", "clamp", "reverse")
    ordered_kinds: tuple[str, ...] = ("keys", "mean", "other keys", "slice", "reverse")
    ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    batch_size: int = 16
    resamples: int = 1000
    seed: int = 0


PRESETS = {
    "quick": SubstitutionSettings(
        length=40,
        train_windows=4,
        test_documents=12,
        head_kinds=("keys", "mean"),
        ordered_kinds=("keys",),
        ranks=(1, 8, 32),
    ),
    "full": SubstitutionSettings(),
}


def compute(
    model: Model,
    corpus: Corpus,
    *,
    settings: SubstitutionSettings | None = None,
    folder: Path | None = None,
    divergence_heads: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Fit and try every substitution.

    Parameters
    ----------
    model
        A causal language model.
    corpus
        Text to fit on and text to test on.
    folder
        Where finished parts are kept; a run that was killed goes on from them.
    divergence_heads
        The table ``heads`` of `analyses.divergence`, if there is one: its measures of each head are
        correlated with what replacing the head's values costs.

    Returns
    -------
    ``summary``
        ``scope`` (head, layer, all), ``kind``, ``fit`` (at once, in order), ``rise`` in nats a
        token with ``ci_low, ci_high`` over documents, ``recovered`` = 1 - rise / rise of mean
        ablation, with its interval. For single heads and layers: means over them.
    ``heads``, ``layers``
        The same for every kv head and layer, with ``r2_text``, the R^2 of the fit from keys to
        values in the functional metric, on the training text.
    ``ranks``
        ``directions`` (top, best), ``rank``, and the same figures, all layers at once.
    ``geometry``
        ``measure, cost, value, ci_low, ci_high``: Spearman correlations over kv heads.
    ``documents``
        Summed losses of every substitution and document, from which all else follows.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """
    settings = settings or SubstitutionSettings()
    sweep = Sweep(model)
    train, test = cut_text(model, corpus, settings)
    units = Units(folder, describe_inputs(model, corpus, settings))
    kinds = list_kinds(model.geometry.layers)
    fits, r2 = _fit(model, train, kinds, settings, units, resumes=sweep.resumes)
    plan = list(_plan(model, kinds, settings))
    losses = _measure(sweep, test, plan, fits, settings, units)
    names = [document.name for document in _choose(corpus, settings)]
    losses["document"] = [names[number] for number in losses["document"]]
    tables = {
        "summary": tabulate_rises(losses, resamples=settings.resamples, seed=settings.seed),
        "heads": tabulate_heads(
            losses, "head", r2, resamples=settings.resamples, seed=settings.seed
        ),
        "layers": tabulate_heads(
            losses, "layer", r2, resamples=settings.resamples, seed=settings.seed
        ),
        "ranks": tabulate_ranks(losses, resamples=settings.resamples, seed=settings.seed),
        "geometry": tabulate_geometry(
            losses, r2, divergence_heads, resamples=settings.resamples, seed=settings.seed
        ),
        "documents": losses,
    }
    for table in tables.values():
        table.insert(0, "model", model.name)
    return tables


def describe_inputs(
    model: Model, corpus: Corpus, settings: SubstitutionSettings | None = None
) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "weights": model.weights_hash,
        "config": model.origin.get("config_hash"),
        "corpus": corpus.hash,
        "settings": asdict(settings or SubstitutionSettings()),
    }


def cut_text(
    model: Model, corpus: Corpus, settings: SubstitutionSettings
) -> tuple[Windows, Windows]:
    """Return the windows to fit on and those to test on."""
    train = cut_windows(
        model.tokenizer, corpus.train, length=settings.length, windows=settings.train_windows
    )
    test = cut_windows(
        model.tokenizer,
        _choose(corpus, settings),
        length=settings.length,
        windows=settings.test_windows,
    )
    return train, test


def _choose(corpus: Corpus, settings: SubstitutionSettings) -> list[Any]:
    """Return the documents to test on, spread evenly over those held out."""
    found, wanted = corpus.held_out, settings.test_documents
    if wanted is None or wanted >= len(found):
        return list(found)
    return [found[number * len(found) // wanted] for number in range(wanted)]


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


def _plan(model: Model, kinds: list[str], settings: SubstitutionSettings) -> Iterator[Trial]:
    """List what is tried: everywhere, in each layer, in each kv head."""
    for kind in kinds:
        yield Trial("all", kind)
        if kind in settings.ordered_kinds:
            yield Trial("all", kind, "in order")
    for directions in ("top", "best"):
        for rank in settings.ranks:
            yield Trial("all", "keys", rank=rank, directions=directions)
    for place in editable_layers(model.geometry):
        for kind in kinds:
            yield Trial("layer", kind, layer=place)
        for head in range(model.geometry.layers[place].n_kv_heads):
            for kind in kinds:
                if kind in settings.head_kinds:
                    yield Trial("head", kind, layer=place, kv_head=head)


def _fit(
    model: Model,
    train: Windows,
    kinds: list[str],
    settings: SubstitutionSettings,
    units: Units,
    *,
    resumes: bool,
) -> tuple[dict[str, Substitution], pd.DataFrame]:
    """Fit all maps, or read those that are kept."""
    wanted = [Trial("all", kind) for kind in kinds] + [
        Trial("all", "keys", rank=rank, directions=directions)
        for directions in ("top", "best")
        for rank in settings.ranks
    ]
    fits: dict[str, Substitution] = {}
    for trial in wanted:
        kept = units.find_tensors(f"fit-{trial.fit_name}")
        if kept is not None:
            fits[trial.fit_name] = _unpack(trial.kind, kept, settings.seed)
    r2 = units.find_table("r2")
    if len(fits) < len(wanted) or r2 is None:
        with progress_bar("Fitting maps", total=len(train), unit="windows") as advance:
            sums = sum_layers(
                model,
                train,
                kinds,
                batch_size=settings.batch_size,
                seed=settings.seed,
                on_batch=advance,
            )
        for trial in wanted:
            limits: dict[str, Any] = {"rank": trial.rank, "directions": trial.directions}
            fit = fit_at_once(
                sums, trial.kind, seed=settings.seed, **(limits if trial.directions else {})
            )
            fits[trial.fit_name] = fit
            units.keep_tensors(f"fit-{trial.fit_name}", _pack(fit))
        r2 = units.table("r2", lambda: _tabulate_r2(model, sums))
    ordered = [Trial("all", k, "in order") for k in kinds if k in settings.ordered_kinds]
    n_layers = len(editable_layers(model.geometry))
    total = len(ordered) * n_layers
    with progress_bar("Fitting in order", total=total, unit="layers") as advance:
        for trial in ordered:
            kept = units.find_tensors(f"fit-{trial.fit_name}")
            if kept is not None:
                fits[trial.fit_name] = _unpack(trial.kind, kept, settings.seed)
                advance(n_layers)
                continue
            fit = fit_in_order(
                model,
                train,
                trial.kind,
                resumes=resumes,
                batch_size=settings.batch_size,
                seed=settings.seed,
                on_layer=advance,
            )
            fits[trial.fit_name] = fit
            units.keep_tensors(f"fit-{trial.fit_name}", _pack(fit))
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


def _measure(
    sweep: Sweep,
    test: Windows,
    plan: list[Trial],
    fits: dict[str, Substitution],
    settings: SubstitutionSettings,
    units: Units,
) -> pd.DataFrame:
    """Try everything on every batch of held-out text, one finished part a batch and layer."""
    batches = list(test.batches(settings.batch_size))
    parts: list[pd.DataFrame] = []
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
                parts.append(units.table(name, make))
                advance(len(trials))
    whole = pd.concat(parts, ignore_index=True)
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
    """Try some substitutions on one batch; the unchanged model's losses stand beside them."""
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


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw what comes back, head by head and as a curve over ranks, from the tables alone."""
    from analyses.figures.substitution import draw_geometry, draw_heads, draw_summary

    return {
        "summary": draw_summary(tables["summary"], tables["ranks"]),
        "heads": draw_heads(tables["heads"], tables["layers"]),
        "geometry": draw_geometry(tables["heads"], tables["geometry"]),
    }


def choose_settings(preset: str, *, seed: int = 0) -> SubstitutionSettings:
    """Return the settings of a preset, ``quick`` or ``full``.

    Raises
    ------
    UsageError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; give {' or '.join(PRESETS)}.")
    return replace(PRESETS[preset], seed=seed)


if __name__ == "__main__":
    from analyses.causal_script import run_substitution

    run_substitution()
