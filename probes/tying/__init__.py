"""Small transformers trained with shared projections, to see what K = V costs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "associative": ["AutoAssociative", "HeteroAssociative"],
        "counts": ["count_cache", "count_flops", "count_parameters", "give_back"],
        "packing": ["PackedText"],
        "runs": ["RunSettings", "TaskSettings", "run_once"],
        "shape": ["ModelShape"],
        "sweep": ["Experiment", "run_sweep"],
        "training": ["TrainingSettings", "train"],
        "transformer": ["Transformer"],
        "translation": ["Translation"],
        "variants": ["VARIANTS", "Variant", "find_variant"],
    },
)
