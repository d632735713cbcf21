"""All measures of keys against values, each with its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.angles import principal_angles
from probes.similarity.canonical import (
    canonical_correlations,
    held_out_canonical_correlations,
    mean_squared_correlation,
)
from probes.similarity.cka import debiased_cka
from probes.similarity.catalogue.places import ATTENDED, TOPS
from probes.similarity.closed_form import closed_form_r2
from probes.similarity.contract import MeasureContract, Sizes, Takes, Transformation
from probes.similarity.dissociation import dissociation_ratio
from probes.similarity.divergence import divergence_curve
from probes.similarity.neighbours import (
    SIZES,
    find_neighbours,
    mutual_neighbours,
    neighbour_distance_ratio,
)
from probes.similarity.premise import premise_lift
from probes.similarity.representational import representational_similarity
from probes.similarity.tieability import tieability

_RIGID = frozenset(
    {
        Transformation.ROTATED_KEYS,
        Transformation.ROTATED_VALUES,
        Transformation.SHIFTED_KEYS,
        Transformation.SHIFTED_VALUES,
        Transformation.SCALED_KEYS,
        Transformation.SCALED_VALUES,
        Transformation.REORDERED,
    }
)


def _always(value: float) -> Callable[[Sizes], float]:
    return lambda _: value


def _premise_lift(
    key_similarity: Float[Tensor, "*head pair"],
    left_attention: Float[Tensor, "*head query_head pair"],
    right_attention: Float[Tensor, "*head query_head pair"],
    *,
    top: float,
    weights: Float[Tensor, "resample pair"] | None = None,
) -> Float[Tensor, "*head"] | Float[Tensor, "resample *head"]:
    sides = left_attention, right_attention
    return premise_lift(key_similarity, *sides, tops=(top,), attended=ATTENDED, weights=weights)[
        ..., 0
    ]


def _tieability(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    words: Int[Tensor, " occurrence"],
) -> Float[Tensor, "*head"]:
    return tieability(keys, values, words=words).r2


def _without_words(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Let a measure to which it is all one which word a row is be called like the others."""
    return lambda keys, values, words: function(keys, values)


def _canonical(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
) -> Float[Tensor, "*head"]:
    return mean_squared_correlation(canonical_correlations(keys, values))


def _held_out_canonical(
    keys: Float[Tensor, "*head occurrence d_key"],
    values: Float[Tensor, "*head occurrence d_value"],
    words: Int[Tensor, " occurrence"],
) -> Float[Tensor, "*head"]:
    return mean_squared_correlation(held_out_canonical_correlations(keys, values, words=words))


def _neighbour_measure(
    measure: Callable[..., Tensor], *, size: int, reverse: bool = False
) -> Callable[..., Tensor]:
    """Measure neighbourhoods of one size, mean over words; each row is a word of its own."""

    def function(
        keys: Float[Tensor, "*head occurrence d_key"],
        values: Float[Tensor, "*head occurrence d_value"],
        words: Int[Tensor, " occurrence"],
    ) -> Float[Tensor, "*head"]:
        rows = words.argsort()[:, None]
        sides = [find_neighbours(side, rows, count=size) for side in (keys, values)]
        return measure(*(sides[::-1] if reverse else sides), sizes=(size,)).mean((-2, -1))

    return function


def _list_neighbour_measures() -> Iterator[MeasureContract]:
    for size in SIZES:
        yield MeasureContract(
            name=f"mutual_neighbours_{size}",
            function=_neighbour_measure(mutual_neighbours, size=size),
            takes=Takes.COORDINATES,
            unchanged_by=_RIGID | {Transformation.SWAPPED},
            identical=1.0,
            independent=_always(0.0),
            source="Huh et al. 2024",
        )
        for side, reverse in (("value", False), ("key", True)):
            yield MeasureContract(
                name=f"neighbour_{side}_distance_ratio_{size}",
                function=_neighbour_measure(neighbour_distance_ratio, size=size, reverse=reverse),
                takes=Takes.COORDINATES,
                unchanged_by=_RIGID,
                identical=None,
                independent=_always(1.0),
                source="design, section 3",
            )


