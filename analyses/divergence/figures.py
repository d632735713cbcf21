"""The figures of `analyses.divergence.compute`."""

from analyses.divergence.compute.curve import draw_curve
from analyses.divergence.compute.headline import draw_headline
from analyses.divergence.compute.maps import draw_maps
from analyses.divergence.compute.spaces import draw_spaces

__all__ = ["draw_curve", "draw_headline", "draw_maps", "draw_spaces"]
