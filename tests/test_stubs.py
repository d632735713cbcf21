"""The stubs of the rooms say what is there, and a user's type checker sees it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = [
    ".".join(path.parent.parts)
    for floor in ("probes", "kvprobes")
    for path in sorted(Path(floor).rglob("__init__.pyi"))
]
LAZY = [
    ".".join(path.parent.parts)
    for floor in ("probes", "kvprobes")
    for path in Path(floor).rglob("__init__.py")
    if "lazy_loader" in path.read_text(encoding="utf-8")
]


def read_names(room: str) -> list[str]:
    stub = Path(*room.split("."), "__init__.pyi").read_text(encoding="utf-8")
    scope: dict[str, list[str]] = {}
    exec(stub[stub.index("__all__") :], scope)  # noqa: S102 - our own stub
    return scope["__all__"]


def test_every_lazy_room_has_a_stub():
    assert sorted(LAZY) == sorted(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_stub_names_what_is_there(room):
    module = importlib.import_module(room)
    names = read_names(room)
    assert {*module.__all__, *({"__version__"} & set(names))} == set(names)
    assert {name for name in names if not hasattr(module, name)} == set()


def test_a_user_s_script_sees_real_types(tmp_path):
    script = tmp_path / "mine.py"
    named = [f"{room}.{name}" for room in ROOMS for name in read_names(room)]
    lines = [
        *(f"import {room}" for room in ROOMS),
        'words = kvprobes.read(kvprobes.load_model("x"), "The {word}.", ["fox"])',
        'reveal_type(kvprobes.compare(words, "fox", "dog"))',
        'reveal_type(kvprobes.open("x").verdict)',
        *(f"reveal_type({name})" for name in named),
    ]
    script.write_text("\n".join(lines), encoding="utf-8")
    # The settings, and so the cache, of `make types`: what it has checked is not checked again.
    run = subprocess.run(
        [sys.executable, "-m", "mypy", str(script)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    seen = re.findall(r'Revealed type is "(.*)"', run.stdout)
    assert len(seen) == len(named) + 2
    assert {"DataFrame"} == {kind.rpartition(".")[2] for kind in seen[:2]}
    untyped = [name for name, kind in zip(named, seen[2:], strict=True) if kind == "Any"]
    assert untyped == []
