"""Do intervals by clusters hold the truth? A simulation on the real graph of pairs, and on texts.

``python -m benchmarks.coverage`` draws similarities and attention of known law over the shipped
pairs of words (or a part of them, or pairs with hubs), chooses pairs by attention as the analysis
of co-attended words does, and counts how often a 95 % interval holds what many data sets average
to. Words may have effects of their own, and so may topics (WordNet's fields), on what is alike and
on what is attended to.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from benchmarks.inference import show
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.co_attended.choose import choose_in_sentences
from probes.similarity.co_attended.contributions import contribute
from probes.similarity.co_attended.figures import STATISTICS, PairFigures, find_range
from probes.stats.clusters import Clusters, RatioEstimate
from probes.words.pairs import load_pairs
from probes.words.topics import number_topics

DATA_SETS = 50
"""Data sets per round: they share a graph, and are measured as heads of one layer."""

DOCUMENTS = 30
BAND = (0.93, 0.97)


@dataclass(frozen=True)
class Graph:
    """Pairs of words, and the topic of each word."""

    left: Tensor
    right: Tensor
    topic: Tensor


@dataclass(frozen=True)
class Effects:
    """Standard deviations of what words, topics and single pairs add, and what attention follows.

    `follows` is the correlation of attention with the similarity of keys; that with the similarity
    of values is half of it.
    """

    word: float
    topic: float
    noise: float = 1.0
    follows: float = 0.4


GRAPHS = ("the shipped pairs", "400 of them", "hubs")
EFFECTS = {
    "pairs independent": Effects(0, 0),
    "words": Effects(0.5, 0),
    "words, strong": Effects(1.0, 0, noise=0.3),
    "words and topics": Effects(0.3, 0.3),
    "topics, strong": Effects(0.3, 0.6, noise=0.5),
}
Figure = tuple[str, str]
Counts = dict[tuple[str, str], Tensor]

EXCESS = "own - another head"
FIGURES: tuple[Figure, ...] = (
    ("own", "key_percentile"),
    ("own", "difference"),
    ("own", "key_lift_5%"),
    ("own", "quadrant"),
    ("own", "key_gap"),
    (EXCESS, "key_percentile"),
)
HELD: Figure = ("ranks held fixed, own", "key_percentile")
"""The same figure as if ranks did not come from the pairs themselves: not to be used."""


def make_graph(name: str) -> Graph:
    """Make one of `GRAPHS`; a pair that comes twice is one."""
    pairs = load_pairs("compound_pairs")
    random = np.random.default_rng(0)
    if name == "400 of them":
        pairs = pairs.sample(400, random_state=1)
    names = sorted({*pairs["m1"], *pairs["m2"]})
    number = {word: place for place, word in enumerate(names)}
    sides = [pairs[side].map(number).to_numpy() for side in ("m1", "m2")]
    if name == "hubs":  # a few words in hundreds of pairs, most in one or two
        often = random.permutation(1 / np.arange(5, len(names) + 5))
        sides = [random.choice(len(names), len(pairs), p=often / often.sum()) for _ in range(2)]
    both = np.sort(np.stack(sides), axis=0)
    both = np.unique(both[:, both[0] != both[1]], axis=1)
    left, right = (torch.from_numpy(side) for side in both)
    return Graph(left, right, number_topics(names))


def draw_layer(graph: Graph, effects: Effects, seed: int) -> dict[Figure, RatioEstimate]:
    """Draw data sets of one law, as heads, and measure them by the analysis' own code."""
    generator = torch.Generator().manual_seed(seed)
    n_topics, units = int(graph.topic.max()) + 1, len(graph.left)

    def draw() -> Tensor:
        word = effects.word * torch.randn(DATA_SETS, len(graph.topic), generator=generator)
        topic = effects.topic * torch.randn(DATA_SETS, n_topics, generator=generator)
        word = word + topic[:, graph.topic]
        noise = effects.noise * torch.randn(DATA_SETS, units, generator=generator)
        spread = (2 * effects.word**2 + 2 * effects.topic**2 + effects.noise**2) ** 0.5
        return (word[:, graph.left] + word[:, graph.right] + noise) / spread

    keys, values, attention, other = (draw() for _ in range(4))
    own, elsewhere = (
        choose_in_sentences(weight, weight)
        for weight in (
            effects.follows * (keys + values / 2) + attention,
            effects.follows * (keys / 2 + values / 2) + other,
        )
    )
    gaps = [torch.exp(-0.5 * side) for side in (keys, values)]
    ranked = PairFigures(keys, values, *gaps).rank(torch.zeros(units, dtype=torch.long))
    layer = contribute(
        ranked,
        {"own": own, "mismatched_heads": elsewhere},
        n_heads=DATA_SETS,
        unit=torch.arange(units),
        n_units=units,
    )
    found = {}
    for figure in FIGURES:
        selection, statistic = figure
        found[figure] = RatioEstimate.of(*layer.find("own", statistic))
        if selection != "own":
            found[figure] -= RatioEstimate.of(*layer.find("mismatched_heads", statistic))
    percentile = ranked.statistics[STATISTICS.index("key_percentile")]
    found[HELD] = RatioEstimate.of(own * percentile, own)
    return found


