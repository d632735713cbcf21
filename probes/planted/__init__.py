"""Models whose answer is known: what is in their keys and values was put there by hand."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
