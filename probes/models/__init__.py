"""From a name to a model whose keys, values, queries and rotations can be addressed exactly."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "bundled": ["DEFAULT_MODEL", "BundledModel", "list_models"],
        "geometry": ["AttentionGeometry"],
        "load": ["build_model", "load_model"],
        "model": ["Model"],
        "projections": ["Projections"],
        "rotary": ["Rotation"],
    },
)
