"""What a head's query, key and value are made from: the one argument in which the models differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.errors import UsageError

Value = Literal["own", "key", "diagonal", "per head", "half"]
Heads = Literal["all", "half", "one"]


@dataclass(frozen=True)
class Variant:
    """One way to share projections.

    Attributes
    ----------
    label
        As figures and tables print it.
    query_is_key
        Queries are the keys' projection (of the attending position).
    value
        ``own``: a projection of its own. ``key``: the key. ``diagonal``: the key, each channel
        times a learned number. ``per head``: a learned linear map of the head's key. ``half``: the
        value has its own projection, and half of the key's channels are the value's.
    kv_heads
        Keys and values: one for every query head, one for two of them, one for all.
    gives_back
        Whether the parameters that sharing saves go to the feed-forward layer.
    """

    label: str
    query_is_key: bool = False
    value: Value = "own"
    kv_heads: Heads = "all"
    gives_back: bool = False

    def count_kv_heads(self, n_heads: int) -> int:
        """Return the number of key and value heads for this many query heads."""
        return {"all": n_heads, "half": max(1, n_heads // 2), "one": 1}[self.kv_heads]


VARIANTS = {
    "separate": Variant("separate"),
    "tied": Variant("K = V", value="key"),
    "tied_wide": Variant("K = V at equal parameters", value="key", gives_back=True),
    "half_tied": Variant("half-tied", value="half"),
    "diagonal": Variant("V = diagonal of K", value="diagonal"),
    "per_head": Variant("V = linear map of K", value="per head"),
    "query_key": Variant("Q = K", query_is_key=True),
    "all_tied": Variant("Q = K = V", query_is_key=True, value="key"),
    "grouped": Variant("grouped-query", kv_heads="half"),
    "multi_query": Variant("multi-query", kv_heads="one"),
}
"""Name -> what it shares.

``half_tied`` follows Grouped-Tied Attention (Zadouri, Strauss & Dao 2025, arXiv 2505.21487): the
first half of each key's channels are the value's first half and are never rotated; the second half
is projected by itself, and is what rotary positions rotate. There that second half is one head for
all groups; here every head has its own, so that only the tying differs from ``separate``.
"""


def find_variant(name: str) -> Variant:
    """Return a variant by name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in VARIANTS:
        raise UsageError(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}.")
    return VARIANTS[name]
