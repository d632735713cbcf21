"""Sentences: one layer of a capture of contexts, from rows of the store to contributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.capture.contexts import ContextPairs
from probes.similarity.co_attended.choose import (
    TOP_SHARE,
    choose_elsewhere,
    choose_in_sentences,
    deal_within,
    weigh_heads,
)
from probes.similarity.co_attended.contributions import Contributions, contribute
from probes.similarity.co_attended.figures import PairFigures, RankedPairs
from probes.similarity.co_attended.random_layer import RandomLayer
from probes.similarity.random_heads import read_spectra
from probes.similarity.spaces import HeadMetrics, read_heads, to_space

if TYPE_CHECKING:
    from probes.capture.store import Store
    from probes.models.layer import AttentionLayer


@dataclass(frozen=True)
class Units:
    """The distinct pairs of words of some events: the units of every interval.

    Attributes
    ----------
    number
        The unit of each event.
    left_word, right_word
        The two words of each unit.
    """

    number: Int[Tensor, " event"]
    left_word: Int[Tensor, " unit"]
    right_word: Int[Tensor, " unit"]

    def __len__(self) -> int:
        return len(self.left_word)

    @classmethod
    def of(cls, events: ContextPairs) -> Units:
        """Find the distinct pairs; the order of the two words counts for nothing."""
        sides = torch.stack([events.left_word, events.right_word]).sort(dim=0).values
        pairs, number = torch.unique(sides, dim=1, return_inverse=True)
        return cls(number, pairs[0], pairs[1])


@dataclass(frozen=True)
class LayerContributions:
    """What one layer contributes, and the sizes that its gaps are held against.

    Attributes
    ----------
    contributions
        A unit per distinct pair of words.
    attention
        How much attention each head gives to the two words.
    written_square, stream_square
        Mean squares, over queries, of what each head writes and of the stream's norm; None where
        the capture has none (word pairs).
    """

    contributions: Contributions
    attention: Float[Tensor, " head"]
    written_square: Float[Tensor, " head"] | None
    stream_square: Float[Tensor, ""] | None


def take_comparable(events: ContextPairs) -> ContextPairs:
    """Keep the events both of whose words have others to be centred with.

    A word that is alone in its group is its own mean: nothing is left of it to compare.
    """
    size = torch.bincount(events.group)[events.group]
    return events.take((size[events.left] > 1) & (size[events.right] > 1))


@dataclass(frozen=True)
class ChosenLayer:
    """One layer's pairs, ranked, and the choice of every selection.

    Attributes
    ----------
    ranked
        Every event among those of its stratum.
    chosen
        Selection -> what each head chooses, times the events' weights.
    attention
        What each head gives to the two words of every event.
    """

    ranked: RankedPairs
    chosen: dict[str, Float[Tensor, "any_head event"]]
    attention: tuple[Float[Tensor, "head event"], Float[Tensor, "head event"]]


def choose_layer(
    store: Store,
    layer: int,
    events: ContextPairs,
    *,
    metrics: HeadMetrics,
    share: float = TOP_SHARE,
    seed: int = 0,
) -> ChosenLayer:
    """Rank the events of one layer, and let its own, other and shuffled attention choose.

    Parameters and errors are those of `contribute_layer`.
    """
    attention = store.read("attention", layer).T
    left, right = attention[:, events.left_query], attention[:, events.right_query]
    own = choose_in_sentences(left, right, share=share)
    dealt = deal_within(events.stratum, seed=seed)
    shuffled = choose_in_sentences(left, right[:, dealt], share=share)
    weight, n_kv_heads = events.weight.float(), store.number("n_kv_heads", layer)
    chosen = {
        "own": own * weight,
        "mismatched_heads": choose_elsewhere(own, n_kv_heads=n_kv_heads) * weight,
        "shuffled_attention": shuffled * weight,
    }
    k, v = read_heads(store, "k", layer), read_heads(store, "v", layer)
    return ChosenLayer(_rank(k, v, metrics, events), chosen, (left, right))


def contribute_layer(
    store: Store,
    layer: int,
    events: ContextPairs,
    units: Units,
    *,
    metrics: HeadMetrics,
    share: float = TOP_SHARE,
    random: bool = True,
    how: AttentionLayer | None = None,
    seed: int = 0,
) -> LayerContributions:
    """Measure one layer of a capture: what its heads attend to together, and how alike it is.

    Every distinct pair of words counts once, however many events it has.

    Parameters
    ----------
    events
        See `take_comparable`.
    units
        Of the same events.
    metrics
        The layer's functional metrics (`probes.similarity.spaces.read_metrics`).
    share
        The top share of sentences in which a head attends to both words.
    random
        Let random heads choose too, in the contexts that were captured whole; ``random_heads`` is
        left out where there are none.
    how
        The model's layer, for the norms and the rotation of random heads.
    seed
        Of the shuffled attention and the random heads.

    Raises
    ------
    NonFiniteError
        If a number is NaN or infinite, or a vector is zero.
    UsageError
        If `share` is out of range.
    """
    own = choose_layer(store, layer, events, metrics=metrics, share=share, seed=seed)
    n_heads = store.number("n_heads", layer)
    options = {"n_heads": n_heads, "unit": units.number, "n_units": len(units)}
    parts = [contribute(own.ranked, own.chosen, **options)]
    if random and (whole := WholeContexts.of(store, events)) is not None:
        drawn = draw_layer(store, layer, how=how, seed=seed)
        if drawn is not None:
            of_random, attended = _choose_randomly(store, layer, events, whole, drawn, share=share)
            found = {"random_heads": attended * events.weight.float()}
            parts.append(contribute(of_random, found, **options))
    return LayerContributions(
        Contributions.merge(parts), weigh_heads(*own.attention), *read_sizes(store, layer)
    )


@dataclass(frozen=True)
class WholeContexts:
    """The contexts that were read at every token, and the events in them.

    Attributes
    ----------
    event
        The events of these contexts.
    rows
        The occurrence of every token that an event's query sees; -1 behind the last.
    position
        Where the query is.
    left, right
        Where the two words are.
    """

    event: Int[Tensor, " whole"]
    rows: Int[Tensor, "whole token"]
    position: Int[Tensor, " whole"]
    left: Int[Tensor, " whole"]
    right: Int[Tensor, " whole"]

    @classmethod
    def of(cls, store: Store, events: ContextPairs) -> WholeContexts | None:
        """Find them; None where there are none, as in captures of word pairs."""
        if "context_rows" not in events.table:
            return None
        rows = events.table["context_rows"]
        number = [place for place, own in enumerate(rows) if len(own)]
        if not number:
            return None
        queries, occurrences = store.table("queries"), store.table("occurrences")
        event = torch.tensor(number)
        position = _take(queries["position"], events.left_query[event])
        seen = [list(rows.iloc[place]) for place in number]
        if store.manifest["geometry"]["causal"]:
            ends = position.tolist()
            seen = [own[: end + 1] for own, end in zip(seen, ends, strict=True)]
        padded = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(own) for own in seen], batch_first=True, padding_value=-1
        )
        left, right = (
            _take(occurrences["last_token"], side[event]) for side in (events.left, events.right)
        )
        return cls(event, padded, position, left, right)


def draw_layer(
    store: Store, layer: int, *, how: AttentionLayer | None, seed: int
) -> RandomLayer | None:
    """Draw random heads of a captured layer; None where W_Q and W_K read different things."""
    d_input, d_model = store.read("x", layer).shape[1], store.manifest["geometry"]["d_model"]
    if d_input != d_model:
        return None
    return RandomLayer.draw(
        read_spectra(store, layer),
        d_head=store.number("d_head", layer),
        d_value=store.number("d_value", layer),
        d_input=d_input,
        d_query_input=d_input,
        d_model=d_model,
        logit_scale=store.number("logit_scale", layer),
        layer=layer,
        seed=seed,
        how=how,
    )


def _choose_randomly(
    store: Store,
    layer: int,
    events: ContextPairs,
    whole: WholeContexts,
    drawn: RandomLayer,
    *,
    share: float,
) -> tuple[RankedPairs, Float[Tensor, "head event"]]:
    """Rank all events by random keys and values; let random queries choose in whole contexts."""
    x = store.read("x", layer)
    k, v = drawn.read(x)
    asking = whole.rows.gather(1, whole.position[:, None])[:, 0]
    q = drawn.ask(x[asking], whole.position)
    turned = torch.cat([drawn.turn_back(q, side) for side in (whole.left, whole.right)])
    grouped = torch.unflatten(turned.double(), 1, (k.shape[1], -1))
    moment = torch.einsum("qkgd,qkge->kde", grouped, grouped) / (len(turned) * grouped.shape[2])
    metrics = HeadMetrics(key=moment * drawn.logit_scale**2, value=drawn.value_metric)
    weights = drawn.weigh_contexts(q, k[whole.rows.clamp(min=0)], visible=whole.rows >= 0)
    left, right = (
        weights.gather(-1, side[None, :, None].expand(len(weights), -1, 1))[..., 0]
        for side in (whole.left, whole.right)
    )
    attended = torch.zeros(len(weights), len(events))
    attended[:, whole.event] = choose_in_sentences(left, right, share=share)
    return _rank(k.transpose(0, 1), v.transpose(0, 1), metrics, events), attended


def _rank(k: Tensor, v: Tensor, metrics: HeadMetrics, events: ContextPairs) -> RankedPairs:
    keys = to_space(k, "functional", metric=metrics.key, templates=events.group)
    values = to_space(v, "functional", metric=metrics.value, templates=events.group)
    return PairFigures.of(keys, values, events.left, events.right).rank(events.stratum)


def read_sizes(
    store: Store, layer: int
) -> tuple[Float[Tensor, " head"] | None, Float[Tensor, ""] | None]:
    """Return mean squares of what each head writes, and of the stream's norm; None if not there."""
    if not store.manifest["identity"].get("sizes", False):
        return None, None
    written, stream = (store.read(name, layer).double().square() for name in ("written", "stream"))
    return written.mean(0), stream.mean(0)


def _take(column: pd.Series[int], rows: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    return torch.tensor(column.to_numpy())[rows]
