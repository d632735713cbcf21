"""Real processes killed in the middle of a run; the rerun ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.tying.examples import hash_folder, make_run, write_text

ROOT = Path(__file__).parents[2]
STEPS, EVALUATIONS = 200, 50
CODE = f"""
import os, sys
from pathlib import Path
import torch
from probes.tying.runs import run_once
from tests.tying.examples import make_run
torch.set_num_threads(1)
for line in sys.stdin:
    root, text = line.split()
    child = os.fork()
    if not child:
        run_once(Path(root), make_run(Path(text), steps={STEPS}, evaluations={EVALUATIONS}))
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_three_times(tmp_path):
    text = write_text(tmp_path / "text")
    settings = make_run(text, steps=STEPS, evaluations=EVALUATIONS)
    parent = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )

    def start(root):
        parent.stdin.write(f"{root} {text}\n")
        parent.stdin.flush()
        return int(parent.stdout.readline())

    def wait():
        return int(parent.stdout.readline())

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(whole)
    assert wait() == 0
    (undisturbed,) = whole.iterdir()
    generator, sizes = random.Random(0), []
    for _ in range(3):
        process = start(killed)
        before = sizes[-1] if sizes else 0
        end = time.monotonic() + 60
        while not (found := list(killed.glob("*/checkpoint.safetensors"))) or (
            found[0].stat().st_mtime_ns == before
        ):
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        assert wait() == -signal.SIGKILL
        sizes.append(found[0].stat().st_mtime_ns)
        assert not list(killed.glob("*/manifest.json"))
    start(killed)
    assert wait() == 0
    parent.communicate(timeout=60)
    (resumed,) = killed.iterdir()
    assert resumed.name == undisturbed.name
    assert hash_folder(resumed) == hash_folder(undisturbed)
    assert len(hash_folder(resumed)) == 3
    assert not list(resumed.glob("checkpoint*"))
    assert settings.name in resumed.name
