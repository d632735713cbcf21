"""The library of kvprobes: measure what a transformer's keys and values each know.

Submodules load on first use, so ``import probes`` costs no torch and no transformer-lens.
"""

import lazy_loader as lazy

__version__ = "0.1.0"

_rooms = [
    "capture",
    "causal",
    "errors",
    "linear",
    "models",
    "similarity",
    "stats",
    "tying",
    "words",
]
__getattr__, __dir__, _ = lazy.attach(__name__, submodules=_rooms)
__all__ = ["__version__", *_rooms]
