"""How sure we are: bootstraps, nulls by permutation, many heads at once."""

import lazy_loader as lazy

_attributes = {
    "bootstrap": [
        "dyadic_interval",
        "dyadic_variance",
        "interval",
        "pair_weights",
        "resample_words",
    ],
    "estimates": ["Estimate", "PairBootstrap"],
    "folds": ["Fit", "Splits", "word_folds"],
    "jackknife": ["jackknife_interval"],
    "multiple": ["benjamini_hochberg", "max_t"],
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
        "permuted_places",
    ],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[*_attributes, "checks", "co_moments", "leave_group_out", "ranks", "ridge"],
    submod_attrs=_attributes,
)
