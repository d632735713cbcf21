"""What only lists or explains is fast and loads nothing heavy: imports, `--help`, the questions."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys, time
start = time.process_time()  # other programs take turns on the clock
{statement}
seconds = time.process_time() - start
print("\\n", seconds, *{{name.partition(".")[0] for name in sys.modules}})
"""
HEAVY = {"torch", "transformers", "transformer_lens", "numpy", "pandas", "sklearn", "matplotlib"}
# `--help` raises SystemExit.
COMMAND = """
from kvprobes.command.cli import app
try:
    app({arguments})
except SystemExit as end:
    assert end.code == 0
"""
STATEMENTS = {
    "probes": "import probes",
    "analyses": "import analyses",
    "kvprobes": "import kvprobes",
    "list_questions": "from analyses import list_questions; assert len(list_questions()) > 10",
    "help": COMMAND.format(arguments=["--help"]),
    "questions": COMMAND.format(arguments=["questions", "--json"]),
    "help of a question": COMMAND.format(arguments=["analyse", "divergence", "--help"]),
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_nothing_heavy_is_loaded(statement):
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    seconds, *names = run.stdout.splitlines()[-1].split()
    assert {"probes", "analyses", "kvprobes"} & set(names)
    assert not HEAVY & set(names)
    assert float(seconds) < 0.5
