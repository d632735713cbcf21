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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.inference import show
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.co_attended.choose import choose_in_sentences
from probes.similarity.co_attended.contributions import Contributions, contribute
from probes.similarity.co_attended.figures import PairFigures, find_range
from probes.stats.clusters import Clusters, RatioEstimate
from probes.words.pairs import load_pairs
from probes.words.topics import number_topics

DATA_SETS = 50
"""Data sets a round: they share a graph, and are measured as heads of one layer."""

DOCUMENTS = 30
BAND = (0.93, 0.97)


@dataclass(frozen=True)
class Graph:
    """Pairs of words, and the topic of each word."""

    left: Tensor
    right: Tensor
    topic: Tensor

    @property
    def n_words(self) -> int:
        return len(self.topic)


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
FIGURES = (
    ("own", "key_percentile"),
    ("own", "difference"),
    ("own", "key_lift_5%"),
    ("own", "quadrant"),
    ("own", "key_gap"),
    ("own - another head", "key_percentile"),
)


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


def draw_layer(graph: Graph, effects: Effects, seed: int) -> Contributions:
    """Draw data sets of one law, as heads, and measure them by the analysis' own code."""
    generator = torch.Generator().manual_seed(seed)
    n_topics = int(graph.topic.max()) + 1

    def draw() -> Tensor:
        word = effects.word * torch.randn(DATA_SETS, graph.n_words, generator=generator)
        topic = effects.topic * torch.randn(DATA_SETS, n_topics, generator=generator)
        word = word + topic[:, graph.topic]
        noise = effects.noise * torch.randn(DATA_SETS, len(graph.left), generator=generator)
        spread = (2 * effects.word**2 + 2 * effects.topic**2 + effects.noise**2) ** 0.5
        return (word[:, graph.left] + word[:, graph.right] + noise) / spread

    keys, values, attention, other = (draw() for _ in range(4))
    gaps = [torch.exp(-0.5 * side) for side in (keys, values)]
    figures = PairFigures(keys, values, *gaps)
    own, elsewhere = (
        effects.follows * (share * keys + share / 2 * values) + attended
        for share, attended in ((1.0, attention), (0.5, other))
    )
    units = len(graph.left)
    return contribute(
        figures.rank(torch.zeros(units, dtype=torch.long)),
        {
            "own": choose_in_sentences(own, own),
            "mismatched_heads": choose_in_sentences(elsewhere, elsewhere),
        },
        n_heads=DATA_SETS,
        unit=torch.arange(units),
        n_units=units,
    )


def read_figures(layer: Contributions) -> dict[tuple[str, str], RatioEstimate]:
    """Make the estimates of `FIGURES`, [data set]."""
    found = {}
    for selection, statistic in FIGURES:
        estimate = RatioEstimate.of(*layer.find("own", statistic))
        if selection != "own":
            estimate = estimate - RatioEstimate.of(*layer.find("mismatched_heads", statistic))
        found[selection, statistic] = estimate
    return found


def hold_ranks(layer: Contributions) -> RatioEstimate:
    """Estimate the key percentile as if the ranks of the chosen pairs were given."""
    above, below = layer.find("own", "key_percentile")
    inside = below > 0
    return RatioEstimate.of(above.where(inside, 0.0), below)


def count_pairs(graph: Graph, effects: Effects, seed: int, truth: dict) -> Iterator[tuple]:
    """Yield for each figure and kind of interval which data sets hold the truth."""
    layer = draw_layer(graph, effects, seed)
    both = Clusters.of_pairs(graph.left, graph.right, topic=graph.topic)
    words = Clusters.of_pairs(graph.left, graph.right)
    for figure, estimate in read_figures(layer).items():
        low, high = find_range(figure[1]) if figure[0] == "own" else (-100.0, 100.0)
        for kind, clusters in (("words and topics", both), ("words alone", words)):
            ends = clusters.interval(estimate, low=low, high=high)
            yield figure, kind, (ends[0] <= truth[figure]) & (ends[1] >= truth[figure])


def find_truth(graph: Graph, effects: Effects, seed: int, rounds: int) -> dict:
    """Average the figures over other data sets of the same law."""
    drawn = [read_figures(draw_layer(graph, effects, seed + place)) for place in range(rounds)]
    return {
        figure: float(torch.cat([one[figure].observed for one in drawn]).mean())
        for figure in drawn[0]
    }


def count_documents(skew: float, effect: float, seed: int) -> Tensor:
    """Say for 500 data sets whether the interval over documents holds the truth.

    Documents choose between few and many pairs (lognormal, `skew`), and have effects of their own.
    """
    random = np.random.default_rng(seed)
    size = np.ceil(20 * np.exp(skew * random.standard_normal((500, DOCUMENTS))))
    level = 65 + effect * random.standard_normal(size.shape) ** 2 - effect
    mean = level + 29 / np.sqrt(size) * random.standard_normal(size.shape)
    estimate = RatioEstimate.of(torch.from_numpy(size * mean), torch.from_numpy(size))
    low, high = Clusters.of_documents(DOCUMENTS).interval(estimate, low=0.0, high=100.0)
    return (low <= 65) & (high >= 65)


def simulate(*, quick: bool, seed: int) -> list[tuple[str, ...]]:
    """Run all cases; return the lines of the table."""
    rounds, before = (2, 2) if quick else (12, 40)
    lines = []
    cases = [(graph, effects) for graph in GRAPHS for effects in EFFECTS]
    with progress_bar("Simulating", total=len(cases), unit="cases") as advance:
        for name, law in cases:
            graph, effects = make_graph(name), EFFECTS[law]
            truth = find_truth(graph, effects, 1_000_003 + seed, before)

            def run(number: int, graph=graph, effects=effects, truth=truth) -> list:
                return list(count_pairs(graph, effects, seed + number, truth))

            held: dict = {}
            for counts in map_threads(run, range(rounds)):
                for figure, kind, inside in counts:
                    held.setdefault((figure, kind), []).append(inside)
            for (figure, kind), parts in held.items():
                inside = torch.cat(parts)
                lines.append((name, law, " ".join(figure), kind, inside))
            advance(1)
    for skew, effect in ((0.3, 3.0), (1.0, 3.0), (0.3, 10.0), (1.0, 10.0)):
        inside = count_documents(skew, effect, seed)
        law = f"sizes spread by {skew}, levels by {effect:.0f}"
        lines.append((f"{DOCUMENTS} documents", law, "own key_percentile", "documents", inside))
    return [(*line[:4], *_tell(line[4])) for line in lines]


def _tell(inside: Tensor) -> tuple[str, str]:
    rate = float(inside.double().mean())
    error = (rate * (1 - rate) / len(inside)) ** 0.5
    outside = max(BAND[0] - rate, rate - BAND[1])
    verdict = "yes" if outside <= 0 else "within error" if outside <= 2 * error else "no"
    return f"{rate:.3f}", verdict


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    asked = parser.parse_args()
    start = time.perf_counter()
    lines = simulate(quick=asked.quick, seed=asked.seed)
    print(f"{time.perf_counter() - start:,.0f} s")
    for line in lines:
        print(" | ".join(line))


if __name__ == "__main__":
    main()
