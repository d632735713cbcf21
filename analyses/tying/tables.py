"""Tables of the analysis of tying: from finished runs to costs, curves and the factor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probes.stats.jackknife import jackknife_interval
from probes.tying.counts import (
    ATTENTION,
    count_cache,
    count_flops,
    count_parameters,
    count_scaled_parameters,
)
from probes.tying.runs import find_run
from probes.tying.scaling import ScalingFit, fit_scaling
from probes.tying.seeds import SeedSummary, summarise_seeds
from probes.tying.shape import ModelShape
from probes.tying.sweep import Finished

CELL = ["experiment", "task", "positions", "d_model", "d_head"]
REFERENCE = "separate"
MARGIN = 0.01
"""Nats a token that mean nothing."""

CURVE_POINTS = 60
_EARLIER_NAMES = {"r2_mismatched": "r2_mismatched_heads"}
"""Columns of runs that an earlier version trained -> their names now."""


def tabulate_runs(finished: Sequence[Finished]) -> pd.DataFrame:
    """Give every run a row: what it is, what it counts, what came out, and what it took."""
    rows = []
    for run in finished:
        settings, manifest = run.settings, run.manifest
        rows.append(
            {
                **_name_run(run),
                "learning_rate": settings.training.learning_rate,
                "chosen": run.chosen,
                "n_layers": settings.n_layers,
                "n_encoder_layers": settings.n_encoder_layers,
                "d_feedforward": manifest["shape"]["d_feedforward"],
                "steps": settings.training.steps,
                "parameters": sum(manifest["parameters"].values()),
                "scaled_parameters": manifest["scaled_parameters"],
                "validation_nats": manifest["validation"]["nats"],
                "nats": manifest["test"]["nats"],
                "bits_per_byte": manifest["test"]["bits_per_byte"],
                "accuracy": manifest["test"]["accuracy"],
                "seconds": manifest["seconds"],
                "processor_seconds": manifest["processor_seconds"],
            }
        )
    return pd.DataFrame(rows)


def read_runs(root: Path, finished: Sequence[Finished], name: str) -> pd.DataFrame:
    """Read a table (``log``, ``tieability``) of every chosen run, with the run's cell and seed."""
    tables = []
    for run in finished:
        if run.chosen:
            table = pd.read_csv(find_run(root, run.settings).path / f"{name}.csv")
            table = table.rename(columns=_EARLIER_NAMES)
            for place, (column, value) in enumerate(_name_run(run).items()):
                table.insert(place, column, value)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _name_run(run: Finished) -> dict[str, Any]:
    """Name a run's cell, variant and seed."""
    settings = run.settings
    return {
        "experiment": run.experiment,
        "task": settings.task.name,
        "positions": settings.positions,
        "d_model": settings.d_model,
        "d_head": settings.d_head,
        "variant": settings.variant,
        "seed": settings.training.seed,
    }


def tabulate_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Average every cell and variant over seeds: nats, bits per byte, accuracy; t intervals."""
    same = ("parameters", "scaled_parameters", "d_feedforward", "learning_rate")
    rows = []
    for place, mine in _group(runs[runs["chosen"]]):
        row = place | {name: mine[name].iloc[0] for name in same} | {"seeds": len(mine)}
        for name in ("nats", "bits_per_byte", "accuracy"):
            row |= _average(mine[name], name)
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Subtract the separate model's loss, seed by seed, from every variant's of the same cell.

    Returns
    -------
    DataFrame
        The cell, ``variant``, ``value`` in nats per token (above 0: sharing costs), ``ci_low,
        ci_high`` (95 %, seeds), ``p_equivalent`` within `MARGIN`, ``p_different``, ``verdict``,
        ``seeds`` and ``parameters_saved``, a share of the separate model's.
    """
    rows = []
    for place, paired in _pair(runs[runs["chosen"]], "nats"):
        found = summarise_seeds(paired["gap"].to_numpy(dtype=float), margin=MARGIN)
        saved = 1 - paired["parameters"].iloc[0] / paired["parameters_reference"].iloc[0]
        rows.append(place | _describe(found) | {"seeds": len(paired), "parameters_saved": saved})
    return pd.DataFrame(rows)


