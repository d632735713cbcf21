"""Spaces of keys and values, and what being alike in one says about the other.

A space is a map to coordinates (:mod:`probes.similarity.coordinates`); every measure is Euclidean
geometry in the coordinates. The function ``tieability`` lives in the module of the same name:
``from probes.similarity.tieability import tieability``.
"""

import lazy_loader as lazy

_submodules = [
    "angles",
    "canonical",
    "catalogue",
    "ceiling",
    "cka",
    "closed_form",
    "compare",
    "condition",
    "conditions",
    "coordinates",
    "dissociation",
    "divergence",
    "moments",
    "measure",
    "mismatched",
    "neighbours",
    "null_sides",
    "pairs",
    "premise",
    "random_heads",
    "ranked",
    "representational",
    "resampled",
    "shuffled",
    "sides",
    "spaces",
    "tieability",
    "token_moments",
    "untrained",
    "word_matrix",
]
_attributes = {
    "angles": ["PrincipalAngles", "principal_angles"],
    "canonical": [
        "canonical_correlations",
        "canonical_correlations_from_moments",
        "held_out_canonical_correlations",
        "mean_squared_correlation",
    ],
    "catalogue": ["find_condition", "find_measure", "list_conditions", "list_measures"],
    "ceiling": ["disattenuated_similarity", "template_reliability"],
    "cka": ["debiased_cka", "linear_cka_from_moments"],
    "closed_form": ["closed_form_r2", "closed_form_r2_from_moments"],
    "condition": ["Condition"],
    "coordinates": ["centre", "metric_root", "to_coordinates"],
    "dissociation": ["dissociation_ratio"],
    "divergence": ["divergence_curve"],
    "measure": ["Measure", "Takes", "Transformation"],
    "moments": ["CrossMoments"],
    "neighbours": ["find_neighbours", "mutual_neighbours", "neighbour_distance_ratio"],
    "pairs": ["pair_cosines", "pair_distances"],
    "premise": ["pair_attention", "premise_lift"],
    "representational": ["representational_similarity"],
    "shuffled": ["ShuffledPairs", "shuffle_pairs"],
    "sides": ["Side", "measure_sides"],
    # Not the function `tieability`: the name belongs to the module, whichever is imported first.
    "tieability": ["TieabilityResult", "resampled_r2", "tieability_from_moments"],
    "token_moments": ["head_moments", "input_moments", "query_metric", "to_functional_space"],
    "word_matrix": ["word_cosines", "word_distances"],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
