from . import (
    bootstrap,
    checks,
    co_moments,
    estimates,
    folds,
    jackknife,
    leave_group_out,
    multiple,
    null_comparison,
    permutation,
    random_effects,
    rank_correlation,
    ranks,
    reliability,
    ridge,
    shared,
    shares,
    word_permutation,
)
from .bootstrap import dyadic_interval, dyadic_variance, interval, pair_weights, resample_words
from .estimates import Estimate, PairBootstrap
from .folds import Fit, Splits, word_folds
from .jackknife import jackknife_interval
from .multiple import benjamini_hochberg, max_t
from .null_comparison import NullComparison, compare_with_null
from .permutation import permutation_p
from .random_effects import PopulationMean, pool_models
from .rank_correlation import rank_correlations
from .reliability import correct_attenuation, spearman_brown
from .shared import SharedResamples
from .shares import share_interval
from .word_permutation import combine_strata, gather_figures, permute_words, permuted_places

__all__ = [
    "Estimate",
    "Fit",
    "NullComparison",
    "PairBootstrap",
    "PopulationMean",
    "SharedResamples",
    "Splits",
    "benjamini_hochberg",
    "bootstrap",
    "checks",
    "co_moments",
    "combine_strata",
    "compare_with_null",
    "correct_attenuation",
    "dyadic_interval",
    "dyadic_variance",
    "estimates",
    "folds",
    "gather_figures",
    "interval",
    "jackknife",
    "jackknife_interval",
    "leave_group_out",
    "max_t",
    "multiple",
    "null_comparison",
    "pair_weights",
    "permutation",
    "permutation_p",
    "permute_words",
    "permuted_places",
    "pool_models",
    "random_effects",
    "rank_correlation",
    "rank_correlations",
    "ranks",
    "reliability",
    "resample_words",
    "ridge",
    "share_interval",
    "shared",
    "shares",
    "spearman_brown",
    "word_folds",
    "word_permutation",
]
