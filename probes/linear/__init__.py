"""Linear probes over every head at once: what keys know that values do not, and the reverse.

The kernels are batched over heads (`logistic`, `ridge`); `estimators` are the same for one head, in
scikit-learn's API; `evaluate` scores them honestly: on words not seen, against control tasks, in
bits.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
