"""The library's verbs, under the door's name."""

from probes.models.wrap import load_model
from probes.reading import (
    Words,
    compare,
    from_cache,
    from_past_key_values,
    from_projections,
    measure,
    probe,
    read,
)

__all__ = [
    "Words",
    "compare",
    "from_cache",
    "from_past_key_values",
    "from_projections",
    "load_model",
    "measure",
    "probe",
    "read",
]
