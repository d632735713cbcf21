"""Words in memory: read from a model, a cache or a capture, then compare, measure and probe them.

No plan, no folder, no template is needed: a model, sentences and words are.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
