"""What the similarity measures cost, beside matrix products and beside a plain loop.

``python -m benchmarks.similarity`` measures random keys and values of SmolLM2's shape: first how
much of the machine's matrix-product rate the search for all words' neighbours reaches, then every
measure over all heads against a loop over heads and resamples (`benchmarks.similarity_loop`),
timed on a few heads and scaled to all of them. Both must give the same numbers.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmarks import name_kernels, similarity_loop
from benchmarks.similarity_data import D_HEAD, N_KV_HEADS, N_TEMPLATES, Data
from probes.parallel import count_cores, map_threads
from probes.progress import progress_bar
from probes.similarity.angles import principal_angles
from probes.similarity.canonical import canonical_correlations, held_out_canonical_correlations
from probes.similarity.catalogue import ATTENDED, TOPS, find_measure
from probes.similarity.cka import debiased_cka
from probes.similarity.closed_form import closed_form_r2
from probes.similarity.compare import PairComparison
from probes.similarity.divergence import divergence_curve
from probes.similarity.neighbours import (
    find_neighbours,
    mutual_neighbours,
    neighbour_distance_ratio,
)
from probes.similarity.premise import premise_lift
from probes.similarity.resampled import resample_measures
from probes.similarity.tieability import tieability


def over_layers(measure: Callable[[int], list[Tensor]], data: Data) -> list[Tensor]:
    """Measure every layer, one a core, and put the layers in front."""
    found = map_threads(measure, range(len(data.keys)))
    return [torch.stack(part) for part in zip(*found, strict=True)]


def measure_pairs(data: Data) -> list[Tensor]:
    """Cosines and distances of the pairs."""

    def measure(layer: int) -> list[Tensor]:
        comparison = data.compare(layer)
        return [comparison.s_k, comparison.s_v, comparison.d_k, comparison.d_v]

    return over_layers(measure, data)


def measure_ranks(data: Data, pairs: list[Tensor]) -> list[Tensor]:
    """Dissociation ratios and representational similarity in every resample."""
    names = (*(f"dissociation_ratio_{top:.0%}" for top in TOPS), "representational_similarity")
    found = resample_measures(
        PairComparison(*pairs),
        data.pair_weights,
        measures=[find_measure(name) for name in names],
        crossed=False,
    )
    return [found[name][..., 0].movedim(0, -1) for name in names]


def measure_curves(data: Data, pairs: list[Tensor]) -> list[Tensor]:
    """Divergence curves in every resample."""

    def measure(layer: int) -> list[Tensor]:
        curve = divergence_curve(pairs[0][layer], pairs[1][layer], weights=data.pair_weights)
        return [curve.movedim(0, 1)]

    return over_layers(measure, data)


def measure_premise(data: Data, pairs: list[Tensor]) -> list[Tensor]:
    """Premise lifts in every resample."""

    def measure(layer: int) -> list[Tensor]:
        sides = data.attention[:, layer]
        lift = premise_lift(
            pairs[0][layer], *sides, tops=TOPS, attended=ATTENDED, weights=data.pair_weights
        )
        return [lift.movedim(0, 1)]

    return over_layers(measure, data)


def measure_neighbours(data: Data) -> list[Tensor]:
    """Mutual neighbours and both distance ratios, every size, means over words."""

    def measure(layer: int) -> list[Tensor]:
        keys, values = (find_neighbours(x[layer], data.rows) for x in (data.keys, data.values))
        found = (
            mutual_neighbours(keys, values),
            neighbour_distance_ratio(keys, values),
            neighbour_distance_ratio(values, keys),
        )
        return [figure.mean(-1) for figure in found]

    return over_layers(measure, data)


def measure_cka(data: Data) -> list[Tensor]:
    """Debiased CKA, one row per word."""

    def measure(layer: int) -> list[Tensor]:
        sides = (x[layer][:, data.rows].flatten(-2) for x in (data.keys, data.values))
        return [debiased_cka(*sides)]

    return over_layers(measure, data)


def measure_canonical(data: Data) -> list[Tensor]:
    """Canonical correlations, in sample and held out."""

    def measure(layer: int) -> list[Tensor]:
        sides = data.keys[layer], data.values[layer]
        return [
            canonical_correlations(*sides),
            held_out_canonical_correlations(*sides, words=data.words),
        ]

    return over_layers(measure, data)


def measure_tieability(data: Data) -> list[Tensor]:
    """Tieability, held out and in closed form."""

    def measure(layer: int) -> list[Tensor]:
        sides = data.keys[layer], data.values[layer]
        return [tieability(*sides, words=data.words).r2, closed_form_r2(*sides)]

    return over_layers(measure, data)


def measure_angles(data: Data) -> list[Tensor]:
    """Cosines of the principal angles of the weights."""
    return over_layers(
        lambda layer: [principal_angles(data.weights_k[layer], data.weights_v[layer]).cosines], data
    )


@dataclass(frozen=True)
class Task:
    """The same figures by kvprobes for all heads, and by a loop for one: lists of arrays."""

    name: str
    batched: Callable[[], list[Tensor]]
    loop: Callable[[int, int], list[Any]]


def list_tasks(data: Data) -> list[Task]:
    """List all measures; those of pairs start from the pair figures, a task of their own."""
    # Of 6,000 float32 numbers two may be equal; the loop assumes no ties.
    order = torch.arange(data.pair_weights.shape[1]).double() * 1e-10
    pairs = [figure.double() + order for figure in measure_pairs(data)]
    n_resamples = f"{len(data.pair_weights) - 1:,} resamples"
    loop = similarity_loop
    ranked = f"dissociation ratios (1, 5, 10 %), representational similarity, {n_resamples}"
    return [
        Task("pair cosines and distances", partial(measure_pairs, data), partial(loop.pairs, data)),
        Task(ranked, partial(measure_ranks, data, pairs), partial(loop.ranks, data, pairs, TOPS)),
        Task(
            f"divergence curve, {n_resamples}",
            partial(measure_curves, data, pairs),
            partial(loop.curve, data, pairs),
        ),
        Task(
            f"premise lift (1, 5, 10 %), {n_resamples}",
            partial(measure_premise, data, pairs),
            partial(loop.premise, data, pairs, TOPS, ATTENDED),
        ),
        Task(
            "mutual neighbours and distance ratios (5, 10, 20)",
            partial(measure_neighbours, data),
            partial(loop.neighbours, data),
        ),
        Task("debiased CKA", partial(measure_cka, data), partial(loop.cka, data)),
        Task(
            "canonical correlations, in sample and held out",
            partial(measure_canonical, data),
            partial(loop.canonical, data),
        ),
        Task(
            "tieability, held out and closed form",
            partial(measure_tieability, data),
            partial(loop.tieability, data),
        ),
        Task("principal angles", partial(measure_angles, data), partial(loop.angles, data)),
    ]


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of all cores together."""

    clock: float = float("inf")
    cores: float = float("inf")

    def least(self, other: Cost, *, times: float = 1) -> Cost:
        """Take the smaller of both figures, the other's multiplied."""
        return Cost(min(self.clock, other.clock * times), min(self.cores, other.cores * times))

    def __add__(self, other: Cost) -> Cost:
        """Add up."""
        return Cost(self.clock + other.clock, self.cores + other.cores)


