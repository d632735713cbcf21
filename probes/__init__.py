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
    "reading",
    "similarity",
    "stats",
    "tying",
    "words",
]
_verbs = {
    "models.wrap": ["load_model"],
    "reading": ["compare", "from_cache", "measure", "probe", "read"],
}
__getattr__, __dir__, _ = lazy.attach(__name__, submodules=_rooms, submod_attrs=_verbs)
__all__ = ["__version__", *_rooms, *(name for names in _verbs.values() for name in names)]
