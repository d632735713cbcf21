"""One layer of one window of running text: from keys, values and attention to contributions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.capture.text_pairs import PLACES, TokenPairs
from probes.similarity.co_attended.choose import (
    choose_elsewhere,
    choose_in_text,
    count_together,
    deal_within,
    find_sinks,
)
from probes.similarity.co_attended.contributions import SELECTIONS, Contributions, contribute
from probes.similarity.co_attended.figures import STATISTICS, PairFigures

Rule = Literal["two largest", "top quarter"]
RULES: dict[Rule, int | None] = {"two largest": 2, "top quarter": None}
"""How a query's largest weights are cut off: the number of them, or a share (None)."""


def contribute_window(
    keys: Float[Tensor, "kv_head token d_key"],
    values: Float[Tensor, "kv_head token d_value"],
    weights: Float[Tensor, "head query token"],
    pairs: TokenPairs,
    *,
    causal: bool,
    first: int,
    seed: int,
    random: bool = False,
) -> dict[Rule, Contributions]:
    """Contribute the pairs of one window to every statistic, by every rule; one unit.

    Parameters
    ----------
    keys, values
        Coordinates in the functional space.
    weights
        The attention of every token of the window, as a query, over all of them.
    causal
        Whether a query sees only what precedes it.
    first
        The first token that counts, as a query too.
    seed
        Of the shuffled attention: each query is given another of the same third of the window.
    random
        Whether these are random heads: their choice is then called ``random_heads``, and there is
        no other.
    """
    heads, length = weights.shape[0], weights.shape[1]
    if not len(pairs.left):
        return {rule: _contribute_nothing(heads, random=random) for rule in RULES}
    # Only the tokens that count, by their places among these.
    token = pairs.token.nonzero()[:, 0]
    place = pairs.token.cumsum(0) - 1
    left, right = place[pairs.left], place[pairs.right]
    others = ~torch.eye(length, dtype=torch.bool)
    others = (others.tril() if causal else others).index_select(1, token)
    weights = weights.index_select(2, token)
    sinks = find_sinks(weights, others)
    others[:first] = False
    allowed = others & ~sinks[:, None]
    ranked = PairFigures.of_all(
        keys.index_select(1, token), values.index_select(1, token), left, right
    ).rank(pairs.stratum)
    dealt = _deal_queries(length, seed)
    found: dict[Rule, Contributions] = {}
    for rule, largest in RULES.items():
        attended = choose_in_text(weights, allowed, largest=largest)
        own = count_together(attended, left, right)
        chosen: Mapping[str, Tensor] = {"random_heads": own}
        if not random:
            chosen = {
                "own": own,
                "mismatched_heads": choose_elsewhere(own, n_kv_heads=len(keys)),
                "shuffled_attention": count_together(attended, left, right, dealt=dealt),
            }
        found[rule] = contribute(ranked, chosen, n_heads=heads)
    return found


@cache
def _deal_queries(length: int, seed: int) -> Int[Tensor, " query"]:
    return deal_within(torch.arange(length) * PLACES // length, seed=seed)


def _contribute_nothing(n_heads: int, *, random: bool) -> Contributions:
    """Contribute nothing, where a window has no pairs."""
    selections = SELECTIONS[-1:] if random else SELECTIONS[:-1]
    nothing = torch.zeros(len(selections), n_heads, 1, dtype=torch.float64)
    whole = nothing[:, None].expand(-1, len(STATISTICS), -1, -1)
    return Contributions(selections, STATISTICS, whole, nothing, nothing)
