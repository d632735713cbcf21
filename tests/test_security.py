"""Nothing that a file says is ever run: no pickle, no code of a model, no path out of a folder.

Tested elsewhere: archives are unpacked without leaving the folder (`test_conversion_archives`), the
report escapes every word of a file (`test_report`), a model's own code and pickled weights are
refused when it is loaded (`test_load`).
"""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from probes.capture import open_store, read_layer
from probes.capture.store import create_store
from probes.errors import StoreError

SOURCES = [
    path for room in ("probes", "analyses", "kvprobes") for path in sorted(Path(room).rglob("*.py"))
]
RUN_CODE = {
    *("pickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"),  # imports
    *("eval", "exec", "extractall", "unpack_archive"),  # calls
}


class Bomb:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def find_dangers(tree: ast.AST) -> Iterator[str]:
    """Yield what can run code of a file: imports, calls, and options of calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in names if name.split(".")[0] in RUN_CODE)
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in RUN_CODE:
                yield function.id
            if isinstance(function, ast.Attribute) and function.attr in RUN_CODE - {"eval"}:
                yield function.attr
            options = {word.arg: word.value for word in node.keywords}
            if ast.unparse(function) == "torch.load" and not is_true(options.get("weights_only")):
                yield "torch.load without weights_only"
            yield from (
                name for name in ("trust_remote_code", "allow_pickle") if is_true(options.get(name))
            )


def is_true(node: ast.AST | None) -> bool:
    """Whether an option is given and is not the constant False."""
    return node is not None and not (isinstance(node, ast.Constant) and node.value is False)


def test_no_source_loads_a_pickle_or_runs_code_of_a_model():
    assert len(SOURCES) > 150
    found = {str(path): list(find_dangers(ast.parse(path.read_text()))) for path in SOURCES}
    assert {path: dangers for path, dangers in found.items() if dangers} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=wish)",
        "np.load(path, allow_pickle=True)",
        "tarball.extractall(folder)",
        "eval(text)",
    ],
)
def test_that_test_would_see(code):
    assert list(find_dangers(ast.parse(code)))


def test_what_a_model_does_is_no_danger():
    code = "model.eval(); torch.load(path, weights_only=True); f(trust_remote_code=False)"
    assert not list(find_dangers(ast.parse(code)))


@pytest.mark.parametrize("write", [pickle.dumps, None])
def test_a_pickle_in_the_place_of_a_shard_is_not_loaded(tmp_path, write):
    options = {"tables": {}, "constants": {"a": torch.ones(2)}, "n_shards": 1, "context": {}}
    store = create_store(tmp_path / "store", {"seed": 0}, **options)
    store.write_shard(0, {"k.0": torch.ones(3, 2)})
    bomb = Bomb(tmp_path / "exploded")
    for path in (store.shard_path(0), store.folder / "constants.safetensors"):
        if write is None:
            torch.save(bomb, path)
        else:
            path.write_bytes(write(bomb))
    again = open_store(store.folder)
    assert again.missing_shards() == [0]
    with pytest.raises(StoreError, match="damaged or missing"):
        again.read("k", 0)
    with pytest.raises(StoreError, match="damaged or missing"):
        again.read_constants()
    with pytest.raises(StoreError, match="damaged or missing"):
        read_layer(again, 0)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(bomb))  # noqa: S301 - the bomb itself works
    assert (tmp_path / "exploded").exists()
