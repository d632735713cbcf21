"""How much slower a model is while it is being read.

``python -m benchmarks.capture`` runs the same batch in five ways, in turn, and prints the time of
each relative to the bare trunk.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from probes.capture.batch import BatchRunner
from probes.capture.plan import TokenSequence
from probes.capture.read import Enough, Reader
from probes.models import DEFAULT_MODEL, Model, load_model
from probes.words.align import TokenSpan

N_READ = 16
"""Word occurrences per sequence; its last token is the query."""


@dataclass(frozen=True)
class Way:
    """One way to run the batch: what is attached (untimed) and what is called (timed)."""

    name: str
    call: Callable[[], Any]
    attach: Callable[[], AbstractContextManager[Any]] = nullcontext


class FullReader(Reader):
    """Reads the same, but lets the model finish its last layer, as the alternatives do."""

    def on_attention(self, *args: Any) -> None:
        """Read, and go on."""
        with suppress(Enough):
            super().on_attention(*args)


def draw_batch(model: Model, *, batch: int, length: int) -> list[TokenSequence]:
    """Draw sequences of random ids with occurrences spread over each."""
    generator = random.Random(0)
    positions = np.linspace(1, length - 2, N_READ).astype(int).tolist()
    vocabulary = range(100, model.hf.config.vocab_size)
    return [
        TokenSequence(
            ids=tuple(generator.choices(vocabulary, k=length)),
            prefix_length=0,
            occurrences=tuple((slot, TokenSpan(at, at)) for slot, at in enumerate(positions)),
            queries=((row, length - 1, positions[0]),),
        )
        for row in range(batch)
    ]


def list_ways(model: Model, sequences: list[TokenSequence]) -> list[Way]:
    """List the ways, the bare trunk first."""
    ids = torch.tensor([sequence.ids for sequence in sequences], device=model.device)
    bridge: Any = model.bridge
    early = BatchRunner(model, key_stage="normed")
    full = BatchRunner(model, key_stage="normed")
    full._reader = FullReader(model, site=model.geometry.site, key_stage="normed")

    @torch.inference_mode()
    def run_trunk() -> None:
        model.trunk(input_ids=ids, use_cache=False)

    @torch.inference_mode()
    def run_bridge() -> None:
        bridge.run_with_cache(ids, names_filter=lambda name: name.endswith((".hook_k", ".hook_v")))

    return [
        Way("bare trunk", run_trunk),
        Way("kvprobes, last layer run to its end", lambda: full.run(sequences), full.attached),
        Way("kvprobes, as it is (ends early)", lambda: early.run(sequences), early.attached),
        Way("plain hooks, all k and v cloned", run_trunk, lambda: cloning(model)),
        Way("transformer-lens `run_with_cache`, k and v", run_bridge),
    ]


@contextmanager
def cloning(model: Model) -> Iterator[None]:
    """Copy every key and value, at all positions, by plain hooks."""
    kept: dict[int, torch.Tensor] = {}

    def keep(module: torch.nn.Module, _args: Any, output: torch.Tensor) -> None:
        kept[id(module)] = output.clone()

    with ExitStack() as stack:
        for layer in model.geometry.layers:
            for module in {layer.key.module, layer.value.module}:
                stack.callback(module.register_forward_hook(keep).remove)
        yield


def measure(ways: list[Way], *, rounds: int) -> np.ndarray[Any, Any]:
    """Return seconds [round, way]; the first round warms up and is thrown away.

    Each round goes through the ways in another order, so that a slow spell hits none in particular.
    """
    seconds = np.zeros((rounds + 1, len(ways)))
    for turn, row in enumerate(seconds):
        for index in random.Random(turn).sample(range(len(ways)), len(ways)):
            with ways[index].attach():
                start = time.perf_counter()
                ways[index].call()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                row[index] = time.perf_counter() - start
    return seconds[1:]


def summarise(ways: list[Way], seconds: np.ndarray[Any, Any]) -> list[tuple[str, ...]]:
    """Return name, fastest time and its ratio to the bare trunk's, median ratio and quartiles.

    What else runs on a machine can only slow a way down, so the fastest times compare best; the
    ratios within the rounds show how much a single comparison is worth.
    """
    fastest = seconds.min(axis=0)
    ratios = seconds / seconds[:, :1]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75], axis=0)
    return [
        (
            way.name,
            f"{1e3 * fastest[index]:,.0f} ms",
            f"{fastest[index] / fastest[0]:.3f}",
            f"{middle[index]:.3f}",
            f"{low[index]:.3f} to {high[index]:.3f}",
        )
        for index, way in enumerate(ways)
    ]


def describe_machine() -> str:
    """Name what the figures depend on."""
    versions = " ".join(f"{n} {version(n)}" for n in ("torch", "transformers", "transformer-lens"))
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    asked = parser.parse_args()
    model = load_model(asked.model, device=asked.device)
    ways = list_ways(model, draw_batch(model, batch=asked.batch, length=asked.length))
    rows = summarise(ways, measure(ways, rounds=asked.rounds))
    columns = ("way", "fastest", "ratio", "median ratio", "quartiles")
    title = (
        f"{asked.model}, {asked.batch} x {asked.length} tokens, {model.hf.dtype}, {asked.device}, "
        f"{asked.rounds} rounds; {describe_machine()}"
    )
    if asked.markdown:
        lines = [columns, ("---", *["---:"] * 4), *rows]
        print(f"{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
