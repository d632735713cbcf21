"""Words: pairs and their tables, carrier sentences, and where their words are among tokens."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