def tabulate_course(log: pd.DataFrame) -> pd.DataFrame:
    """Follow the cost through training: the same difference at every evaluation (validation)."""
    rows = []
    for step, at in log.groupby("step"):
        for place, paired in _pair(at, "validation_nats"):
            found = summarise_seeds(paired["gap"].to_numpy(dtype=float), margin=MARGIN)
            rows.append(place | {"step": step} | _describe(found))
    return pd.DataFrame(rows).sort_values([*CELL, "variant", "step"], ignore_index=True)


def tabulate_learning(log: pd.DataFrame) -> pd.DataFrame:
    """Average the accuracy on the validation part over seeds, at every evaluation.

    Returns
    -------
    DataFrame
        The cell, ``variant``, ``step``, ``accuracy`` with ``accuracy_low, accuracy_high`` (95 %,
        seeds).
    """
    return pd.DataFrame(
        place | _average(mine["validation_accuracy"], "accuracy")
        for place, mine in _group(log, "step")
    )


def tabulate_scaling(runs: pd.DataFrame, counted: str = "scaled_parameters") -> pd.DataFrame:
    """Fit the scaling curves of an experiment and the factor of parameters that each variant needs.

    Parameters
    ----------
    counted
        ``scaled_parameters`` (attention and feed-forward) or ``parameters`` (all).

    Returns
    -------
    DataFrame
        ``variant``, ``counted``, ``value`` (the factor) with ``ci_low, ci_high`` (95 %: log factor,
        jackknife over seeds), ``least, most`` (the factor without each width in turn: what the
        form of the curve leaves open), ``floor``, ``scale``, ``exponent``, ``residual``.
    """
    chosen = runs[runs["chosen"]]
    names = [REFERENCE, *(name for name in dict.fromkeys(chosen["variant"]) if name != REFERENCE)]
    whole = _fit(chosen, names, counted)
    without_seed = [_fit(part, names, counted).factors for part in _leave_out(chosen, "seed")]
    logs = jackknife_interval(np.log(whole.factors), np.log(np.stack(without_seed)))
    without_width = np.full((1, len(names)), np.nan)
    if chosen["d_model"].nunique() > 3:
        fits = [_fit(part, names, counted).factors for part in _leave_out(chosen, "d_model")]
        without_width = np.stack(fits)
    rows = []
    for number, name in enumerate(names):
        rows.append(
            {
                "variant": name,
                "counted": counted,
                "value": whole.factors[number],
                "ci_low": np.exp(logs[0][number]),
                "ci_high": np.exp(logs[1][number]),
                "least": without_width[:, number].min(),
                "most": without_width[:, number].max(),
                "floor": whole.floor,
                "scale": whole.scale,
                "exponent": whole.exponent,
                "residual": whole.residual,
            }
        )
    return pd.DataFrame(rows)