def time_call(function: Callable[[], Any]) -> tuple[Cost, Any]:
    """Return what a call cost, and what it gave."""
    start, used = time.perf_counter(), time.process_time()
    result = function()
    return Cost(time.perf_counter() - start, time.process_time() - used), result


def measure_rate(data: Data, *, rounds: int) -> tuple[float, float]:
    """Return operations per second of a square product and of the neighbour search, float32.

    In turns, the fastest of each. Of the search only the products of coordinates count, 2 n^2 d a
    template; square roots, means and the choice of the nearest are its overhead.
    """
    size = 2048
    square = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    sides = [side[None] for x in (data.keys, data.values) for side in x[0]]
    operations = 2 * len(data.rows) ** 2 * D_HEAD * N_TEMPLATES * len(sides)
    search = partial(find_neighbours, rows=data.rows)
    best = [float("inf")] * 2
    for _ in range(rounds):
        cost, _ = time_call(lambda: map_threads(lambda _: square @ square, range(count_cores())))
        best[0] = min(best[0], cost.clock / count_cores())
        # A single product with all threads may be faster than one product per core.
        best[0] = min(best[0], time_call(lambda: square @ square)[0].clock)
        best[1] = min(best[1], time_call(lambda: map_threads(search, sides))[0].clock)
    return 2 * size**3 / best[0], operations / best[1]


