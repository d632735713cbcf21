"""How sure we are: bootstraps, nulls by permutation, equivalence, many heads at once."""

import lazy_loader as lazy

_submodules = [
    "bootstrap",
    "checks",
    "co_moments",
    "effects",
    "equivalence",
    "estimates",
    "folds",
    "jackknife",
    "leave_group_out",
    "multiple",
    "multiway",
    "null_comparison",
    "permutation",
    "rank_correlation",
    "ranks",
    "reliability",
    "ridge",
    "shared",
    "shares",
    "word_permutation",
]
_attributes = {
    "bootstrap": [
        "dyadic_interval",
        "dyadic_variance",
        "interval",
        "pair_weights",
        "resample_words",
    ],
    "effects": ["standardised_effect"],
    "equivalence": ["EquivalenceTest", "judge_equivalence"],
    "estimates": ["Estimate", "PairBootstrap"],
    "folds": ["Fit", "Splits", "word_folds"],
    "jackknife": ["jackknife_error", "jackknife_interval"],
    "multiple": ["benjamini_hochberg", "max_t"],
    "multiway": ["multiway_interval", "multiway_variance"],
    "null_comparison": ["NullComparison", "compare_with_null"],
    "permutation": ["permutation_p"],
    "rank_correlation": ["rank_correlations"],
    "reliability": ["correct_attenuation", "spearman_brown"],
    "shared": ["SharedResamples"],
    "shares": ["share_interval"],
    "word_permutation": [
        "combine_strata",
        "gather_figures",
        "permute_words",
        "permuted_figures",
        "permuted_pairs",
        "permuted_places",
    ],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
