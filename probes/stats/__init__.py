"""How sure we are: bootstraps, nulls by permutation, many heads at once."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
