from .edits import Edit, Made, intervening
from .erasure import ErasureLoss, make_erasing_edits, measure_erasure_loss
from .minimal_pairs import MinimalPair, find_minimal_pairs
from .substitute import Substitution, fit_at_once, fit_in_order, sum_layers
from .swaps import Swap, Swapper
from .sweep import Sweep
from .windows import Windows, cut_windows

__all__ = [
    "Edit",
    "ErasureLoss",
    "Made",
    "MinimalPair",
    "Substitution",
    "Swap",
    "Swapper",
    "Sweep",
    "Windows",
    "cut_windows",
    "find_minimal_pairs",
    "fit_at_once",
    "fit_in_order",
    "intervening",
    "make_erasing_edits",
    "measure_erasure_loss",
    "sum_layers",
]
