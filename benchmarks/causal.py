"""How much the sweep over all heads costs, against a loop of full forwards.

``python -m benchmarks.causal`` replaces the values of every kv head by maps of its keys, one head
at a time, in three ways, and compares their processor time and their results. Layer by layer the
ways take turns, so that a slow spell of the machine hits all alike; on a busy machine, run it with
OMP_NUM_THREADS=1, since threads that wait for each other spend processor time too.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.capture import describe_machine
from probes.causal.edits import Edit, editable_layers, intervening
from probes.causal.losses import Scorer
from probes.causal.substitute import Substitution, fit_at_once, sum_layers
from probes.causal.sweep import Baseline, Sweep
from probes.causal.windows import Windows, cut_windows
from probes.models import DEFAULT_MODEL, Model, load_model
from probes.words import load_corpus

Way = Callable[[Baseline, Sequence[Sequence[Edit]]], Tensor]


def loop_logits(model: Model) -> Way:
    """Run the whole model for each head and take the cross-entropy of its logits."""

    @torch.inference_mode()
    def run(baseline: Baseline, interventions: Sequence[Sequence[Edit]]) -> Tensor:
        batch, sums = baseline.batch, []
        for edits in interventions:
            with intervening(model.geometry, edits):
                logits = model.hf(**batch.inputs, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none"
            )
            sums.append((losses.reshape(len(batch), -1) * batch.scored[:, :-1]).sum(1).double())
        return torch.stack(sums)

    return run


def loop_scorer(model: Model) -> Way:
    """Run the whole model for each head, and score it as the sweep does."""
    scorer = Scorer(model)

    @torch.inference_mode()
    def run(baseline: Baseline, interventions: Sequence[Sequence[Edit]]) -> Tensor:
        sums = []
        for edits in interventions:
            with intervening(model.geometry, edits):
                losses = scorer.score(baseline.batch.ids, baseline.batch.mask)
            sums.append(baseline.sum_rows(losses))
        return torch.stack(sums)

    return run


def measure(
    model: Model, batch: Windows, fit: Substitution, *, rounds: int, every: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return processor seconds [way], and nats per token [way, head].

    Of each layer the fastest round counts; the first round warms up and is thrown away. With
    `every` above 1 only every n-th layer is measured, the middle one of each group, and counts for
    its group.
    """
    sweep = Sweep(model)
    ways: list[Way] = [loop_logits(model), loop_scorer(model), sweep.run]
    places = editable_layers(model.geometry)
    share = len(places)
    places = places[every // 2 :: every]
    share /= len(places)
    seconds = np.full((rounds + 1, len(ways), len(places)), np.nan)
    begun = []
    for turn in range(rounds + 1):
        start = time.process_time()
        baseline = sweep.begin(batch)
        begun.append(time.process_time() - start)
        sums: list[list[Tensor]] = [[] for _ in ways]
        for column, place in enumerate(places if turn else places[-2:]):
            heads = range(model.geometry.layers[place].n_kv_heads)
            interventions = [[fit.edit(place, (head,))] for head in heads]
            for way in random.Random(turn).sample(range(len(ways)), len(ways)):
                start = time.process_time()
                sums[way].append(ways[way](baseline, interventions))
                seconds[turn, way, column] = time.process_time() - start
    total = share * seconds[1:].min(axis=0).sum(axis=1)
    total[2] += min(begun[1:])
    losses = torch.stack([torch.cat(parts) for parts in sums]).sum(2) / batch.scored.sum()
    return total, losses.numpy()


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="measure every n-th layer only")
    asked = parser.parse_args()
    model = load_model(asked.model)
    corpus = load_corpus()
    train = cut_windows(model.tokenizer, corpus.train, length=asked.length, windows=1)
    fit = fit_at_once(sum_layers(model, train, ["keys"]), "keys")
    text = cut_windows(model.tokenizer, corpus.held_out, length=asked.length, windows=1)
    batch = next(text.batches(asked.rows))
    seconds, losses = measure(model, batch, fit, rounds=asked.rounds, every=asked.every)
    print(
        f"{asked.model}, {len(batch)} x {batch.ids.shape[1]} tokens, {losses.shape[1]} heads "
        f"of every {asked.every}. layer, "
        f"fastest of {asked.rounds} rounds; {describe_machine()}\n"
    )
    print("| way | processor seconds | ratio | largest difference, nats per token |")
    print("| --- | ---: | ---: | ---: |")
    names = ("loop: full forward, cross-entropy of the logits", "loop: full forward, our scoring")
    for name, spent, loss in zip((*names, "sweep"), seconds, losses, strict=True):
        difference = np.abs(loss - losses[0]).max()
        print(f"| {name} | {spent:,.1f} | {spent / seconds[0]:.3f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
