"""What is planted: which coordinates the queries of each head seek, and what keys and values hold.

Words have hidden figures: for each kv head a class (one of two), and an identity, of which keys and
values read parts that are independent of each other. In a *planted* head keys hold the class, and
queries seek the larger one: the head attends to two words of it. In the other heads keys hold
identities, and queries are as random as these. Since attention is q.k, even such a head attends
to keys that are a little alike. It does not where the first token, a sink, takes more or less of
the attention at random, for each word that asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.errors import UsageError

N_LAYERS, N_KV_HEADS, GROUP = 2, 5, 2
N_HEADS = N_LAYERS * N_KV_HEADS
"""kv heads of all layers; `GROUP` query heads read each."""

READ, JUNK = 33, 8
"""Coordinates of a key that queries read (of a value, that the head writes), and the others."""

IDENTITY, NOISE = 120, 32
"""Hidden figures of a word that keys, values and queries read; those that go into the junk."""

SOUGHT = 0.62
"""The part of the words in the class that is sought: two words are of it in more than a quarter of
all sentences, so that the top quarter is not at the edge of the classes."""

CLASS_IN_KEY, CLASS_IN_QUERY = 4.0, 3.5
WITHIN_KEY, WITHIN_QUERY = 0.5, 0.4
RANDOM_QUERY = 1.2
"""Sizes: of the class and, coordinate by coordinate, of all else in planted heads; of the queries
of others. Logits then differ by 4 nats between classes, by 1.4 between words in other heads."""

JUNK_SIZE = 5.0

SINK, SINK_SPREAD = 36.0, 12.0
"""Mean and spread, over words that ask, of a sink's logit."""

Values = Literal["identity", "keys"]
Attention = Literal["by key", "at random"]


@dataclass(frozen=True)
class Planting:
    """What is wanted.

    Attributes
    ----------
    share
        The part of the kv heads that is planted.
    values
        What values of planted heads hold: the word's own ``identity``, or what its ``keys`` hold.
    same
        The part of the planted heads whose values hold the keys all the same.
    strength
        Multiplies the class in keys.
    key_scale
        Multiplies all keys, in every head.
    common
        The length of a vector that all keys share, over the root mean square of a key.
    attention, others
        Of planted heads, and of the others: by q.k alone (``by key``), or decided by a sink (``at
        random``).
    """

    share: float = 1.0
    values: Values = "identity"
    same: float = 0.0
    strength: float = 1.0
    key_scale: float = 1.0
    common: float = 0.0
    attention: Attention = "by key"
    others: Attention = "at random"

    def __post_init__(self) -> None:
        for name in ("share", "same"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give a part, 0 to 1.")


@dataclass(frozen=True)
class Design:
    """The hidden figures of all words, and what each head reads of them.

    Attributes
    ----------
    hidden
        Figures of each word.
    query_map, key_map, value_map
        From the figures to what a head reads, the class first.
    key_junk, value_junk
        From the figures to what is in keys and values, and counts for nothing.
    sink_map
        From the figures to the logit of the sink; 0 where there is none.
    planted
        Which kv heads are planted.
    """

    planting: Planting
    words: tuple[str, ...]
    hidden: Float[Tensor, "word figure"]
    query_map: Float[Tensor, "kv_head query_head figure read"]
    key_map: Float[Tensor, "kv_head figure read"]
    value_map: Float[Tensor, "kv_head figure read"]
    key_junk: Float[Tensor, "kv_head figure junk"]
    value_junk: Float[Tensor, "kv_head figure junk"]
    sink_map: Float[Tensor, "kv_head query_head figure"]
    planted: Bool[Tensor, " kv_head"]

    @classmethod
    def draw(cls, planting: Planting, words: Sequence[str], *, seed: int) -> Design:
        """Draw the hidden figures of words and the heads that read them.

        The same seed gives the same words the same identities, whatever is planted.
        """
        random = torch.Generator().manual_seed(seed)
        n_words = len(words)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random)

        def read(first: int, width: int, count: int) -> Tensor:
            """Draw, for each head, directions at right angles among the figures from `first`."""
            maps = torch.zeros(N_HEADS, n_figures, count)
            maps[:, first : first + width] = torch.linalg.qr(draw(N_HEADS, width, count))[0]
            return maps

        orders = [torch.randperm(n_words, generator=random) for _ in range(N_HEADS)]
        classes = (torch.stack(orders, 1) < round(SOUGHT * n_words)) * 2.0 - 1
        n_asking = N_HEADS * GROUP
        widths = (N_HEADS, IDENTITY, IDENTITY, IDENTITY, NOISE, NOISE, n_asking, 1)
        drawn = [draw(n_words, width) for width in widths[1:-1]]
        hidden = torch.cat([classes, *drawn, torch.ones(n_words, 1)], 1)
        starts = [sum(widths[:place]) for place in range(len(widths))]
        n_figures = sum(widths)
        own_keys, own_values = (read(starts[place], IDENTITY, READ) for place in (1, 2))
        queries = torch.stack([read(starts[3], IDENTITY, READ) for _ in range(GROUP)], 1)
        junk = [JUNK_SIZE * read(starts[place], NOISE, JUNK) for place in (4, 5)]

        n_planted = round(planting.share * N_HEADS)
        order = torch.randperm(N_HEADS, generator=random)[:n_planted]
        planted = torch.zeros(N_HEADS, dtype=torch.bool)
        planted[order] = True
        n_same = n_planted if planting.values == "keys" else round(planting.same * n_planted)
        key_map, query_map = own_keys.clone(), RANDOM_QUERY * queries
        for head in order.tolist():
            key_map[head] *= WITHIN_KEY
            key_map[head, :, 0] = 0
            key_map[head, head, 0] = CLASS_IN_KEY * planting.strength
            query_map[head] *= WITHIN_QUERY / RANDOM_QUERY
            query_map[head, :, :, 0] = 0
            query_map[head, :, -1, 0] = CLASS_IN_QUERY  # the last figure is 1
        sink_map = torch.zeros(N_HEADS, GROUP, n_figures)
        for head, is_planted in enumerate(planted.tolist()):
            if (planting.attention if is_planted else planting.others) == "at random":
                first = starts[6] + GROUP * head
                sink_map[head, range(GROUP), range(first, first + GROUP)] = SINK_SPREAD
                sink_map[head, :, -1] = SINK
        value_map = own_values.clone()
        value_map[order[:n_same]] = key_map[order[:n_same]]
        return cls(
            planting=planting,
            words=tuple(words),
            hidden=hidden,
            query_map=query_map,
            key_map=planting.key_scale * key_map,
            value_map=value_map,
            key_junk=planting.key_scale * junk[0],
            value_junk=junk[1],
            sink_map=sink_map,
            planted=planted,
        )
