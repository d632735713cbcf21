"""`import probes` is fast and loads nothing heavy."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys, time
start = time.perf_counter()
import probes
seconds = time.perf_counter() - start
print(seconds, *{name.partition(".")[0] for name in sys.modules})
"""
HEAVY = {"torch", "transformers", "transformer_lens", "numpy", "pandas", "sklearn", "matplotlib"}


def test_importing_loads_nothing_heavy():
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    seconds, *names = run.stdout.split()
    assert "probes" in names
    assert not HEAVY & set(names)
    assert float(seconds) < 0.5
