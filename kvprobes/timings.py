"""How long each question took the last time it was computed on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from probes.errors import StoreError
from probes.models.cache import cache_folder
from probes.sealed import read_sealed, write_sealed

FILE = "timings.json"


def read_timings() -> dict[str, float]:
    """Return question -> seconds; empty where nothing has been computed yet."""
    try:
        found = read_sealed(cache_folder() / FILE)
        return {str(name): float(seconds) for name, seconds in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def note_timing(question: str, seconds: float) -> None:
    """Remember how long a question took; a cache that cannot be written is no error."""
    try:
        write_sealed(cache_folder() / FILE, read_timings() | {question: round(seconds, 2)})
    except StoreError:
        return


class Clock:
    """Says which of several questions is asked, and about how long the rest takes.

    Parameters
    ----------
    names
        The questions in their order. How long each took is what was noted on this machine.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._timings = list(names), read_timings()

    def announce(self, name: str, title: str) -> str:
        """Return such as "[3/9] Weights, about 2 min left"; no time where one was never noted."""
        place = self._names.index(name)
        rest = self._names[place:]
        left = sum(self._timings.get(other, 0.0) for other in rest)
        known = all(other in self._timings for other in rest)
        told = f", {tell_time(left)} left" if known else ""
        return f"[{place + 1}/{len(self._names)}] {title}{told}"


def tell_time(seconds: float) -> str:
    """Say a time roughly.

    >>> [tell_time(seconds) for seconds in (4, 100, 3700)]
    ['about 10 s', 'about 2 min', 'about 1.0 h']
    """
    if seconds < 55:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 3600 else f"about {seconds / 3600:.1f} h"
