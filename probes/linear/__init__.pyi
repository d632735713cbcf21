from . import (
    classes,
    control,
    cross_validation,
    description_length,
    erasure,
    estimators,
    evaluate,
    inputs,
    logistic,
    measure,
    pair_properties,
    properties,
    resampled,
    ridge,
    shipped_properties,
    training_sets,
)
from .control import draw_control_labels
from .description_length import describe_online
from .erasure import Eraser, fit_eraser
from .estimators import LogisticProbe, RidgeClassifierProbe, RidgeProbe
from .evaluate import Probing, probe_labels, probe_numbers
from .logistic import LogisticFit, LogisticProblem, solve_path

__all__ = [
    "Eraser",
    "LogisticFit",
    "LogisticProbe",
    "LogisticProblem",
    "Probing",
    "RidgeClassifierProbe",
    "RidgeProbe",
    "classes",
    "control",
    "cross_validation",
    "describe_online",
    "description_length",
    "draw_control_labels",
    "erasure",
    "estimators",
    "evaluate",
    "fit_eraser",
    "inputs",
    "logistic",
    "measure",
    "pair_properties",
    "probe_labels",
    "probe_numbers",
    "properties",
    "resampled",
    "ridge",
    "shipped_properties",
    "solve_path",
    "training_sets",
]
