"""Spaces of keys and values, and what being alike in one says about the other.

A space is a map to coordinates (:mod:`probes.similarity.coordinates`); every measure is Euclidean
geometry in the coordinates. The function ``tieability`` lives in the module of the same name:
``from probes.similarity.tieability import tieability``.
"""

import lazy_loader as lazy

_submodules = [
    "compare",
    "coordinates",
    "dissociation",
    "divergence",
    "nulls",
    "pairs",
    "representational",
    "spaces",
    "tieability",
]
_attributes = {
    "coordinates": ["centre", "metric_root", "to_coordinates"],
    "dissociation": ["dissociation_ratio"],
    "divergence": ["divergence_curve"],
    "pairs": ["pair_cosines", "pair_distances"],
    "representational": ["representational_similarity"],
    # Not the function `tieability`: the name belongs to the module, whichever is imported first.
    "tieability": ["TieabilityResult", "closed_form_r2", "resampled_r2", "word_folds"],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
