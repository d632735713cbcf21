"""Every measure of keys against values, with the work for each side of a head done once.

A *side* is one layer's keys, or its values, in one space, with what the measures need of them:
similarities of the pairs, neighbours of the words. Any keys can then be set against any values:
those of the same heads, of other heads, of another layer, of random heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.similarity.canonical import held_out_canonical_correlations, mean_squared_correlation
from probes.similarity.cka import debiased_cka
from probes.similarity.closed_form import closed_form_r2
from probes.similarity.dissociation import dissociation_ratio
from probes.similarity.neighbours import (
    Neighbourhood,
    find_neighbours,
    mutual_neighbours,
    neighbour_distance_ratio,
)
from probes.similarity.pairs import pair_cosines, pair_distances
from probes.similarity.representational import representational_similarity
from probes.similarity.tieability import tieability
from probes.similarity.word_pairs import WordPairs

NEIGHBOURS = 10
TOPS = (0.01, 0.05, 0.10)

DIRECTIONS = {
    **{f"dissociation_ratio_{top:.0%}": -1 for top in TOPS},
    "representational_similarity": 1,
    f"mutual_neighbours_{NEIGHBOURS}": 1,
    f"neighbour_value_distance_ratio_{NEIGHBOURS}": -1,
    "debiased_cka": 1,
    "held_out_canonical_correlation": 1,
    "tieability": 1,
    "closed_form_r2": 1,
}
"""The measures of `measure_sides`: 1 where more means that keys and values are more alike, else -1.
All are defined in `probes.similarity.catalogue`."""


@dataclass(frozen=True)
class Side:
    """Keys, or values, of some heads: coordinates of the words, and what was made of them.

    ``coordinates`` holds a word's occurrences in all templates next to each other.
    """

    coordinates: Float[Tensor, "head word template d"]
    cosine: Float[Tensor, "head pair"]
    distance: Float[Tensor, "head pair"]
    neighbourhood: Neighbourhood

    @classmethod
    def of(
        cls,
        coordinates: Float[Tensor, "head occurrence d"],
        pairs: WordPairs,
        *,
        neighbour_rows: Int[Tensor, "chosen template"],
    ) -> Side:
        """Compare the words of every pair, and find the neighbours of the chosen words.

        Parameters
        ----------
        coordinates
            In one space, centred within each template.
        neighbour_rows
            The occurrences of the words among which neighbours are sought.
        """
        flat = pairs.left.flatten(), pairs.right.flatten()

        def over_templates(figures: Float[Tensor, "head flat"]) -> Float[Tensor, "head pair"]:
            return figures.reshape(-1, *pairs.left.shape).mean(dim=2)

        gathered = coordinates.index_select(1, pairs.rows.flatten())
        return cls(
            coordinates=torch.unflatten(gathered, 1, pairs.rows.shape),
            cosine=over_templates(pair_cosines(coordinates, *flat)),
            distance=over_templates(pair_distances(coordinates, *flat)),
            neighbourhood=find_neighbours(coordinates, neighbour_rows, count=NEIGHBOURS),
        )

    def roll(self, shift: int) -> Side:
        """Give each head another head's side, by rotation."""
        return replace(
            self,
            coordinates=self.coordinates.roll(shift, dims=0),
            cosine=self.cosine.roll(shift, dims=0),
            distance=self.distance.roll(shift, dims=0),
            neighbourhood=self.neighbourhood.roll(shift),
        )


def measure_sides(
    keys: Side, values: Side, *, words: Int[Tensor, " word"], seed: int
) -> dict[str, Float[Tensor, " head"]]:
    """Measure every head's keys against its values, by every measure of `DIRECTIONS`; float64.

    Canonical correlations are left out where there are not twice as many occurrences as dimensions
    of keys and values together: of so few the axes could not be told from chance.

    Parameters
    ----------
    keys, values
        Of as many heads, and of the same words.
    words
        The number of each word by which folds are made: rows of one number are in one fold.
    seed
        Of the folds.
    """
    found = {
        f"dissociation_ratio_{top:.0%}": dissociation_ratio(keys.cosine, values.cosine, top=top)
        for top in TOPS
    }
    found["representational_similarity"] = representational_similarity(
        keys.distance, values.distance
    )
    near, far = keys.neighbourhood, values.neighbourhood
    size = (NEIGHBOURS,)
    found[f"mutual_neighbours_{NEIGHBOURS}"] = mutual_neighbours(near, far, sizes=size).mean(
        (-2, -1)
    )
    found[f"neighbour_value_distance_ratio_{NEIGHBOURS}"] = neighbour_distance_ratio(
        near, far, sizes=size
    ).mean((-2, -1))
    # Side by side, a word's inner products are summed over templates: one row a word.
    joined = keys.coordinates.flatten(2), values.coordinates.flatten(2)
    found["debiased_cka"] = debiased_cka(*joined)
    flat = keys.coordinates.flatten(1, 2), values.coordinates.flatten(1, 2)
    repeated = words.repeat_interleave(keys.coordinates.shape[2])
    dimensions = flat[0].shape[-1] + flat[1].shape[-1]
    if len(repeated) > 2 * dimensions:
        found["held_out_canonical_correlation"] = mean_squared_correlation(
            held_out_canonical_correlations(*flat, words=repeated, seed=seed)
        )
    found["tieability"] = tieability(*flat, words=repeated, seed=seed).r2
    found["closed_form_r2"] = closed_form_r2(*flat)
    return {name: found[name].double() for name in DIRECTIONS if name in found}
