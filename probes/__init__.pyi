from . import (
    capture,
    causal,
    errors,
    linear,
    models,
    planted,
    reading,
    similarity,
    stats,
    tying,
    words,
)
from .models.wrap import load_model
from .reading import (
    Words,
    compare,
    from_cache,
    from_past_key_values,
    from_projections,
    measure,
    probe,
    read,
)

__version__: str

__all__ = [
    "Words",
    "__version__",
    "capture",
    "causal",
    "compare",
    "errors",
    "from_cache",
    "from_past_key_values",
    "from_projections",
    "linear",
    "load_model",
    "measure",
    "models",
    "planted",
    "probe",
    "read",
    "reading",
    "similarity",
    "stats",
    "tying",
    "words",
]
