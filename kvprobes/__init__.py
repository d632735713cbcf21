"""Measure what a transformer's keys and values each know, and whether they need to differ.

Read words: ``load_model``, ``read``, then ``compare``, ``measure``, ``probe``. Run everything:
``run``, or ``capture`` and ``answer``. Open what has been run: ``open``.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
