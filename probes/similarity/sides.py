"""Every measure of keys against values, with the work for each side of a head done once.

A *side* is one layer's keys, or its values, in one space, with what the measures need of them:
similarities of the pairs, neighbours of the words. Any keys can then be set against any values:
those of the same heads, of other heads, of another layer, of random heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.capture.located import DistinctWords
from probes.similarity.catalogue.measures import list_side_measures
from probes.similarity.measure import Measure, Sizes, Takes
from probes.similarity.neighbours import BESIDE_NULLS, Neighbourhood, find_neighbours
from probes.similarity.pairs import average_pairs, pair_cosines, pair_distances


@dataclass(frozen=True)
class Side:
    """Keys, or values, of some heads: coordinates of the words, and what was made of them.

    ``coordinates`` holds a word's occurrences in all templates next to each other.
    """

    coordinates: Float[Tensor, "head word template d"]
    cosine: Float[Tensor, "head pair"]
    distance: Float[Tensor, "head pair"]
    neighbourhood: Neighbourhood | None

    @classmethod
    def of(
        cls,
        coordinates: Float[Tensor, "head occurrence d"],
        words: DistinctWords,
        *,
        neighbour_rows: Int[Tensor, "chosen template"] | None,
    ) -> Side:
        """Compare the words of every pair, and find the neighbours of the chosen words.

        Parameters
        ----------
        coordinates
            In one space, centred within each template.
        words
            The words of the pairs, and the pairs.
        neighbour_rows
            The occurrences of the words among which neighbours are sought; None if no measure
            takes neighbours.
        """
        neighbourhood = None
        if neighbour_rows is not None:
            neighbourhood = find_neighbours(coordinates, neighbour_rows, count=BESIDE_NULLS)
        left, right = words.rows[words.left], words.rows[words.right]
        gathered = coordinates.index_select(1, words.rows.flatten())
        return cls(
            coordinates=torch.unflatten(gathered, 1, words.rows.shape),
            cosine=average_pairs(pair_cosines, coordinates, left, right),
            distance=average_pairs(pair_distances, coordinates, left, right),
            neighbourhood=neighbourhood,
        )

    def roll(self, shift: int) -> Side:
        """Give each head another head's side, by rotation."""
        return replace(
            self,
            coordinates=self.coordinates.roll(shift, dims=0),
            cosine=self.cosine.roll(shift, dims=0),
            distance=self.distance.roll(shift, dims=0),
            neighbourhood=self.neighbourhood and self.neighbourhood.roll(shift),
        )

    def take(self, takes: Takes) -> Any:
        """Return what a measure takes of one side.

        Side by side, the inner products of a word's rows are summed over templates: one row per
        word.
        """
        match takes:
            case Takes.PAIR_SIMILARITIES:
                return self.cosine
            case Takes.PAIR_DISTANCES:
                return self.distance
            case Takes.NEIGHBOURHOODS:
                return self.neighbourhood
            case Takes.WORDS:
                return self.coordinates.flatten(2)
        return self.coordinates.flatten(1, 2)


def measure_sides(
    keys: Side,
    values: Side,
    *,
    words: Int[Tensor, " word"],
    seed: int,
    measures: Sequence[Measure] | None = None,
) -> dict[str, Float[Tensor, " head"]]:
    """Measure every head's keys against its values, by every measure that sides give; float64.

    A measure is left out where there are not enough occurrences to distinguish it from chance.

    Parameters
    ----------
    keys, values
        Of as many heads, and of the same words.
    words
        The number of each word by which folds are made: rows of one number are in one fold.
    seed
        Of the folds.
    measures
        Which; without it, all that sides give.
    """
    n_words, n_templates, d_key = keys.coordinates.shape[1:]
    sizes = Sizes(n_words * n_templates, d_key, values.coordinates.shape[-1])
    repeated = words.repeat_interleave(n_templates)
    found = {}
    for measure in list_side_measures() if measures is None else measures:
        if not measure.enough(sizes):
            continue
        sides = keys.take(measure.takes), values.take(measure.takes)
        if measure.takes is Takes.HELD_OUT:
            figures = measure.function(*sides, repeated, seed=seed)
        else:
            figures = measure.function(*sides)
        found[measure.name] = figures.double()
    return found
