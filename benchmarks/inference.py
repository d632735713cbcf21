"""Do the tests and intervals keep what they promise? A simulation on data of known truth.

``python -m benchmarks.inference`` draws keys and values whose dependence is known, over pairs that
share words as the real ones do, and counts: how often a test at the 5 % level rejects where nothing
is there, how often a 95 % interval holds the truth, and how often a real effect is found.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import groupby

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import inference_intervals as intervals
from benchmarks import inference_nulls as nulls
from benchmarks import simulated
from benchmarks.cases import PERMUTATIONS, RESAMPLES, Case, Round
from benchmarks.simulated import PAIRS, WORDS
from probes.parallel import map_threads, one_core_operations
from probes.progress import progress_bar

PLAN: tuple[tuple[Round, int, int], ...] = (
    (nulls.count_false_alarms, 1000, 20),
    (nulls.count_in_strata, 400, 10),
    (nulls.count_discoveries, 120, 3),
    (intervals.count_covered, 40, 2),
    (intervals.count_differences, 100, 2),
    (intervals.count_means, 40, 4),
    (intervals.count_tieability, 40, 2),
)
"""Round, and how many of it in the full and in the quick simulation."""


@dataclass(frozen=True)
class Line:
    """A line of the table: how often the case happened, and the error of that share."""

    case: Case
    rate: float
    error: float
    rounds: int

    def judge(self) -> str:
        """Say whether the rate is in its band, or no more than two errors outside."""
        if self.case.band is None:
            return ""
        low, high = self.case.band
        outside = max(low - self.rate, self.rate - high)
        if outside <= 0:
            return "yes"
        return "within error" if outside <= 2 * self.error else "**no**"


@one_core_operations()
def simulate(*, quick: bool, seed: int) -> list[Line]:
    """Run all rounds; the same seed gives the same table on any number of cores."""
    jobs = [
        (function, seed * 1_000_003 + 10_007 * place + number)
        for place, (function, full, few) in enumerate(PLAN)
        for number in range(few if quick else full)
    ]
    for effect in (0.0, 0.15, 0.3, 0.45, 0.5, 0.6, 0.8, 0.9):
        simulated.find_truth(effect)  # once, before threads ask for it
    with progress_bar("Simulating", total=len(jobs), unit="rounds") as advance:
        counted = map_threads(lambda job: job[0](job[1]), jobs, on_done=advance)
    collected: dict[Case, list[Tensor]] = {}
    for counts in counted:
        for case, happened in counts.items():
            collected.setdefault(case, []).append(happened.mean())
    lines = []
    for case, shares in collected.items():
        rates = torch.stack(shares)
        # Data sets of one round share their pairs, so the error comes from the rounds.
        error = float(rates.std() / len(rates) ** 0.5) if len(rates) > 1 else float("nan")
        lines.append(Line(case, float(rates.mean()), error, len(rates)))
    return sorted(lines, key=lambda line: (line.case.section, line.case.figure))


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's run; bands are not judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    asked = parser.parse_args()
    start, used = time.perf_counter(), time.process_time()
    lines = simulate(quick=asked.quick, seed=asked.seed)
    title = (
        f"{PAIRS:,} pairs of {WORDS:,} words, {PERMUTATIONS} permutations, {RESAMPLES} resamples"
    )
    title += f", seed {asked.seed}; {time.perf_counter() - start:,.0f} s, "
    title += f"{time.process_time() - used:,.0f} s of processor time"
    if asked.markdown:
        print(title)
    for section, members in groupby(lines, key=lambda line: line.case.section):
        rows = [
            (
                line.case.figure,
                line.case.setting,
                f"{line.rate:.3f}",
                f"{line.error:.3f}",
                "{:.3f} to {:.3f}".format(*line.case.band) if line.case.band else "",
                "" if asked.quick else line.judge(),
            )
            for line in members
        ]
        show(section, rows, markdown=asked.markdown)


def show(section: str, rows: list[tuple[str, ...]], *, markdown: bool) -> None:
    """Print one table."""
    columns = ("figure", "setting", "rate", "error", "band", "inside")
    if markdown:
        lines = (columns, ("---", "---", "---:", "---:", "---", "---"), *rows)
        print(f"\n### {section[0].upper() + section[1:]}\n")
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    table = Table(*columns, title=section)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