@dataclass(frozen=True)
class Row:
    """What one task costs over all heads, and how far the two ways differ at most."""

    name: str
    batched: Cost
    loop: Cost
    difference: float

    def cells(self) -> tuple[str, ...]:
        """Format for a table."""
        return (
            self.name,
            f"{self.batched.clock:,.1f} s",
            f"{self.loop.clock:,.0f} s",
            f"{self.loop.clock / self.batched.clock:,.0f}",
            f"{self.batched.cores:,.1f} s",
            f"{self.loop.cores:,.0f} s",
            f"{self.loop.cores / self.batched.cores:,.0f}",
            f"{self.difference:.0e}",
        )


def run_task(task: Task, heads: list[tuple[int, int]], n_heads: int, *, rounds: int) -> Row:
    """Time both ways in turn, fastest of each; the loop on `heads`, scaled to all.

    The loop's linear algebra has all cores in one round and one core in the next: with many small
    matrices, or when something else runs, one core is often faster.
    """
    batched = loop = Cost()
    difference = 0.0
    for turn in range(rounds):
        cost, found = time_call(task.batched)
        batched = batched.least(cost)
        with threadpool_limits(1 if turn % 2 else count_cores(), user_api="blas"):
            cost, expected = time_call(lambda: [task.loop(*head) for head in heads])
        loop = loop.least(cost, times=n_heads / len(heads))
        for head, figures in zip(heads, expected, strict=True):
            for mine, reference in zip(found, figures, strict=True):
                gap = mine[head].double() - torch.as_tensor(reference).double()
                difference = max(difference, float(gap.abs().nan_to_num(nan=torch.inf).max()))
    return Row(task.name, batched, loop, difference)


def describe_machine() -> str:
    """Name what the figures depend on."""
    versions = " ".join(f"{n} {version(n)}" for n in ("torch", "numpy", "scipy", "scikit-learn"))
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, {versions}; torch with "
        f"{torch.backends.cpu.get_cpu_capability()}, numpy and scipy with {name_kernels()}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--words", type=int, default=3300)
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--loop-heads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    asked = parser.parse_args()
    data = Data.draw(
        n_layers=asked.layers,
        n_words=asked.words,
        n_pairs=asked.pairs,
        resamples=asked.resamples,
    )
    product, search = measure_rate(data, rounds=3 * asked.rounds)
    n_heads = asked.layers * N_KV_HEADS
    heads = [divmod(i * n_heads // asked.loop_heads, N_KV_HEADS) for i in range(asked.loop_heads)]
    tasks = list_tasks(data)
    with progress_bar("Measuring", total=len(tasks), unit="tasks") as advance:
        rows = []
        for task in tasks:
            rows.append(run_task(task, heads, n_heads, rounds=asked.rounds))
            advance(1)
    nothing = Cost(0, 0)
    batched, loop = (sum((getattr(row, n) for row in rows), nothing) for n in ("batched", "loop"))
    rows.append(Row("all", batched, loop, max(row.difference for row in rows)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    title = (
        f"{n_heads} heads, {asked.words:,} words x {N_TEMPLATES} templates, {asked.pairs:,} pairs, "
        f"{asked.resamples:,} resamples; loop timed on {len(heads)} heads and scaled; "
        f"{asked.rounds} rounds; {describe_machine()}"
    )
    rate = (
        f"Matrix product {product / 1e9:,.0f} GFLOP/s, neighbour search of all words "
        f"{search / 1e9:,.0f} GFLOP/s: {search / product:.0%}. Peak memory {peak:.1f} GiB, "
        "the loop's n x n matrices included."
    )
    columns = (
        "measures",
        *("kvprobes", "loop", "ratio"),
        *("kvprobes, core seconds", "loop, core seconds", "ratio of these"),
        "largest difference",
    )
    if asked.markdown:
        lines = [columns, ("---", *["---:"] * 7), *(row.cells() for row in rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        print(f"{title}\n\n{table}\n\n{rate}")
        return
    shown = Table(*columns, title=title, caption=rate)
    for row in rows:
        shown.add_row(*row.cells())
    Console().print(shown)


if __name__ == "__main__":
    main()
