"""Kill every stage at random moments, and see that the next run ends with the bytes of a whole one.

``python -m benchmarks.kills --kills 60`` takes a tiny random model and about half an hour. Each
stage runs in a process of its own, which is killed (SIGKILL) a random moment after it began; then
it runs to its end. Every file must be that of a run that nothing disturbed, and nothing may be left
aside. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.report.page import write_report
from kvprobes.results import ResultFolder
from kvprobes.runner import answer
from kvprobes.session import Session
from kvprobes.study.comparison import write_comparison
from probes.files import ASIDE
from tests.tiny import tiny_model
from tests.tying.examples import make_run, write_text

PASSING = "manifest.json"
"""Of a model of tie, which says how long training took."""


def list_stages(place: Path) -> dict[str, Callable[[Path], object]]:
    """Return what is killed, each stage on what the ones before it left."""
    from probes.tying.runs import run_once

    model = tiny_model("llama", n_layers=2)
    model.hf.save_pretrained(place / "model")
    model.tokenizer.save_pretrained(place / "model")
    training = make_run(write_text(place / "text"), steps=200, evaluations=50)

    def options(out: Path) -> CaptureOptions:
        return CaptureOptions(
            str(place / "model"), "seed_pairs", "2", out=out / "tiny", limit=40, batch_size=4
        )

    def capture(out: Path) -> None:
        capture_pairs(Session(ResultFolder(out / "tiny"), model=model), options(out))

    def ask(question: str, out: Path, **settings: object) -> None:
        answer(question, Session(ResultFolder(out / "tiny"), model=model), **settings)

    return {
        "capture": capture,
        "divergence": partial(ask, "divergence", resamples=30),
        "weights": partial(ask, "weights"),
        "premise": partial(ask, "premise", resamples=30),
        "report": lambda out: write_report(ResultFolder(out / "tiny")),
        "compare": lambda out: write_comparison([ResultFolder(out / "tiny")], out / "compared"),
        "tie": lambda out: run_once(out / "tie", training),
    }


def start(stage: Callable[[Path], object], out: Path) -> int:
    """Run a stage in a process of its own; return the process."""
    child = os.fork()
    if not child:
        with Path(os.devnull).open("w") as silence:
            os.dup2(silence.fileno(), 2)
            stage(out)
        os._exit(0)
    return child


def hash_folder(folder: Path) -> dict[str, str]:
    """Return the hash of every file that must be the same."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not ("tie" in path.parts and path.name == PASSING)
    }


def main() -> int:
    """Kill, compare and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        stages = list_stages(place)
        whole, killed = place / "whole", place / "killed"
        for title, stage in stages.items():
            began = time.perf_counter()
            os.waitpid(start(stage, whole), 0)
            seconds = time.perf_counter() - began
            for _ in range(-(-arguments.kills // len(stages))):
                child = start(stage, killed)
                time.sleep(draw.uniform(0, seconds))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            status = os.waitpid(start(stage, killed), 0)[1]
            expected, found = hash_folder(whole), hash_folder(killed)
            differing = sorted(
                path for path in expected | found if expected.get(path) != found.get(path)
            )
            left = list(killed.rglob(f".*{ASIDE}*"))
            bad = bool(status or differing or left)
            failed += bad
            print(f"{title}: {'FAILED' if bad else 'same bytes'} {differing} {left}", flush=True)
            if bad:
                shutil.rmtree(killed, ignore_errors=True)
                shutil.copytree(whole, killed)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
