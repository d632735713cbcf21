from .caches import from_cache, from_past_key_values, from_projections
from .comparison import compare
from .find import find_words
from .measures import measure
from .probing import probe
from .reader import read
from .words import Words

__all__ = [
    "Words",
    "compare",
    "find_words",
    "from_cache",
    "from_past_key_values",
    "from_projections",
    "measure",
    "probe",
    "read",
]
