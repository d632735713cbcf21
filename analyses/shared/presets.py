"""Named settings of an analysis that can take minutes or hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from probes.errors import UsageError

Settings = TypeVar("Settings")


def choose_preset(presets: Mapping[str, Settings], name: str, *, seed: int) -> Settings:
    """Return the settings of a preset, with another seed.

    Raises
    ------
    UsageError
        If there is no such preset.
    """
    if name not in presets:
        raise UsageError(f"there is no preset {name!r}; give {' or '.join(presets)}.")
    return replace(presets[name], seed=seed)  # type: ignore[type-var]
