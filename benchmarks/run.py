"""What a whole run costs: its phases, beside running its sentences once, and how it grows.

``python -m benchmarks.run`` makes a whole run of a model in this process and tells the time, the
core seconds, the page faults and the peak memory of every phase, and what is left on the disk. The
unit beside it is the plain way: every sentence of the main capture run whole through the bare trunk
once (padded batches of like length, no logits, no hooks), timed on a sample and scaled. Then it
answers two questions on random captures of several sizes, and fits how their core seconds grow.
``--quick`` takes a smaller run and smaller sizes. Core seconds mean the same on a busy machine, if
``OMP_NUM_THREADS`` is 1: else threads that wait for each other count too.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analyses import find_question
from analyses.shared.given import Given
from benchmarks.capture import describe_machine
from benchmarks.run_data import Size, write_random_capture
from benchmarks.text import print_table
from kvprobes.captures.options import CaptureOptions
from kvprobes.runner import run
from probes.capture.batch import join_rows
from probes.capture.store import open_store
from probes.models import DEFAULT_MODEL, Model, load_model

QUICK_PAIRS = 300
BATCH = 128
"""Sentences of a batch in the unit, as in a capture."""

GROWTH: dict[str, dict[str, list[int]]] = {
    "divergence": {
        "pairs": [1_000, 10_000, 100_000],
        "heads": [1, 2, 4, 8],
        "layers": [2, 4, 8],
        "templates": [1, 2, 4],
        "words": [800, 1_600, 3_200],
    },
    "nulls": {
        "pairs": [1_000, 3_000, 10_000],
        "heads": [1, 2, 4],
        "layers": [2, 4, 8],
        "templates": [1, 2, 4],
        "words": [800, 1_600, 3_200],
    },
}
SETTINGS: dict[str, dict[str, Any]] = {
    "divergence": {"resamples": 100},
    "nulls": {"permutations": 100, "pairs": 10**9},
}


@dataclass(frozen=True)
class Spent:
    """What a phase took."""

    clock: float
    core: float
    kernel: float
    faults: int
    peak_mib: float

    @classmethod
    def now(cls) -> Spent:
        """Return what this process has taken so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        core, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        return cls(time.monotonic(), core, used.ru_stime, used.ru_minflt, peak)

    def since(self, before: Spent) -> Spent:
        """Return what was taken since `before`; the peak is that of the process so far."""
        return Spent(
            self.clock - before.clock,
            self.core - before.core,
            self.kernel - before.kernel,
            self.faults - before.faults,
            self.peak_mib,
        )

    def show(self) -> tuple[str, ...]:
        """Return the cells of a row."""
        times = (f"{seconds:,.1f} s" for seconds in (self.clock, self.core, self.kernel))
        return (*times, f"{self.faults / 1e6:,.2f} M", f"{self.peak_mib:,.0f}")


COLUMNS = ("clock", "core", "of it kernel", "page faults", "peak MiB so far")


