from .associative import AutoAssociative, HeteroAssociative
from .counts import count_cache, count_flops, count_parameters, give_back
from .packing import PackedText
from .runs import RunSettings, TaskSettings, run_once
from .shape import ModelShape
from .sweep import Experiment, run_sweep
from .training import TrainingSettings, train
from .transformer import Transformer
from .translation import Translation
from .variants import VARIANTS, Variant, find_variant

__all__ = [
    "VARIANTS",
    "AutoAssociative",
    "Experiment",
    "HeteroAssociative",
    "ModelShape",
    "PackedText",
    "RunSettings",
    "TaskSettings",
    "TrainingSettings",
    "Transformer",
    "Translation",
    "Variant",
    "count_cache",
    "count_flops",
    "count_parameters",
    "find_variant",
    "give_back",
    "run_once",
    "run_sweep",
    "train",
]