def count_pairs(graph: Graph, effects: Effects, seed: int, truth: dict[Figure, float]) -> Counts:
    """Say for each figure and kind of interval which data sets hold the truth."""
    both = Clusters.of_pairs(graph.left, graph.right, topic=graph.topic)
    words = Clusters.of_pairs(graph.left, graph.right)
    counts = {}
    for figure, estimate in draw_layer(graph, effects, seed).items():
        selection, statistic = figure
        low, high = find_range(statistic) if selection != EXCESS else (-100.0, 100.0)
        kinds = {"": both} if selection != "own" else {"": both, ", words alone": words}
        for kind, clusters in kinds.items():
            if kind and statistic != "key_percentile":
                continue
            ends = clusters.interval(estimate, low=low, high=high)
            held = (ends[0] <= truth[figure]) & (ends[1] >= truth[figure])
            counts[f"{selection} {statistic}", kind] = held
    return counts


def find_truth(graph: Graph, effects: Effects, seed: int, rounds: int) -> dict[Figure, float]:
    """Average the figures over other data sets of the same law."""
    drawn = [draw_layer(graph, effects, seed + place) for place in range(rounds)]
    return {
        figure: float(torch.cat([one[figure].observed for one in drawn]).mean())
        for figure in drawn[0]
    }


def count_documents(skew: float, effect: float, seed: int) -> Tensor:
    """Say for 1,000 data sets whether the interval over documents holds the truth.

    Documents choose between few and many pairs (lognormal, `skew`), and have effects of their own,
    which are skewed too.
    """
    random = np.random.default_rng(seed)
    size = np.ceil(20 * np.exp(skew * random.standard_normal((1000, DOCUMENTS))))
    level = 65 + effect * (random.exponential(size=size.shape) - 1)
    mean = level + 29 / np.sqrt(size) * random.standard_normal(size.shape)
    estimate = RatioEstimate.of(torch.from_numpy(size * mean), torch.from_numpy(size))
    low, high = Clusters.of_documents(DOCUMENTS).interval(estimate, low=0.0, high=100.0)
    return (low <= 65) & (high >= 65)


def simulate(*, quick: bool, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """Run all cases; return the lines of the table, each with its section."""
    rounds, before = (2, 4) if quick else (12, 30)
    lines = []
    cases = [(name, law) for name in GRAPHS for law in EFFECTS]
    with progress_bar("Simulating", total=len(cases), unit="cases") as advance:
        for name, law in cases:
            graph, effects = make_graph(name), EFFECTS[law]
            truth = find_truth(graph, effects, 1_000_003 + seed, before)
            count = partial(count_pairs, graph, effects, truth=truth)
            drawn = map_threads(count, range(seed, seed + rounds))
            for figure, kind in drawn[0]:
                inside = torch.cat([counts[figure, kind] for counts in drawn])
                known = kind == "" and not figure.startswith(HELD[0])
                lines.append((name, _tell(figure, law + kind, inside, judged=known)))
            advance(1)
    for skew, effect in ((0.3, 3.0), (1.0, 3.0), (0.3, 10.0), (1.0, 10.0)):
        inside = count_documents(skew, effect, seed)
        law = f"sizes spread by {skew}, levels by {effect:.0f}"
        line = _tell("own key_percentile", law, inside, judged=True)
        lines.append((f"{DOCUMENTS} documents", line))
    return lines


def _tell(figure: str, setting: str, inside: Tensor, *, judged: bool) -> tuple[str, ...]:
    rate = float(inside.double().mean())
    error = (rate * (1 - rate) / len(inside)) ** 0.5
    outside = max(BAND[0] - rate, rate - BAND[1])
    verdict = "yes" if outside <= 0 else "within error" if outside <= 2 * error else "**no**"
    band = "{:.3f} to {:.3f}".format(*BAND) if judged else ""
    return figure, setting, f"{rate:.3f}", f"{error:.3f}", band, verdict if judged else ""


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    asked = parser.parse_args()
    used = time.process_time()
    lines = simulate(quick=asked.quick, seed=asked.seed)
    print(f"seed {asked.seed}; {time.process_time() - used:,.0f} s of processor time")
    for section, members in groupby(lines, key=lambda line: line[0]):
        show(section, [line for _, line in members], markdown=asked.markdown)


if __name__ == "__main__":
    main()