class Phases:
    """Hears what a run says, and notes what was taken from one sentence to the next."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Spent]] = []
        self._start = self._last = Spent.now()
        self._name = "Start"

    def __call__(self, sentence: str) -> None:
        """Close the phase that was open, and open another."""
        now = Spent.now()
        self.found.append((self._name, now.since(self._last)))
        self._name, self._last = sentence.split(",")[0].split(" /")[0], now

    def close(self) -> list[tuple[str, ...]]:
        """Return the rows of all phases, and their sum."""
        self("")
        whole = Spent.now().since(self._start)
        kept = [(name, spent) for name, spent in self.found if spent.core >= 0.5]
        return [(name, *spent.show()) for name, spent in (*kept, ("**all**", whole))]


def measure_unit(model: Model, folder: Path, *, sample: int) -> tuple[float, float, int, int]:
    """Time the plain way on a sample of batches, and scale it to all tokens.

    Returns
    -------
    Core seconds of all sentences, clock seconds, how many sentences, how many tokens.
    """
    sentences = open_store(folder / "capture").table("queries")["sentence"].unique().tolist()
    ids = sorted(model.tokenizer(sentences)["input_ids"], key=len)
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    chosen = np.linspace(0, len(batches) - 1, min(sample, len(batches))).round().astype(int)
    tokens = 0

    @torch.inference_mode()
    def call(rows: list[list[int]]) -> None:
        padded, mask = join_rows(rows)
        model.trunk(input_ids=padded, attention_mask=mask, use_cache=False)

    call(batches[0])  # warms up
    before = Spent.now()
    for number in dict.fromkeys(chosen.tolist()):
        call(batches[number])
        tokens += sum(map(len, batches[number]))
    spent = Spent.now().since(before)
    share = sum(map(len, ids)) / tokens
    return spent.core * share, spent.clock * share, len(ids), sum(map(len, ids))


def measure_disk(folder: Path) -> list[tuple[str, ...]]:
    """Return MB by what stands in a result folder."""
    found = {
        part.name: sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        for part in sorted(folder.iterdir())
        if part.is_dir()
    }
    found["**all**"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return [(name, f"{size / 1e6:,.1f}") for name, size in found.items() if size > 5e4]


def measure_growth(*, quick: bool) -> list[tuple[str, ...]]:
    """Answer questions on random captures of rising size; fit log core seconds to log size."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for question, ways in GROWTH.items():
            for dimension, sizes in ways.items():
                taken = []
                for size in sizes[:2] if quick else sizes:
                    wanted = replace(Size(), **{dimension: size})
                    # So many pairs need words enough, the same at all of these sizes.
                    if dimension == "pairs":
                        wanted = replace(wanted, words=1_600)
                    store = write_random_capture(Path(place) / f"{question}-{wanted}", wanted)
                    taken.append(_time(question, Given(store=store)))
                slope = float(np.polyfit(np.log(sizes[: len(taken)]), np.log(taken), 1)[0])
                rows.append(
                    (
                        f"{question}, {dimension}",
                        f"{sizes[0]:,} to {sizes[len(taken) - 1]:,}",
                        f"{taken[0]:.1f} to {taken[-1]:.1f} s",
                        f"{slope:.2f}",
                    )
                )
    return rows


def _time(question: str, given: Given) -> float:
    asked = find_question(question)
    settings = asked.settings(**SETTINGS[question])
    return _take(lambda: asked.compute(given, settings))


def _take(call: Callable[[], object]) -> float:
    before = Spent.now()
    call()
    return Spent.now().since(before).core


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, help="a folder, new or not; else a passing one")
    parser.add_argument("--limit", type=int, help="pairs; all unless told")
    parser.add_argument("--sample", type=int, default=6, help="batches of the unit that are timed")
    parser.add_argument("--parts", default="phases,unit,growth")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs, few sizes")
    asked = parser.parse_args()
    limit = asked.limit or (QUICK_PAIRS if asked.quick else None)
    parts = asked.parts.split(",")
    print(f"{asked.model}, {limit or 'all'} pairs; {describe_machine()}\n")
    with tempfile.TemporaryDirectory() as passing:
        folder = asked.out or Path(passing) / "results"
        model = load_model(asked.model)
        if "phases" in parts:
            for title in ("phase", "phase, of a second run"):
                phases = Phases()
                run(CaptureOptions(asked.model, out=folder, limit=limit), model=model, say=phases)
                print_table((title, *COLUMNS), phases.close())
            print_table(("on the disk", "MB"), measure_disk(folder))
        if "unit" in parts:
            core, clock, count, tokens = measure_unit(model, folder, sample=asked.sample)
            print(
                f"The unit, {count:,} sentences of {tokens:,} tokens run whole: {core:,.1f} core "
                f"seconds, {clock:,.1f} s by the clock.\n"
            )
    if "growth" in parts:
        print_table(("grows with", "sizes", "core", "exponent"), measure_growth(quick=asked.quick))


if __name__ == "__main__":
    main()
