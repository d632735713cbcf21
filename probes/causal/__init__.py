"""Causal tests: edit keys or values while the model runs, and measure what it loses."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "edits": ["Edit", "Made", "intervening"],
    },
)
