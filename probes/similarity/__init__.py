"""Spaces of keys and values, and what being alike in one says about the other.

A space is a map to coordinates (:mod:`probes.similarity.coordinates`); every measure is Euclidean
geometry in the coordinates. The function ``tieability`` lives in the module of the same name:
``from probes.similarity.tieability import tieability``.
"""

import lazy_loader as lazy

_submodules = [
    "ceiling",
    "compare",
    "coordinates",
    "dissociation",
    "divergence",
    "nulls",
    "pairs",
    "representational",
    "shuffled",
    "spaces",
    "tieability",
    "word_matrix",
]
_attributes = {
    "ceiling": [
        "NoiseCeiling",
        "disattenuated_similarity",
        "noise_ceiling",
        "template_reliability",
    ],
    "coordinates": ["centre", "metric_root", "to_coordinates"],
    "dissociation": ["dissociation_ratio"],
    "divergence": ["divergence_curve"],
    "pairs": ["pair_cosines", "pair_distances"],
    "representational": ["representational_similarity"],
    "shuffled": ["PAIR_MEASURES", "ShuffledMeasures", "ShuffledPairs", "shuffle_pairs"],
    # Not the function `tieability`: the name belongs to the module, whichever is imported first.
    "tieability": ["TieabilityResult", "closed_form_r2", "resampled_r2", "word_folds"],
    "word_matrix": ["word_cosines", "word_distances"],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
