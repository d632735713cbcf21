"""Spaces of keys and values, and what being alike in one says about the other.

A space is a map to coordinates (:mod:`probes.similarity.coordinates`); every measure is Euclidean
geometry in the coordinates. The function ``tieability`` lives in the module of the same name:
``from probes.similarity.tieability import tieability``.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
