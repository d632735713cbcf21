"""What is below the headline figures: what they show, of how much, against which nulls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.divergence import RATIO
from analyses.divergence.answers import find
from analyses.divergence.relatedness import find_kinds, tell_kinds
from analyses.divergence.tables import NULLS
from analyses.shared.numbers import join, show
from analyses.shared.section import TIMES, describe_intervals
from probes.similarity.catalogue import TRAINED, WORD_PAIRS, find_condition


def caption_figures(
    tables: Mapping[str, pd.DataFrame], settings: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return the caption and the alternative text of every figure."""
    pairs = tables["pairs"]
    n_layers, n_heads = (int(tables["heads"][axis].max()) + 1 for axis in ("layer", "kv_head"))
    n_words = len(set(pairs["m1"]) | set(pairs["m2"]))
    heads = f"{n_layers} layers {TIMES} {n_heads} kv heads"
    words = f"{len(pairs):,} word pairs of {n_words:,} words"
    every = f"{settings['random_pairs']:,} random pairs"
    conditions = join([find_condition(name).label for name in (TRAINED, *NULLS)])
    nulls = (
        "Mismatched heads: keys of one head with values of another of its layer"
        + (" (none here: a layer has one kv head)" if n_heads == 1 else "")
        + "; random heads: Gaussian weights on the trained input, "
        + f"{settings['draws']} for each trained head."
    )
    ratio = find(tables["summary"], WORD_PAIRS, "functional", RATIO, TRAINED)
    stated = (
        f" DR at 5 % of the word pairs is {show(ratio.value)} in trained heads."
        f" {tell_kinds(find_kinds(tables))}."
        if ratio
        else ""
    )
    intervals = describe_intervals(settings)
    return {
        "headline": (
            f"Key similarity against value similarity of {words}, and the dissociation ratio. "
            f"(a) Each point is a pair, its cosines in the functional space averaged over {heads} "
            "and all templates; dashed: medians; a mean over heads hides how much single heads "
            "scatter. Labels name the pairs that dissociate most, and in bold the founding pairs "
            "where they are in the table. (b, c) DR among the pairs with the most similar keys, "
            f"mean over heads, on the word pairs and on {every} of the same words; {intervals}. "
            + nulls,
            "Scatter of key similarity against value similarity of word pairs, beside points with "
            "error bars of the dissociation ratio at 1, 5 and 10 percent for "
            f"{conditions}." + stated,
        ),
        "curve": (
            "How unlike the values are, from the pairs with the most similar keys (left) to those "
            f"with the least (right), mean over {heads}. A flat curve at the dashed line (the mean "
            "of the trained heads) would mean that values know nothing about keys. A rising one "
            "would mean that similar keys mean similar values. "
            f"Bands: {intervals}; {words}; {every} of the same words. " + nulls,
            "Curves of mean value dissimilarity by rank of key similarity, a panel for word pairs "
            f"and one for random pairs, for {conditions}, with bands.",
        ),
        "maps": (
            f"Every head. (a) DR(5 %) of the word pairs ({len(pairs):,} pairs, so each cell rests "
            f"on {round(0.05 * len(pairs)):,} of them and is coarse); (b) its mean over the heads "
            "of a layer, dots the single heads, beside the means of the nulls; (c) excess "
            "tieability: red, a linear map of the keys of a head gives more of its values than the "
            "null does; blue, less; (d) tieability beside its nulls. Intervals of single heads "
            "are in the table divergence.heads. " + nulls,
            "Heat maps over layers and kv heads of the dissociation ratio and of excess "
            "tieability, each beside a line plot of the layer means of trained heads and nulls.",
        ),
        "spaces": (
            "The same pairs in three spaces. Raw cosines are high because all keys share a vector; "
            "centred, that vector is gone; functional, directions count as much as the model "
            "itself uses them. (a, b) Mean cosine of keys and of values; (c) DR(5 %), with "
            f"{intervals} in the centred and the functional space; (d) in how many directions the "
            "keys spread: where these are few, neighbours in key space agree in little else, which "
            "raises DR; from (e) on, the other measures of pairs. Filled: "
            f"{len(pairs):,} word pairs; hollow: {every} of the same words. " + nulls,
            "Points by space (raw, centred, functional) of mean key cosine, mean value cosine, "
            "dissociation ratio, effective dimension of keys and other measures of pairs, for "
            "trained heads and nulls.",
        ),
    }
