"""Two words that a query attends to, from any capture: their rows, and their reference class.

An *event* is two words in one context and what attends to them. A pair of words is compared with
the other events of its *stratum*, attended or not: events of the same template and places and, as
far as there are enough, of similar distance, position, number of tokens and frequency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probes.capture.located import LocatedPairs
from probes.capture.store import Store
from probes.capture.strata import find_strata
from probes.errors import TableError

NEEDED = ("template_id", "left", "right", "left_query", "right_query", "left_word", "right_word")


@dataclass(frozen=True)
class ContextPairs:
    """The events of one capture.

    Attributes
    ----------
    table
        A row per event, with an index that counts from 0. ``weight`` is 1 over the number of events
        of the same two words, in either order: weighted so, each distinct pair counts once
        however often it is in the data.
    left, right
        The occurrence rows of the two words.
    left_query, right_query
        The rows of what attends to each. With `one_query` these are the same token.
    group
        The number of each occurrence's centring group: what is subtracted is the mean over it.
    stratum
        The number of each event's reference class; see `find_strata`.
    words
        Every word of an event once, in alphabetical order.
    left_word, right_word
        The number of each word in `words`.
    one_query
        Whether one token attends to both words in one sentence. In word pairs, where each word
        is in a sentence of its own, two do.
    """

    table: pd.DataFrame
    left: Int[Tensor, " event"]
    right: Int[Tensor, " event"]
    left_query: Int[Tensor, " event"]
    right_query: Int[Tensor, " event"]
    group: Int[Tensor, " occurrence"]
    stratum: Int[Tensor, " event"]
    words: tuple[str, ...]
    left_word: Int[Tensor, " event"]
    right_word: Int[Tensor, " event"]
    one_query: bool

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def of(cls, store: Store, *, source: str | None = None) -> ContextPairs:
        """Read the events of a capture of contexts: coordinations, or a user's sentences.

        Events of the same two occurrences are the same to a causal model, whatever follows: the
        first of them stands for all.

        Raises
        ------
        TableError
            If the capture is not one of contexts.
        """
        table, occurrences = store.table("pairs"), store.table("occurrences")
        if source is not None:  # as if there were no others
            table = table[table["source"] == source]
        missing = [name for name in NEEDED if name not in table]
        missing += [name for name in ("group", "slot") if name not in occurrences]
        if missing:
            raise TableError(
                f"the capture in {store.folder} has no column {missing[0]!r}: it is not one of two "
                "words in one sentence. Capture coordinations or sentences."
            )
        return cls._of(table, occurrences, occurrences["group"], one_query=True)

    @classmethod
    def of_compounds(cls, store: Store) -> ContextPairs:
        """Read a capture of word pairs: every pair in every template is an event of two queries.

        Both words are in the same place of their sentences. A word that was lost in a template
        takes that event with it. Pairs of the same two occurrences are one event.

        Raises
        ------
        TableError
            If the capture has no pairs of modifiers with a head.
        """
        located = LocatedPairs.of(store)
        if located.left_query is None or located.right_query is None:
            raise TableError(
                f"the capture in {store.folder} is of single words, which no head attends to in "
                "pairs. Capture word pairs (head, m1, m2)."
            )
        whole = (located.left >= 0) & (located.right >= 0)
        pair, template = (places.numpy() for places in torch.nonzero(whole, as_tuple=True))
        known = located.table.rename(columns={"z_m1": "z_left", "z_m2": "z_right"})
        table = known.iloc[pair].reset_index(drop=True)
        template_ids = np.array(located.captured.template_ids, dtype=object)
        table = table.assign(
            template_id=template_ids[template],
            left_word=table["m1"],
            right_word=table["m2"],
            left=located.left[whole].numpy(),
            right=located.right[whole].numpy(),
            left_query=located.left_query[whole].numpy(),
            right_query=located.right_query[whole].numpy(),
        )
        occurrences = store.table("occurrences").assign(slot=0)
        return cls._of(table, occurrences, occurrences["template_id"], one_query=False)

    @classmethod
    def _of(
        cls,
        table: pd.DataFrame,
        occurrences: pd.DataFrame,
        groups: pd.Series[str],
        *,
        one_query: bool,
    ) -> ContextPairs:
        sides = np.sort(table[["left", "right"]].to_numpy(dtype=np.int64), axis=1)
        table = table[~pd.DataFrame(sides).duplicated().to_numpy()].reset_index(drop=True)
        words = tuple(sorted({*table["left_word"], *table["right_word"]}))
        left_word, right_word = (
            torch.tensor(pd.Index(words).get_indexer(table[side]))
            for side in ("left_word", "right_word")
        )
        table["weight"] = weigh_pairs(left_word, right_word).numpy()
        rows = {name: torch.tensor(table[name].to_numpy(dtype=np.int64)) for name in NEEDED[1:5]}
        return cls(
            table=table,
            **rows,
            group=torch.tensor(pd.factorize(groups)[0]),
            stratum=find_strata(table, occurrences, one_query=one_query),
            words=words,
            left_word=left_word,
            right_word=right_word,
            one_query=one_query,
        )

    @property
    def weight(self) -> Float[Tensor, " event"]:
        """What each event counts for, so that each distinct pair of words counts once; float64."""
        return torch.tensor(self.table["weight"].to_numpy(dtype=np.float64))

    @property
    def n_distinct(self) -> int:
        """How many distinct pairs of words there are, in either order."""
        return int(np.unique(_sort_sides(self.left_word, self.right_word), axis=1).shape[1])

    def take(self, rows: Int[Tensor, " chosen"] | Bool[Tensor, " event"] | slice) -> ContextPairs:
        """Keep some events, by their numbers, by a mask or as a slice.

        Strata and groups keep their numbers, and words theirs; weights are those of what is left.
        """
        chosen = torch.arange(len(self))[rows]
        names = ("left", "right", "left_query", "right_query", "stratum", "left_word", "right_word")
        kept = {name: getattr(self, name)[chosen] for name in names}
        table = self.table.iloc[chosen.numpy()].reset_index(drop=True)
        table["weight"] = weigh_pairs(kept["left_word"], kept["right_word"]).numpy()
        return replace(self, table=table, **kept)


def weigh_pairs(
    left: Int[Tensor, " event"], right: Int[Tensor, " event"]
) -> Float[Tensor, " event"]:
    """Return 1 over the number of events of the same two words, float64."""
    _, inverse, counts = np.unique(
        _sort_sides(left, right), axis=1, return_inverse=True, return_counts=True
    )
    return torch.tensor(1 / counts[inverse.reshape(-1)], dtype=torch.float64)


def _sort_sides(
    left: Int[Tensor, " event"], right: Int[Tensor, " event"]
) -> Int[np.ndarray, "side event"]:
    return np.sort(np.stack([left.numpy(), right.numpy()]), axis=0)
