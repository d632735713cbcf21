"""From a name to a model whose keys, values, queries and rotations can be addressed exactly."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