MEASURES: tuple[MeasureContract, ...] = (
    *(
        MeasureContract(
            name=f"dissociation_ratio_{top:.0%}",
            function=partial(dissociation_ratio, top=top),
            takes=Takes.PAIR_SIMILARITIES,
            unchanged_by=frozenset(
                {
                    Transformation.INCREASING_KEYS,
                    Transformation.INCREASING_VALUES,
                    Transformation.REORDERED,
                }
            ),
            identical=0.0,
            independent=_always(1.0),
            source="design, section 3",
            pair_weights=True,
        )
        for top in TOPS
    ),
    MeasureContract(
        name="divergence_curve",
        function=divergence_curve,
        takes=Takes.PAIR_SIMILARITIES,
        unchanged_by=frozenset({Transformation.INCREASING_KEYS, Transformation.REORDERED}),
        identical=None,
        independent=None,
        source="design, section 3",
        axes=("bin",),
        pair_weights=True,
    ),
    *(
        MeasureContract(
            name=f"premise_lift_{top:.0%}",
            function=partial(_premise_lift, top=top),
            takes=Takes.ATTENTION,
            unchanged_by=Takes.ATTENTION.admits,
            identical=1 / max(top, ATTENDED),
            independent=_always(1.0),
            source="design, section 3",
            pair_weights=True,
        )
        for top in TOPS
    ),
    MeasureContract(
        name="representational_similarity",
        function=representational_similarity,
        takes=Takes.PAIR_DISTANCES,
        unchanged_by=Takes.PAIR_DISTANCES.admits,
        identical=1.0,
        independent=_always(0.0),
        source="Kriegeskorte, Mur & Bandettini 2008",
        pair_weights=True,
    ),
    *_list_neighbour_measures(),
    MeasureContract(
        name="debiased_cka",
        function=_without_words(debiased_cka),
        takes=Takes.COORDINATES,
        unchanged_by=_RIGID | {Transformation.SWAPPED},
        identical=1.0,
        independent=_always(0.0),
        source="Kornblith et al. 2019; Song et al. 2012",
    ),
    MeasureContract(
        name="canonical_correlation",
        function=_without_words(_canonical),
        takes=Takes.COORDINATES,
        unchanged_by=Takes.COORDINATES.admits,
        identical=1.0,
        independent=lambda sizes: max(sizes.d_key, sizes.d_value) / (sizes.count - 1),
        source="Hotelling 1936",
    ),
    MeasureContract(
        name="held_out_canonical_correlation",
        function=_held_out_canonical,
        takes=Takes.COORDINATES,
        unchanged_by=Takes.COORDINATES.admits,
        identical=1.0,
        independent=lambda sizes: 1 / sizes.count,
        source="Hotelling 1936; Raghu et al. 2017",
    ),
    MeasureContract(
        name="tieability",
        function=_tieability,
        takes=Takes.COORDINATES,
        unchanged_by=_RIGID,
        identical=1.0,
        independent=_always(0.0),
        source="design, section 3",
    ),
    MeasureContract(
        name="closed_form_r2",
        function=_without_words(closed_form_r2),
        takes=Takes.COORDINATES,
        unchanged_by=_RIGID | {Transformation.MAPPED_KEYS},
        identical=1.0,
        independent=lambda sizes: sizes.d_key / (sizes.count - 1),
        source="Stewart & Love 1968",
    ),
    MeasureContract(
        name="principal_angles",
        function=lambda W_K, W_V: principal_angles(W_K, W_V).mean_squared_cosine,
        takes=Takes.WEIGHTS,
        unchanged_by=Takes.WEIGHTS.admits,
        identical=1.0,
        independent=lambda sizes: max(sizes.d_key, sizes.d_value) / sizes.d_input,
        source="Björck & Golub 1973",
    ),
)
"""Every measure of section 3 of the design."""
