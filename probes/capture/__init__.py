"""Capture of keys, values, queries and x at word occurrences, faithfully, into a store on disk."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
