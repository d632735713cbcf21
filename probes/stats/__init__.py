"""How sure we are: word-cluster bootstrap, permutation p-values, many heads at once."""

import lazy_loader as lazy

_submodules = [
    "bootstrap",
    "checks",
    "estimates",
    "folds",
    "leave_group_out",
    "multiple",
    "permutation",
    "ranks",
    "ridge",
]
_attributes = {
    "bootstrap": ["dyadic_interval", "interval", "pair_weights", "resample_words"],
    "folds": ["Splits", "word_folds"],
    "multiple": ["benjamini_hochberg", "max_t"],
    "permutation": ["permutation_p"],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
