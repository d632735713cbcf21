"""Words as a model reads them, in memory: a row per occurrence, keys and values by layer."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.naming import require_known
from probes.similarity.catalogue.places import SPACES
from probes.similarity.coordinates import centre
from probes.similarity.spaces import to_space

FEWEST_TO_CENTRE = 10
"""The mean of fewer words holds too much of each of them to be removed."""

Layers = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Words:
    """Occurrences of words, and what a model makes of them.

    Attributes
    ----------
    table
        A row per occurrence: ``word, group, sentence, start, end, first_token, last_token``. What
        is subtracted when vectors are centred is the mean over the occurrences of one ``group``: of
        one template, or of all sentences where these are free.
    k, v
        By layer, ``[occurrence, kv_head, d_head]``, float32.
    x
        By layer, ``[occurrence, d_input]``: what W_K and W_V read. Empty where it was not read.
    q
        By layer, ``[occurrence, head, d_head]``: the words' own queries, at the stage of the keys.
        Empty where they were not read.
    key_metric
        By layer, ``[kv_head, d_head, d_head]``: the mean of q q' over the queries that attend to
        the words, times the squared scale of the logits. Empty where no query was read.
    value_metric
        By layer, ``[kv_head, d_value, d_value]``: W_O W_O', summed over the heads of a group. Empty
        where W_O is not known.
    about
        ``model``, ``source`` (what it was read from), ``site``, ``key_stage`` and ``queries`` (how
        many the key metric rests on).
    losses
        What could not be found among the tokens: ``word, sentence, reason``.
    """

    table: pd.DataFrame
    k: Layers
    v: Layers
    x: Layers
    q: Layers
    key_metric: Layers
    value_metric: Layers
    about: dict[str, Any]
    losses: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def n_layers(self) -> int:
        """How many layers were read."""
        return len(self.k)

    @property
    def names(self) -> tuple[str, ...]:
        """Every word once, in alphabetical order."""
        return tuple(sorted(self.table["word"].unique()))

    @cached_property
    def groups(self) -> Int[Tensor, " occurrence"]:
        """The number of each occurrence's group."""
        return torch.tensor(pd.factorize(self.table["group"])[0])

    def find(self, word: str) -> Int[np.ndarray, " occurrence"]:
        """Return the rows of a word.

        Raises
        ------
        UsageError
            If it was not read.
        """
        require_known("word that was read", word, self.names)
        return np.flatnonzero(self.table["word"] == word)

    def list_spaces(self) -> tuple[str, ...]:
        """Return the spaces in which keys and values can be compared: those with what they need."""
        return tuple(space for space in SPACES if self.find_obstacle(space) is None)

    def find_obstacle(self, space: str) -> str | None:
        """Say why a space is not available; None if it can.

        Raises
        ------
        UsageError
            If there is no such space.
        """
        require_known("space", space, SPACES)
        if space == "raw":
            return None
        fewest = int(self.table.groupby("group")["word"].nunique().min())
        if fewest < FEWEST_TO_CENTRE:
            return (
                f"{fewest} different words are in one group, and centring needs "
                f"{FEWEST_TO_CENTRE}: read more words"
            )
        if space == "functional" and not self.key_metric:
            return "no query that attends to the words was read: let tokens follow the words"
        if space == "functional" and not self.value_metric:
            return (
                "the output weights (W_O) are not known, or are no matrix: give the model too, "
                "with weights that are"
            )
        return None

    def keys(self, layer: int, space: str = "raw") -> Float[Tensor, "kv_head occurrence d_head"]:
        """Return the keys of a layer in a space, the heads in front.

        Raises
        ------
        UsageError
            If there is no such layer or space, or the space lacks what it needs.
        """
        return self._place(self.k, self.key_metric, layer, space)

    def values(self, layer: int, space: str = "raw") -> Float[Tensor, "kv_head occurrence d_value"]:
        """Return the values of a layer in a space, the heads in front.

        Raises
        ------
        UsageError
            If there is no such layer or space, or the space lacks what it needs.
        """
        return self._place(self.v, self.value_metric, layer, space)

    def _place(self, vectors: Layers, metrics: Layers, layer: int, space: str) -> Tensor:
        if not 0 <= layer < self.n_layers:
            raise UsageError(f"there is no layer {layer}: layers are 0 to {self.n_layers - 1}.")
        if (obstacle := self.find_obstacle(space)) is not None:
            raise UsageError(f"the {space} space is not available: {obstacle}.")
        heads = vectors[layer].transpose(0, 1).contiguous()
        if space == "raw":
            return heads
        if space == "centred":
            return centre(heads, self.groups)
        return to_space(heads, space, metric=metrics[layer], templates=self.groups)

    def locate(self) -> tuple[tuple[str, ...], Int[Tensor, "word group"]]:
        """Return the words that are in every group, and where `gather` puts them."""
        names = self._places[0]
        rows = torch.arange(len(names) * self._n_groups).reshape(len(names), self._n_groups)
        return names, rows

    def gather(self, vectors: Float[Tensor, "head occurrence d"]) -> Float[Tensor, "head row d"]:
        """Give every word of `locate` one row per group: the mean over its occurrences there."""
        names, kept, place = self._places
        n_rows = len(names) * self._n_groups
        sums = vectors.new_zeros(len(vectors), n_rows, vectors.shape[-1], dtype=torch.float64)
        sums.index_add_(1, place, vectors[:, kept].double())
        counts = torch.bincount(place, minlength=n_rows)
        return (sums / counts[:, None]).to(vectors.dtype)

    @cached_property
    def _n_groups(self) -> int:
        return int(self.table["group"].nunique())

    @cached_property
    def _places(self) -> tuple[tuple[str, ...], Tensor, Tensor]:
        """Find the words in every group, which occurrences are theirs, and the row of each."""
        groups_of = self.table.groupby("word")["group"].nunique()
        names = pd.Index(sorted(groups_of.index[groups_of == self._n_groups]))
        word = torch.tensor(names.get_indexer(self.table["word"]))
        place = word * self._n_groups + self.groups
        return tuple(names), word >= 0, place[word >= 0]

    def __repr__(self) -> str:
        heads = sorted({tensor.shape[1] for tensor in self.k})
        told = "-".join(str(number) for number in dict.fromkeys((heads[0], heads[-1])))
        return (
            f"Words({len(self.names)} words, {len(self)} occurrences, {self.n_layers} layers x "
            f"{told} kv heads of {self.about['model']}, {self.about['key_stage']} keys)"
        )

    def _repr_html_(self) -> str:
        shown = self.table[["word", "group", "sentence"]].head(10)
        rest = f"<p>and {len(self) - 10} more</p>" if len(self) > 10 else ""
        return f"<p>{html.escape(repr(self))}</p>{shown.to_html(index=False, border=0)}{rest}"
