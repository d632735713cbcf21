from .captures.options import CaptureOptions
from .figures import draw_heads, redraw
from .finished import Results
from .library import (
    Words,
    compare,
    from_cache,
    from_past_key_values,
    from_projections,
    load_model,
    measure,
    probe,
    read,
)
from .results import ResultFolder
from .runner import Answer, answer
from .session import Session
from .verbs import add_question, capture, open, run

__all__ = [
    "Answer",
    "CaptureOptions",
    "ResultFolder",
    "Results",
    "Session",
    "Words",
    "add_question",
    "answer",
    "capture",
    "compare",
    "draw_heads",
    "from_cache",
    "from_past_key_values",
    "from_projections",
    "load_model",
    "measure",
    "open",
    "probe",
    "read",
    "redraw",
    "run",
]
