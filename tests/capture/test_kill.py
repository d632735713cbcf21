"""Real processes killed and interrupted at random moments; the rerun ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.capture.examples import hash_folder

ROOT = Path(__file__).parents[2]
CODE = """
import os, signal, sys
from pathlib import Path
import probes.capture.run as run
from probes.capture import TextSettings, capture_text
from tests.capture.examples import make_plan
from tests.capture.texts import write_texts
from tests.tiny import tiny_model
# What a shell starts in the background does not hear Ctrl-C, and neither do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
run.SHARD_LENGTH = 1
model = tiny_model("llama")
plan = make_plan(model)
text = write_texts(Path(sys.argv[1]), words=700)
settings = TextSettings(window=16, rows=40, shard_bytes=350)
for line in sys.stdin:
    kind, folder = line.split()
    child = os.fork()
    if not child:
        if kind == "pairs":
            run.capture(model, plan, Path(folder), batch_size=2)
        else:
            capture_text(model, text, Path(folder), settings=settings, batch_size=2)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Captures:
    """Starts captures of over 20 shards, each in a process that need not load torch again."""

    def __init__(self, text: Path) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", CODE, str(text)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, kind: str, folder: Path) -> int:
        """Start one, of ``pairs`` or of ``text``; return its process."""
        self.parent.stdin.write(f"{kind} {folder}\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        return int(self.parent.stdout.readline())


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    captures = Captures(tmp_path_factory.mktemp("text"))
    yield captures
    captures.parent.communicate(timeout=60)
    assert captures.parent.returncode == 0


@pytest.fixture(scope="module", params=["pairs", "text"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(kind, captures, tmp_path_factory):
    """The hashes of a capture that nothing disturbs, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    captures.start(kind, folder)
    began = time.perf_counter()
    assert captures.wait() == 0
    return hash_folder(folder), time.perf_counter() - began


def wait_for(folder: Path, n_markers: int) -> None:
    """Wait until so many shards are done."""
    end = time.monotonic() + 60
    while len(list(folder.glob("shards/[0-9]*.json"))) < n_markers:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_killed_twenty_times(kind, captures, tmp_path, undisturbed):
    """Each run is killed a random moment after it finds or makes so many shards."""
    whole, seconds = undisturbed
    n_shards = sum(name.endswith(".safetensors") for name in whole) - 1
    assert n_shards > 20
    generator = random.Random(0)
    reached = []
    for kill in range(20):
        process = captures.start(kind, tmp_path)
        wait_for(tmp_path, kill)
        time.sleep(generator.uniform(0, seconds / n_shards / 2))
        os.kill(process, signal.SIGKILL)
        assert captures.wait() == -signal.SIGKILL
        found = hash_folder(tmp_path)
        # What counts as done is whole and right at every moment.
        visible = {name: digest for name, digest in found.items() if "/." not in f"/{name}"}
        assert visible.items() <= whole.items()
        reached.append(len(list(tmp_path.glob("shards/[0-9]*.json"))))
    assert reached == sorted(reached)
    assert reached[0] < reached[-1]
    captures.start(kind, tmp_path)
    assert captures.wait() == 0
    assert hash_folder(tmp_path) == whole


def test_interrupted_from_the_keyboard(kind, captures, tmp_path, undisturbed):
    whole, _ = undisturbed
    process = captures.start(kind, tmp_path)
    wait_for(tmp_path, 4)
    os.kill(process, signal.SIGINT)
    assert captures.wait() == -signal.SIGINT
    found = hash_folder(tmp_path)
    assert found.items() < whole.items()  # and so no temporary file is left
    assert "shards/00003.json" in found
    captures.start(kind, tmp_path)
    assert captures.wait() == 0
    assert hash_folder(tmp_path) == whole
