"""The figures of `analyses.divergence`."""

from analyses.figures.curve import draw_curve
from analyses.figures.headline import draw_headline
from analyses.figures.maps import draw_maps
from analyses.figures.spaces import draw_spaces

__all__ = ["draw_curve", "draw_headline", "draw_maps", "draw_spaces"]