def tabulate_curves(scaling: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return points on the fitted curves, over the sizes that each variant has."""
    tables = []
    for row in scaling.to_dict("records"):
        mine = cells[cells["variant"] == row["variant"]][row["counted"]]
        points = np.geomspace(mine.min(), mine.max(), CURVE_POINTS)
        nats = row["floor"] + row["scale"] * (points / row["value"]) ** -row["exponent"]
        tables.append(
            pd.DataFrame(
                {
                    "variant": row["variant"],
                    "counted": row["counted"],
                    "parameters": points,
                    "nats": nats,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def tabulate_tieability(tieability: pd.DataFrame) -> pd.DataFrame:
    """Average tieability over a model's heads, then over seeds, before and after training.

    Returns
    -------
    DataFrame
        The cell, ``variant``, ``when`` (untrained, trained, trained - untrained), ``measure`` (r2,
        r2_mismatched_heads, excess), ``value, ci_low, ci_high`` (95 %, seeds).
    """
    keys = [*CELL, "variant", "when", "seed"]
    measures = ["r2", "r2_mismatched_heads", "excess"]
    means = tieability.groupby(keys, sort=False)[measures].mean().reset_index()
    rows = []
    for place, mine in _group(means):
        for measure in measures:
            before, after = (
                mine[mine["when"] == when].sort_values("seed")[measure].to_numpy(dtype=float)
                for when in ("untrained", "trained")
            )
            if not (np.isfinite(before).all() and np.isfinite(after).all()):
                continue
            for when, numbers in (
                ("untrained", before),
                ("trained", after),
                ("trained - untrained", after - before),
            ):
                found = summarise_seeds(numbers)
                bounds = {"value": found.value, "ci_low": found.low, "ci_high": found.high}
                rows.append(place | {"when": when, "measure": measure} | bounds)
    return pd.DataFrame(rows)


def tabulate_counts(shapes: dict[str, ModelShape]) -> pd.DataFrame:
    """Count every variant exactly at one shape.

    Returns
    -------
    DataFrame
        ``variant``; every part of `count_parameters`; ``attention``, ``scaled``, ``total``;
        ``cache`` (numbers per token) and ``flops`` (a token of a full window, forward); and of
        query, key and value, attention, attention with feed-forward, and the model, the share that
        the variant saves against separate projections.
    """
    rows = []
    for name, shape in shapes.items():
        counts = count_parameters(shape)
        row: dict[str, Any] = {"variant": name, "d_feedforward": shape.d_feedforward, **counts}
        row["query_key_value"] = sum(counts[part] for part in ("queries", "keys", "values"))
        row["attention"] = sum(counts[part] for part in ATTENTION)
        row["scaled"] = count_scaled_parameters(shape)
        row["total"] = sum(counts.values())
        row["cache"] = count_cache(shape)["self"]
        row["flops"] = count_flops(shape, tokens=shape.length) / shape.length
        rows.append(row)
    table = pd.DataFrame(rows)
    base = table[table["variant"] == REFERENCE].iloc[0]
    for name in ("query_key_value", "attention", "scaled", "total", "cache", "flops"):
        table[f"saved_{name}"] = 1 - table[name] / base[name]
    return table


def _fit(runs: pd.DataFrame, names: list[str], counted: str) -> ScalingFit:
    return fit_scaling(
        runs[counted].to_numpy(dtype=float),
        runs["nats"].to_numpy(dtype=float),
        np.array([names.index(name) for name in runs["variant"]]),
    )


def _leave_out(runs: pd.DataFrame, column: str) -> list[pd.DataFrame]:
    values = sorted(runs[column].unique())
    return [runs[runs[column] != value] for value in values] if len(values) > 1 else [runs]


def _group(table: pd.DataFrame, *more: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield every cell and variant (and whatever more is named) with its rows."""
    columns = [*CELL, "variant", *more]
    for place, rows in table.groupby(columns, sort=False):
        yield dict(zip(columns, place, strict=True)), rows


def _average(numbers: pd.Series[Any], name: str) -> dict[str, float]:
    """Average over seeds, with the t interval; NaN where a number is missing."""
    if numbers.isna().any():
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    found = summarise_seeds(numbers.to_numpy(dtype=float))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _pair(runs: pd.DataFrame, column: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each cell's and variant's runs beside the separate model's of the same seeds."""
    for place, cell in runs.groupby(CELL, sort=False):
        reference = cell[cell["variant"] == REFERENCE]
        for variant in dict.fromkeys(cell["variant"]):
            if variant == REFERENCE:
                continue
            paired = cell[cell["variant"] == variant].merge(
                reference, on="seed", suffixes=("", "_reference"), validate="one_to_one"
            )
            paired["gap"] = paired[column] - paired[f"{column}_reference"]
            yield dict(zip(CELL, place, strict=True)) | {"variant": variant}, paired


def _describe(found: SeedSummary) -> dict[str, Any]:
    return {
        "value": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_equivalent": found.p_equivalent,
        "p_different": found.p_different,
        "verdict": found.verdict,
    }
