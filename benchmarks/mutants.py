"""Do the tests notice when the code is wrong? Break it a place at a time, and run its tests.

    python -m benchmarks.mutants --count 60 --seed 0

Mutants are drawn by chance among all places of the three rooms: a comparison, an operator, a
constant, a condition or a called reduction is exchanged for another. Each is tried by the test file
of its module, then by those of its room, in a copy of the repository. What survives is a missing
test, or a change that makes no difference (an equivalent mutant).
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
ROOMS = ("similarity", "stats", "capture")
COPIED = ("probes", "analyses", "kvprobes", "tests", "data", "docs", "pyproject.toml", "README.md")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}
NAMES = {"sum": "mean", "mean": "sum", "min": "max", "max": "min", "amax": "amin", "all": "any"}
NAMES |= {"any": "all", "argmin": "argmax", "argmax": "argmin", "minimum": "maximum"}
NAMES |= {"maximum": "minimum"}
TIMEOUT = 600  # seconds; a mutant that never ends is noticed


@dataclass(frozen=True)
class Mutant:
    """One change of one module: of which of its nodes, and in which way."""

    module: Path
    number: int
    kind: str

    def make(self) -> tuple[str, str]:
        """Return the module's new source, and in a line what was changed where."""
        tree = _parse(self.module)
        node = list(_walk(tree))[self.number]
        before = ast.unparse(node).partition("\n")[0]
        _mutate(node, self.kind)
        after = ast.unparse(node).partition("\n")[0]
        line = getattr(node, "lineno", 0)
        return ast.unparse(tree), f"{self.module}:{line}: {before}  ->  {after}"


def find_mutants(module: Path) -> list[Mutant]:
    """List every mutant of a module; annotations and messages are left alone."""
    return [
        Mutant(module, number, kind)
        for number, node in enumerate(_walk(_parse(module)))
        for kind in ("operator", "name", "constant", "not")
        if _mutate(copy.copy(node), kind)
    ]


def _parse(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what can be computed, in order."""
    skipped = {"annotation", "returns", "decorator_list", "type_params"}
    for name, value in ast.iter_fields(node):
        if name in skipped or isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _walk(child)


def _mutate(node: ast.AST, kind: str) -> bool:
    """Change a node in one way, if it can be changed so."""
    if kind == "operator" and isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        if type(node.op) in SWAPS:
            node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
            return True
    elif kind == "operator" and isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        node.ops = [SWAPS[type(node.ops[0])](), *node.ops[1:]]  # type: ignore[list-item]
        return True
    elif kind == "name" and isinstance(node, ast.Attribute) and node.attr in NAMES:
        node.attr = NAMES[node.attr]
        return True
    elif kind == "constant" and isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            node.value = not node.value
            return True
        if isinstance(node.value, int | float):
            node.value += 1
            return True
    elif kind == "not" and isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return True
    return False


def try_mutant(module: Path, source: str, folder: Path) -> bool:
    """Say whether the tests notice another source of a module, in a copy of the repository."""
    place = folder / module
    whole = place.read_bytes()
    room = Path("tests") / Path(*module.parts[1:-1])
    own = room / f"test_{module.name}"
    try:
        place.write_text(source, encoding="utf-8")
        return any((folder / tests).exists() and not _pass(tests, folder) for tests in (own, room))
    finally:
        place.write_bytes(whole)


def _pass(tests: Path, folder: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(folder)  # before what the environment has installed
    try:
        done = subprocess.run(
            [*command, str(tests)],
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    """Try mutants, and print which the tests do not notice."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=60, help="how many; 0 is all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", action="append", choices=ROOMS, help="default: all three")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    rooms = asked.room or ROOMS
    modules = [
        path.relative_to(ROOT)
        for room in rooms
        for path in sorted((ROOT / "probes" / room).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    mutants = [mutant for module in modules for mutant in find_mutants(module)]
    print(f"{len(mutants)} mutants of {len(modules)} modules", flush=True)
    chosen = mutants
    if asked.count:
        chosen = random.Random(asked.seed).sample(mutants, min(asked.count, len(mutants)))
    with tempfile.TemporaryDirectory() as scratch:
        free: SimpleQueue[Path] = SimpleQueue()
        for job in range(asked.jobs):
            folder = Path(scratch) / str(job)
            for name in COPIED:
                source = ROOT / name
                make = shutil.copytree if source.is_dir() else shutil.copy
                folder.mkdir(exist_ok=True)
                make(source, folder / name)
            free.put(folder)

        def run(mutant: Mutant) -> bool:
            source, told = mutant.make()
            folder = free.get()
            try:
                killed = try_mutant(mutant.module, source, folder)
            finally:
                free.put(folder)
            print(f"{'killed' if killed else 'SURVIVED'}: {told}", flush=True)
            return killed

        with ThreadPoolExecutor(asked.jobs) as pool:
            killed = list(pool.map(run, chosen))
    for room in rooms:
        own = [
            noticed
            for mutant, noticed in zip(chosen, killed, strict=True)
            if mutant.module.parts[1] == room
        ]
        if own:
            print(f"probes/{room}: {sum(own)} of {len(own)} killed ({sum(own) / len(own):.0%})")


if __name__ == "__main__":
    main()
