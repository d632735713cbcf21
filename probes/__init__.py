"""The library of kvprobes: measure what a transformer's keys and values each know.

Submodules load on first use, so ``import probes`` costs no torch and no transformer-lens.
"""

import lazy_loader as lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
