"""What it costs to read every token of a text: against its peers, and how it grows.

``python -m benchmarks.text`` times the ways to get k and v of one batch, in turn, relative to the
bare trunk; the memory of each, in a process of its own; two Dask workers against one; and how time
grows with tokens, heads and pairs. nnsight is among the ways where it is installed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.capture import Way, cloning, describe_machine, measure, summarise
from probes.capture import TextSettings, capture_text
from probes.capture.moments import LayerMoments
from probes.capture.text_read import MomentReader, TextRunner
from probes.capture.text_windows import Window
from probes.cluster import open_cluster
from probes.memory import return_large_blocks
from probes.models import DEFAULT_MODEL, Model, load_model
from probes.similarity import pair_cosines
from probes.words.tables import data_folder

TRUNK = "bare trunk"
OURS = "kvprobes, moments of q, k, v and x"


def list_ways(model: Model, *, batch: int, length: int) -> list[Way]:
    """List the ways, the bare trunk first."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(100, model.hf.config.vocab_size, (batch, length), generator=draw)
    windows = [Window(tuple(row), 1, n * length) for n, row in enumerate(ids.tolist())]
    bridge: Any = model.bridge

    @torch.inference_mode()
    def run_trunk() -> None:
        model.trunk(input_ids=ids, use_cache=False)

    @torch.inference_mode()
    def run_bridge() -> None:
        bridge.run_with_cache(ids, names_filter=lambda name: name.endswith((".hook_k", ".hook_v")))

    def moments(name: str, *, with_x: bool) -> Way:
        reader = MomentReader(model, key_stage="normed", with_x=with_x)
        runner = TextRunner(reader, shard=0, seed=0)
        return Way(name, lambda: runner.run(windows), reader.attached)

    ways = [
        Way(TRUNK, run_trunk),
        moments("kvprobes, moments of q, k and v", with_x=False),
        moments(OURS, with_x=True),
        Way("plain hooks, all k and v cloned", run_trunk, lambda: cloning(model)),
        Way("transformer-lens `run_with_cache`, k and v", run_bridge),
    ]
    if find_spec("nnsight"):
        ways.append(Way("nnsight trace, k and v saved", trace(model, ids)))
    return ways


def trace(model: Model, ids: torch.Tensor) -> Callable[[], Any]:
    """Save k and v of every layer in one nnsight trace of the trunk (Llama's names)."""
    from nnsight import NNsight

    traced = NNsight(model.trunk)

    @torch.inference_mode()
    def run() -> list[Any]:
        saved = []
        with traced.trace(input_ids=ids, use_cache=False):
            for layer in traced.layers:
                saved.append(layer.self_attn.k_proj.output.save())
                saved.append(layer.self_attn.v_proj.output.save())
        return saved

    return run


def peak_mib() -> float:
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell_memory(name: str, *, batch: int, length: int) -> None:
    """Run one way three times and print this process's peak."""
    if name.startswith("kvprobes"):
        return_large_blocks(1 << 20)
    model = load_model(DEFAULT_MODEL, check=False)
    (way,) = [way for way in list_ways(model, batch=batch, length=length) if way.name == name]
    with way.attach():
        for _ in range(3):
            way.call()
    print(peak_mib())


def measure_memory(names: list[str], *, batch: int, length: int) -> dict[str, float]:
    """Return the peak MiB of every way, each in a process of its own."""
    sizes = ["--batch", str(batch), "--length", str(length)]
    command = [sys.executable, "-m", "benchmarks.text", *sizes, "--memory-of"]
    told = [subprocess.run([*command, name], capture_output=True, check=True) for name in names]
    return {name: float(run.stdout.split()[-1]) for name, run in zip(names, told, strict=True)}


@contextmanager
def text_of(n_bytes: int) -> Iterator[Path]:
    """Give a folder with so much of the shipped text."""
    files = sorted((data_folder() / "text").rglob("*.txt"))
    content = b"\n".join(path.read_bytes() for path in files)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_bytes(content[:n_bytes])
        yield Path(folder)


