"""Settings of questions, from ``--set divergence.resamples=1000`` and from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from probes.errors import UsageError


def gather_settings(words: Iterable[str], file: Path | None) -> dict[str, dict[str, Any]]:
    """Return question -> setting -> value; what is given in words is above the file.

    Parameters
    ----------
    words
        ``QUESTION.SETTING=VALUE`` each.
    file
        A TOML file with a table for each question: ``[divergence]``, ``resamples = 1000``.

    Raises
    ------
    UsageError
        If the file cannot be read, or something is not of these forms.
    """
    gathered = _read(file) if file is not None else {}
    for word in words:
        place, equals, value = word.partition("=")
        question, dot, name = place.strip().partition(".")
        if not (equals and dot and question and name):
            raise UsageError(
                f"--set {word!r} is not of the form QUESTION.SETTING=VALUE, such as "
                "divergence.resamples=1000. `kvprobes questions` lists the questions."
            )
        gathered.setdefault(question, {})[name] = value.strip()
    return gathered


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the settings in {file} cannot be read: {error}.") from error
    for question, settings in content.items():
        if not isinstance(settings, dict):
            raise UsageError(
                f"{file} holds {question!r} outside any table. Put settings below the name of "
                "their question: [divergence], then resamples = 1000."
            )
    return content
