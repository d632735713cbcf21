"""Sentences whose answer is known: keys and values that carry what they were given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probes.similarity.co_attended.choose import (
    choose_elsewhere,
    choose_in_sentences,
    deal_within,
)
from probes.similarity.co_attended.contributions import Contributions, contribute
from probes.similarity.co_attended.figures import PairFigures
from probes.similarity.coordinates import centre, metric_root

HEADS, GROUP = 3, 2
"""kv heads, and query heads of each."""

WORDS, CLASSES, TEMPLATES, EVENTS = 120, 6, 3, 2400
WIDTH, JUNK = 10, 6
"""Coordinates that carry something, and those of keys that no query reads and of values that no
head writes."""


@dataclass(frozen=True)
class Planted:
    """Sentences of two words, in two slots, and a query; [kv_head, occurrence, d].

    ``weights`` [side, head, event]; ``stratum`` is the template and how many words are frequent.
    """

    keys: Tensor
    values: Tensor
    key_metric: Tensor
    value_metric: Tensor
    weights: Tensor
    left: Tensor
    right: Tensor
    group: Tensor
    stratum: Tensor


def plant(
    *,
    keys: str,
    values: str,
    seed: int = 0,
    share: float = 1.0,
    key_scale: float = 1.0,
    common: float = 0.0,
    by_key: bool = True,
    frequent_alike: bool = False,
) -> Planted:
    """Plant keys, and values, that carry the ``class`` of a word or its ``identity``.

    Values can also be the ``keys``.

    Parameters
    ----------
    share
        The part of the kv heads in which it is so; keys of the others carry another identity.
    key_scale
        Multiplies keys.
    common
        The length of a vector that all keys of one slot of a template share.
    by_key
        Queries seek the class of one of the two words, and attend by q.k; otherwise attention is
        drawn at random.
    frequent_alike
        Keys of frequent words, half of all, are alike, and these are attended to more.
    """
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    # Each head parts the words into classes of its own.
    classes = torch.stack([torch.randperm(WORDS, generator=random) % CLASSES for _ in range(HEADS)])
    head = torch.arange(HEADS)[:, None]
    centres = draw(HEADS, CLASSES, WIDTH)
    made = {
        "class": centres[head, classes] + 0.3 * draw(HEADS, WORDS, WIDTH),
        "identity": draw(HEADS, WORDS, WIDTH),
        "other": draw(HEADS, WORDS, WIDTH),
    }
    planted = (torch.arange(HEADS) < round(share * HEADS))[:, None]
    made["keys"] = torch.where(planted[..., None], made[keys], made["other"])
    frequent = torch.arange(WORDS) % 2 == 0
    if frequent_alike:
        made["keys"] = made["keys"] + 3 * draw(HEADS, 1, WIDTH) * frequent[:, None]

    slots = 2 * TEMPLATES
    word = torch.arange(WORDS).repeat(slots)
    group = torch.arange(slots).repeat_interleave(WORDS)

    def stand(vectors: Tensor, frame: float) -> Tensor:
        """Put the words into every slot, with a vector of the slot, and add what is not read."""
        shared = frame * torch.nn.functional.normalize(draw(HEADS, slots, WIDTH), dim=-1)
        placed = vectors[:, word] + shared[:, group] + 0.05 * draw(HEADS, len(word), WIDTH)
        return torch.cat([placed, 5 * draw(HEADS, len(word), JUNK)], -1)

    stood = {
        "keys": key_scale * stand(made["keys"], common),
        "values": stand(made[values], 1.0),
    }
    first = torch.randint(WORDS, (EVENTS,), generator=random)
    second = (first + torch.randint(1, WORDS, (EVENTS,), generator=random)) % WORDS
    template = torch.randint(TEMPLATES, (EVENTS,), generator=random)
    left, right = first + WORDS * 2 * template, second + WORDS * (2 * template + 1)
    sought = torch.where(torch.rand(EVENTS, generator=random) < 0.5, first, second)
    aims = centres[head, classes[:, sought]] * (planted[..., None] & by_key)
    queries = aims.transpose(0, 1).repeat_interleave(GROUP, 1) + draw(EVENTS, HEADS * GROUP, WIDTH)
    queries = torch.cat([queries, torch.zeros(EVENTS, HEADS * GROUP, JUNK)], -1)
    grouped = queries.unflatten(1, (HEADS, GROUP))
    logits = draw(2, HEADS * GROUP, EVENTS)
    if by_key:  # softmax takes away what all words of a slot have in common
        seen = centre(stood["keys"], group)
        logits = torch.stack(
            [
                torch.einsum("nkgd,knd->kgn", grouped, seen[:, side]).flatten(0, 1)
                for side in (left, right)
            ]
        )
    if frequent_alike:
        logits = logits + 2 * torch.stack([frequent[first], frequent[second]])[:, None]
    weights = torch.cat([logits, torch.full_like(logits[:1], 2.0)]).softmax(0)[:2]
    wide = grouped.double()
    written = torch.diag(torch.cat([torch.ones(WIDTH), torch.zeros(JUNK)])).double()
    return Planted(
        **stood,
        key_metric=torch.einsum("nkgd,nkge->kde", wide, wide) / (EVENTS * GROUP),
        value_metric=written.expand(HEADS, -1, -1),
        weights=weights,
        left=left,
        right=right,
        group=group,
        stratum=3 * template + frequent[first].long() + frequent[second].long(),
    )


def measure(
    planted: Planted,
    *,
    centred: bool = True,
    conditioned: bool = True,
    functional: bool = True,
    own_attention: bool = True,
) -> Contributions:
    """Measure as the analysis does; with a switch off, as a mutant of it does."""
    sides = []
    for vectors, metric in (
        (planted.keys, planted.key_metric),
        (planted.values, planted.value_metric),
    ):
        used = metric if functional else torch.eye(metric.shape[-1]).double().expand_as(metric)
        placed = centre(vectors, planted.group) if centred else vectors
        sides.append(placed @ metric_root(used).float())
    left, right = planted.weights if own_attention else planted.weights.roll(GROUP, 1)
    own = choose_in_sentences(left, right)
    dealt = deal_within(planted.stratum, seed=0)
    chosen = {
        "own": own,
        "mismatched_heads": choose_elsewhere(own, n_kv_heads=HEADS),
        "shuffled_attention": choose_in_sentences(left, right[:, dealt]),
    }
    strata = planted.stratum if conditioned else torch.zeros_like(planted.stratum)
    ranked = PairFigures.of(*sides, planted.left, planted.right).rank(strata)
    return contribute(ranked, chosen, n_heads=HEADS * GROUP)


def read(found: Contributions, selection: str, statistic: str) -> Tensor:
    """Return one statistic of every query head."""
    above, below = found.find(selection, statistic)
    return above.sum(-1) / below.sum(-1)
