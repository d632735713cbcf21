"""What stands below the figures of relations and meaning."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analyses.shared.section import TIMES, describe_intervals


def caption_relations(
    tables: dict[str, pd.DataFrame], n: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return figure name -> (caption, alternative text); `n` holds the settings."""
    heads = _count_heads(tables["heads"])
    intervals = describe_intervals(n)
    references = n.get("references") or "random"
    return {
        "relations": (
            "Related pairs of words, beside the first word with an unrelated one that matches the "
            "second in frequency and length (hollow: controls). (a) Where the similarity of their "
            f"keys and of their values stands among {references} random pairs of words of the same "
            "part of speech; 50: as alike as two random words. (b) The percentile of keys less "
            "that of values, beyond the controls': above 0, keys are alike and values lag behind. "
            "Which relation ranks where is told with the interval of its rank. (c) DR(5 %): of "
            "the related pairs whose keys are among the 5 % most alike, how many have values less "
            "alike than the median random pair's, over chance; the controls' are in the tables. "
            f"Means over {heads}, functional space; {intervals}. A modifier's pair is ranked "
            "among random modifiers in compound sentences; the other words stand in sentences of "
            "their own, and the query is that of the word that follows. Random heads: Gaussian "
            "weights on the trained input. Mismatched heads: keys of one head, values of another "
            "of its layer (in a and b their mean is that of the trained heads).",
            "Three panels with a row a relation: percentiles of key and value similarity of "
            "related and control pairs, dissociation beyond the control for trained and random "
            "heads, and the dissociation ratio with both nulls.",
        ),
        "relation_heads": (
            "Dissociation beyond the control in every head. Red: keys of related words are alike "
            "and their values lag behind; blue: the values lead. Dots: clear of 0 (p below .05, "
            "corrected by max-T over all relations and heads, words resampled). The random heads "
            "of each layer are in the table relations.heads.",
            "Heat maps over layers and kv heads, one a relation, of how much more the percentile "
            "of key similarity exceeds that of value similarity than in the controls.",
        ),
    }


def caption_meaning(
    tables: dict[str, pd.DataFrame], n: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Return figure name -> (caption, alternative text); `n` holds the settings."""
    heads = _count_heads(tables["heads"])
    return {
        "meaning": (
            "Spearman correlation of key similarity, and of value similarity, with scores of "
            f"meaning, means over {heads}. (a to c) In each space; hollow: random heads on the "
            "same input. (d) Values less keys: above 0, meaning is closer to values. Hollow there: "
            "given the frequency, letters and tokens of both words (sums and differences), by "
            f"linear regression of ranks. {describe_intervals(n).capitalize()}. Related nouns are "
            "pairs that WordNet relates, so that their scores span a small range and correlations "
            "are small.",
            "Four panels with a row a score: rank correlations with keys and values in the "
            "functional, centred and raw space, and their difference beside random heads.",
        ),
        "meaning_heads": (
            "The difference in every head, functional space. Red: values are closer to the score; "
            "blue: keys are. Dots: clear of 0 (p below .05, corrected by max-T over the heads, "
            "words resampled). Mismatched and random heads are in the table meaning.heads.",
            "Heat maps over layers and kv heads, one a score, of the rank correlation with value "
            "similarity less that with key similarity.",
        ),
    }


def _count_heads(heads: pd.DataFrame) -> str:
    layers, kv_heads = (int(heads[name].max()) + 1 for name in ("layer", "kv_head"))
    return f"{layers} layers {TIMES} {kv_heads} kv heads"
