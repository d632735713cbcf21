"""How the variants of shared projections look, the same in every figure."""

from __future__ import annotations

from analyses.shared.style import GREY, Look

# Okabe & Ito's colours and Tol's.
VARIANTS = {
    "separate": Look("separate", "#0072B2", "o"),
    "tied": Look("K = V", "#D55E00", "s"),
    "tied_wide": Look("K = V at equal parameters", "#E69F00", "D"),
    "half_tied": Look("half-tied", "#CC79A7", "P"),
    "diagonal": Look("V = diagonal of K", "#009E73", "^"),
    "per_head": Look("V = linear map of K", "#56B4E9", "v"),
    "query_key": Look("Q = K", "#332288", "<"),
    "all_tied": Look("Q = K = V", "#882255", ">"),
    "grouped": Look("grouped-query", "#999933", "X"),
    "multi_query": Look("multi-query", GREY, "p"),
}


def find_look(variant: str) -> Look:
    """Return the look of a variant, under its own name if it is not listed."""
    return VARIANTS.get(variant, Look(variant, GREY, "*"))
