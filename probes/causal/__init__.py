"""Causal tests: edit keys or values while the model runs, and measure what it loses."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
