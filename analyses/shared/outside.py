"""Questions of other people: a file that the user names, or an installed package."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from analyses.shared.question import Question
from probes.errors import UsageError

GROUP = "kvprobes.questions"
"""The group of entry points in which an installed package names its questions."""

NEEDED = (
    "A question is a module with QUESTION = Question(package=__name__, ...) and a function "
    "compute(given, settings); docs/howto/my_question.md has one."
)


def read_question(module: str | Path) -> Question:
    """Load the question of a file, or of an installed module by its dotted name.

    Raises
    ------
    UsageError
        If it is not there, cannot be imported or holds no question.
    """
    told = str(module)
    try:
        loaded = _load(Path(module)) if told.endswith(".py") else import_module(told)
    except Exception as error:
        raise UsageError(
            f"the question in {told} cannot be loaded: {type(error).__name__}: {error}. {NEEDED}"
        ) from error
    return _take(loaded, told)


@cache
def list_installed() -> tuple[Question, ...]:
    """Return the questions of installed packages, by name.

    Raises
    ------
    UsageError
        If one of them cannot be imported or holds no question.
    """
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        told = f"the entry point {entry.value} of {entry.dist.name if entry.dist else 'a package'}"
        try:
            loaded = entry.load()
        except Exception as error:
            raise UsageError(
                f"{told} cannot be loaded: {type(error).__name__}: {error}. Update or uninstall "
                "that package."
            ) from error
        found.append(loaded if isinstance(loaded, Question) else _take(loaded, told))
    return tuple(found)


def _load(path: Path) -> Any:
    """Import a file under a name that hides no installed module."""
    if not path.stem.isidentifier():
        raise ValueError("its name must be letters, digits and _, since the question has its name")
    spec = spec_from_file_location(f"kvprobes_questions.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    loaded = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return loaded


def _take(loaded: Any, told: str) -> Question:
    found = getattr(loaded, "QUESTION", None)
    if not isinstance(found, Question):
        raise UsageError(f"{told} has no QUESTION. {NEEDED}")
    if not hasattr(loaded, "__path__") and not hasattr(loaded, "compute"):
        raise UsageError(f"{told} has no function compute(given, settings). {NEEDED}")
    return found
