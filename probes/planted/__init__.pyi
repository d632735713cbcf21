from .design import Design, Planting
from .running import Plant, plant_heads, planting
from .small import save_planted
from .truth import Truth, tell_truth

__all__ = [
    "Design",
    "Plant",
    "Planting",
    "Truth",
    "plant_heads",
    "planting",
    "save_planted",
    "tell_truth",
]
