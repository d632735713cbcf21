from . import (
    angles,
    canonical,
    catalogue,
    ceiling,
    cka,
    closed_form,
    compare,
    condition,
    conditions,
    coordinates,
    dissociation,
    divergence,
    measure,
    mismatched,
    moments,
    neighbours,
    null_sides,
    pairs,
    premise,
    random_heads,
    ranked,
    representational,
    resampled,
    shuffled,
    sides,
    spaces,
    tieability,
    token_moments,
    untrained,
    word_matrix,
)
from .angles import PrincipalAngles, principal_angles
from .canonical import (
    canonical_correlations,
    canonical_correlations_from_moments,
    held_out_canonical_correlations,
    mean_squared_correlation,
)
from .catalogue import find_condition, find_measure, list_conditions, list_measures
from .ceiling import disattenuated_similarity, template_reliability
from .cka import debiased_cka, linear_cka_from_moments
from .closed_form import closed_form_r2, closed_form_r2_from_moments
from .condition import Condition
from .coordinates import centre, metric_root, to_coordinates
from .dissociation import dissociation_ratio
from .divergence import divergence_curve
from .measure import Measure, Takes, Transformation
from .moments import CrossMoments
from .neighbours import find_neighbours, mutual_neighbours, neighbour_distance_ratio
from .pairs import pair_cosines, pair_distances
from .premise import pair_attention, premise_lift
from .representational import representational_similarity
from .shuffled import ShuffledPairs, shuffle_pairs
from .sides import Side, measure_sides
from .tieability import TieabilityResult, resampled_r2, tieability_from_moments
from .token_moments import head_moments, input_moments, query_metric, to_functional_space
from .word_matrix import word_cosines, word_distances

__all__ = [
    "Condition",
    "CrossMoments",
    "Measure",
    "PrincipalAngles",
    "ShuffledPairs",
    "Side",
    "Takes",
    "TieabilityResult",
    "Transformation",
    "angles",
    "canonical",
    "canonical_correlations",
    "canonical_correlations_from_moments",
    "catalogue",
    "ceiling",
    "centre",
    "cka",
    "closed_form",
    "closed_form_r2",
    "closed_form_r2_from_moments",
    "compare",
    "condition",
    "conditions",
    "coordinates",
    "debiased_cka",
    "disattenuated_similarity",
    "dissociation",
    "dissociation_ratio",
    "divergence",
    "divergence_curve",
    "find_condition",
    "find_measure",
    "find_neighbours",
    "head_moments",
    "held_out_canonical_correlations",
    "input_moments",
    "linear_cka_from_moments",
    "list_conditions",
    "list_measures",
    "mean_squared_correlation",
    "measure",
    "measure_sides",
    "metric_root",
    "mismatched",
    "moments",
    "mutual_neighbours",
    "neighbour_distance_ratio",
    "neighbours",
    "null_sides",
    "pair_attention",
    "pair_cosines",
    "pair_distances",
    "pairs",
    "premise",
    "premise_lift",
    "principal_angles",
    "query_metric",
    "random_heads",
    "ranked",
    "representational",
    "representational_similarity",
    "resampled",
    "resampled_r2",
    "shuffle_pairs",
    "shuffled",
    "sides",
    "spaces",
    "template_reliability",
    "tieability",
    "tieability_from_moments",
    "to_coordinates",
    "to_functional_space",
    "token_moments",
    "untrained",
    "word_cosines",
    "word_distances",
    "word_matrix",
]
