"""All measures, conditions, spaces and populations, each named once; see its modules."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
