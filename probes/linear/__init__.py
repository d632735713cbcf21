"""Linear probes over every head at once: what keys know that values do not, and the reverse.

The kernels are batched over heads (`logistic`, `ridge`); `estimators` are the same for one head, in
scikit-learn's API; `evaluate` scores them honestly: on words not seen, against control tasks, in
bits.
"""

import lazy_loader as lazy

_submodules = [
    "classes",
    "control",
    "cross_validation",
    "description_length",
    "erasure",
    "estimators",
    "evaluate",
    "inputs",
    "logistic",
    "measure",
    "pair_properties",
    "properties",
    "resampled",
    "ridge",
    "shipped_properties",
    "training_sets",
]
_attributes = {
    "control": ["draw_control_labels"],
    "description_length": ["describe_online"],
    "erasure": ["Eraser", "fit_eraser"],
    "estimators": ["LogisticProbe", "RidgeClassifierProbe", "RidgeProbe"],
    "evaluate": ["Probing", "probe_labels", "probe_numbers"],
    "logistic": ["LogisticFit", "LogisticProblem", "solve_path"],
}

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=_submodules, submod_attrs=_attributes
)
