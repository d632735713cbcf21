"""From a name to a model whose keys, values, queries and rotations can be addressed exactly."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "bundled": ["DEFAULT_MODEL", "BundledModel", "list_models"],
        "doctor": ["examine_model"],
        "examine": ["examine", "refuse_unfaithful"],
        "geometry": ["AttentionGeometry"],
        "layer": ["AttentionLayer"],
        "load": ["build_model"],
        "model": ["Model"],
        "projections": ["HeadNorm", "Projection"],
        "rotary": ["Rotation"],
        "tap": ["Attended", "attention_weights", "listening"],
        "untrained": ["untrain"],
        "wrap": ["load_model", "wrap_model"],
    },
)
