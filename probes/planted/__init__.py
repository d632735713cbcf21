"""Models whose answer is known: what stands in their keys and values was put there by hand."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "design": ["Design", "Planting"],
        "running": ["Plant", "plant_heads", "planting"],
        "small": ["save_planted"],
        "truth": ["Truth", "tell_truth"],
    },
)
