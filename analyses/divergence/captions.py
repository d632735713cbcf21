"""What stands below the headline figures: what they show, of how much, against which nulls."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analyses.divergence.section import RATIO, find
from analyses.shared.numbers import show
from analyses.shared.section import TIMES, describe_intervals


def caption_divergence(
    tables: dict[str, pd.DataFrame], n: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return the caption and the alternative text of every figure of the headline analysis.

    Parameters
    ----------
    n
        The counts of `kvprobes.report.page`.
    """
    heads = f"{n['layers']} layers {TIMES} {n['kv_heads']} kv heads"
    words = f"{n['pairs']:,} word pairs of {n['words']:,} words"
    every = f"{n['all_pairs']:,} random pairs" if n["all_pairs"] else "random pairs"
    draws = n["draws"] or 1
    nulls = (
        "Mismatched heads: keys of one head with values of another of its layer"
        + (" (none here: a layer has one kv head)" if n["kv_heads"] == 1 else "")
        + f"; random heads: Gaussian weights on the trained input, {draws} for each trained head."
    )
    ratio = find(tables["summary"], "word pairs", "functional", RATIO, "trained")
    stated = (
        f" DR at 5 % of the word pairs is {show(ratio.value)} in trained heads." if ratio else ""
    )
    intervals = describe_intervals(n)
    return {
        "headline": (
            f"Key similarity against value similarity of {words}, and the dissociation ratio. "
            f"(a) Each point is a pair, its cosines in the functional space averaged over {heads} "
            "and all templates; dashed: medians; a mean over heads hides how much single heads "
            "scatter. Named are the pairs that dissociate most, and in bold the founding pairs "
            "where they are in the table. (b, c) DR among the pairs with the most similar keys, "
            f"mean over heads, on the word pairs and on {every} of the same words; {intervals}; an "
            "interval may reach slightly beyond the possible range. " + nulls,
            "Scatter of key similarity against value similarity of word pairs, beside points with "
            "error bars of the dissociation ratio at 1, 5 and 10 percent for trained, mismatched "
            "and random heads." + stated,
        ),
        "curve": (
            "How unlike the values are, from the pairs with the most similar keys (left) to those "
            f"with the least (right), mean over {heads}. A flat curve at the dashed line (the mean "
            "of the trained heads) would mean that values know nothing of keys; a rising one, that "
            f"similar keys mean similar values. Bands: {intervals}; {words}; {every} of the same "
            "words. " + nulls,
            "Curves of mean value dissimilarity by rank of key similarity, a panel for word pairs "
            "and one for random pairs, for trained, mismatched and random heads, with bands.",
        ),
        "maps": (
            f"Every head. (a) DR(5 %) of the word pairs ({n['pairs']:,} pairs, so each cell rests "
            f"on {round(0.05 * n['pairs']):,} of them and is coarse); (b) its mean over the heads "
            "of a layer, dots the single heads, beside the means of the nulls; (c) excess "
            "tieability: red, a linear map of the keys of a head gives more of its values than the "
            "null does; blue, less; (d) tieability beside its nulls. Intervals of single heads "
            "stand in the table divergence.heads. " + nulls,
            "Heat maps over layers and kv heads of the dissociation ratio and of excess "
            "tieability, each beside a line plot of the layer means of trained heads and nulls.",
        ),
        "spaces": (
            "The same pairs in three spaces. Raw cosines are high because all keys share a vector; "
            "centred, that vector is gone; functional, directions count as much as the model "
            "itself uses them. (a, b) Mean cosine of keys and of values; (c) DR(5 %), with "
            f"{intervals} in the centred and the functional space; (d) in how many directions the "
            "keys spread: where these are few, neighbours in key space agree in little else, which "
            "raises DR. Filled: "
            f"{n['pairs']:,} word pairs; hollow: {every} of the same words. " + nulls,
            "Points by space (raw, centred, functional) of mean key cosine, mean value cosine, "
            "dissociation ratio and effective dimension of keys, for trained heads and nulls.",
        ),
    }
