"""Causal tests: edit keys or values while the model runs, and measure what it loses."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "edits": ["Edit", "Made", "intervening"],
        "erasure": ["ErasureLoss", "make_erasing_edits", "measure_erasure_loss"],
        "minimal_pairs": ["MinimalPair", "find_minimal_pairs"],
        "substitute": ["Substitution", "fit_at_once", "fit_in_order", "sum_layers"],
        "swaps": ["Swap", "Swapper"],
        "sweep": ["Sweep"],
        "windows": ["Windows", "cut_windows"],
    },
)
