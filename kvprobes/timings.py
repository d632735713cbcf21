"""How long each question took the last time it was computed on this machine."""

from __future__ import annotations

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