def measure_workers(n_bytes: int) -> dict[str, float]:
    """Return seconds for one text on one Dask worker, which has one thread, and on two.

    Workers have loaded the model before: a first small text is not timed.
    """
    model = load_model(DEFAULT_MODEL)
    seconds = {}
    settings = TextSettings(x=False, shard_bytes=n_bytes // 8)
    for name, workers in (("one", 1), ("two", 2)):
        with (
            text_of(n_bytes) as text,
            text_of(4000) as small,
            open_cluster("dask", workers=workers, logs=text) as cluster,
        ):
            warm = TextSettings(x=False, shard_bytes=1000)
            capture_text(model, small / "a.txt", small / "out", settings=warm, cluster=cluster)
            start = time.perf_counter()
            capture_text(model, text / "a.txt", text / "out", settings=settings, cluster=cluster)
            seconds[name] = time.perf_counter() - start
    return seconds


def fit_exponent(sizes: list[int], call: Callable[[int], Any]) -> tuple[float, list[float]]:
    """Return the slope of log time over log size, and the fastest of five times each."""
    times = []
    for size in sizes:
        runs = []
        for _ in range(5):
            start = time.perf_counter()
            call(size)
            runs.append(time.perf_counter() - start)
        times.append(min(runs))
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0]), times


def measure_growth() -> list[tuple[str, ...]]:
    """Return how the time of moments grows with tokens and heads, of similarity with pairs."""
    draw = torch.Generator().manual_seed(0)

    def rows(n_tokens: int, heads: int) -> dict[str, torch.Tensor]:
        shape = (n_tokens, heads, 64)
        return {name: torch.randn(shape, generator=draw) for name in ("q", "k", "v")}

    tokens = {n: rows(n, 4) for n in (512, 1024, 2048, 4096)}
    heads = {n: rows(1024, n) for n in (2, 4, 8, 16)}
    vectors = torch.randn(4, 2000, 64, generator=draw)
    pairs = {n: torch.randint(2000, (2, n), generator=draw) for n in (4000, 16000, 64000, 256000)}
    cases = {
        "tokens (moments)": (list(tokens), lambda n: LayerMoments.of(**tokens[n])),
        "heads (moments)": (list(heads), lambda n: LayerMoments.of(**heads[n])),
        "pairs (cosines)": (list(pairs), lambda n: pair_cosines(vectors, *pairs[n])),
    }
    lines = []
    for name, (sizes, call) in cases.items():
        exponent, times = fit_exponent(sizes, call)
        spread = f"{1e3 * times[0]:.1f} to {1e3 * times[-1]:.1f} ms"
        lines.append((name, f"{sizes[0]:,} to {sizes[-1]:,}", spread, f"{exponent:.2f}"))
    return lines


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    lines = [columns, ("---", *["---:"] * (len(columns) - 1)), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default="growth,ways,memory,workers")
    parser.add_argument("--worker-bytes", type=int, default=200_000)
    parser.add_argument("--memory-of", help="print the peak memory of one way")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {"batch": asked.batch, "length": asked.length}
    if asked.memory_of:
        tell_memory(asked.memory_of, **sizes)
        return
    parts = asked.parts.split(",")
    print(f"{DEFAULT_MODEL}, {asked.batch} x {asked.length} tokens; {describe_machine()}\n")
    if "growth" in parts:
        print_table(("grows with", "sizes", "time", "exponent"), measure_growth())
    if "ways" in parts or "memory" in parts:
        ways = list_ways(load_model(DEFAULT_MODEL, check=False), **sizes)
        if "ways" in parts:
            rows = summarise(ways, measure(ways, rounds=asked.rounds))
            print_table(("way", "fastest", "ratio", "median ratio", "quartiles"), rows)
        if "memory" in parts:
            peaks = measure_memory([way.name for way in ways], **sizes)
            table = [(n, f"{p:,.0f}", f"{p - peaks[TRUNK]:+,.0f}") for n, p in peaks.items()]
            print_table(("way", "peak MiB", "beyond the trunk"), table)
    if "workers" in parts:
        seconds = measure_workers(asked.worker_bytes)
        rows = [(n, f"{s:.1f} s", f"{seconds['one'] / s:.2f}") for n, s in seconds.items()]
        print_table(("workers", "time", "against one"), rows)


if __name__ == "__main__":
    main()
