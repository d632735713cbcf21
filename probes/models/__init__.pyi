from .bundled import DEFAULT_MODEL, BundledModel, list_models
from .doctor import examine_model
from .examine import examine, refuse_unfaithful
from .geometry import AttentionGeometry
from .layer import AttentionLayer
from .load import build_model
from .model import Model
from .projections import HeadNorm, Projection
from .rotary import Rotation
from .tap import Attended, attention_weights, listening
from .untrained import untrain
from .wrap import load_model, wrap_model

__all__ = [
    "DEFAULT_MODEL",
    "Attended",
    "AttentionGeometry",
    "AttentionLayer",
    "BundledModel",
    "HeadNorm",
    "Model",
    "Projection",
    "Rotation",
    "attention_weights",
    "build_model",
    "examine",
    "examine_model",
    "list_models",
    "listening",
    "load_model",
    "refuse_unfaithful",
    "untrain",
    "wrap_model",
]
