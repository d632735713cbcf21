"""Small transformers trained with shared projections, to see what K = V costs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
