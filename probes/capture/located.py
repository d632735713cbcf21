"""The words of a capture by number, and pairs of them: where each is among its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.capture.plan import locate_pairs
from probes.capture.plan_words import locate_words
from probes.capture.store import Store
from probes.errors import TableError, UsageError
from probes.stats.checks import require_same_shape

FEWEST_PAIRS = 20
"""Ranks of fewer pairs mean nothing."""


@dataclass(frozen=True)
class CapturedWords:
    """The words and templates of a capture, as numbers.

    Attributes
    ----------
    names
        Every captured word once, in alphabetical order; a word's number is its place here.
    template_ids
        The templates in the order of the capture.
    word, template
        The number of each occurrence's word and template. Templates that begin alike share the
        occurrences of a causal model's words: these count for the first of them.
    rows
        The first occurrence of every word in every template; -1 where there is none.
    """

    names: tuple[str, ...]
    template_ids: tuple[str, ...]
    word: Int[Tensor, " occurrence"]
    template: Int[Tensor, " occurrence"]
    rows: Int[Tensor, "word template"]

    @classmethod
    def of(cls, store: Store) -> CapturedWords:
        """Give the words and templates of a capture their numbers."""
        occurrences, queries = store.table("occurrences"), store.table("queries")
        names = pd.Index(sorted(occurrences["word"].unique()))
        template_ids = pd.Index(queries["template_id"].unique())
        n_rows = len(occurrences)
        place = names.get_indexer(queries["modifier"]) * len(template_ids)
        place += template_ids.get_indexer(queries["template_id"])
        rows = torch.full((len(names) * len(template_ids),), n_rows)
        found = torch.tensor(queries["occurrence"].to_numpy(dtype=np.int64))
        rows = rows.scatter_reduce(0, torch.tensor(place), found, "amin")
        return cls(
            tuple(names),
            tuple(template_ids),
            torch.tensor(names.get_indexer(occurrences["word"])),
            torch.tensor(template_ids.get_indexer(occurrences["template_id"])),
            rows.where(rows < n_rows, -1).reshape(len(names), -1),
        )

    def number(self, words: Sequence[str] | NDArray[Any]) -> Int[Tensor, " word"]:
        """Return the number of each word, -1 where it has not been captured."""
        return torch.tensor(pd.Index(self.names).get_indexer(pd.Index(words, dtype=object)))

    def whole_words(
        self, template_ids: Sequence[str] | None = None
    ) -> tuple[Int[Tensor, " whole"], Int[Tensor, "whole template"]]:
        """Return the words that are in every template: their numbers, and their rows.

        With `template_ids`, only these templates count, as those of one part of speech.

        In a model that sees both ways a word has an occurrence before each of its heads; the first
        stands for it.
        """
        chosen = [self.template_ids.index(name) for name in template_ids or self.template_ids]
        rows = self.rows[:, chosen]
        whole = torch.nonzero((rows >= 0).all(dim=1)).squeeze(1)
        return whole, rows[whole]


def match_occurrences(store: Store, other: Store) -> Int[Tensor, " occurrence"]:
    """Find the occurrences of a capture, by their tokens, in another capture of the same templates.

    Returns
    -------
    The row in `other` of each occurrence of `store`; -1 where it has none.
    """
    place = ["sentence_hash", "first_token", "last_token"]
    there = pd.MultiIndex.from_frame(other.table("occurrences")[place])
    return torch.tensor(
        there.get_indexer(pd.MultiIndex.from_frame(store.table("occurrences")[place]))
    )


@dataclass(frozen=True)
class DistinctWords:
    """The words of a list of pairs, each once as it was captured, and the pairs as their numbers.

    A word is what is captured once: in a causal model a modifier, in a bidirectional one a modifier
    before one head noun, since it has seen the noun.
    """

    rows: Int[Tensor, "word template"]
    left: Int[Tensor, " pair"]
    right: Int[Tensor, " pair"]

    @classmethod
    def of(
        cls, left: Int[Tensor, "pair template"], right: Int[Tensor, "pair template"]
    ) -> DistinctWords:
        """Give every distinct word a number: words that have the same occurrences are one.

        Raises
        ------
        UsageError
            If the two differ in shape.
        """
        require_same_shape("left", left, "right", right)
        rows, number = torch.unique(torch.cat([left, right]), dim=0, return_inverse=True)
        return cls(rows, number[: len(left)], number[len(left) :])

    def sample_rows(self, count: int, *, seed: int) -> Int[Tensor, "chosen template"]:
        """Return the rows of `count` words drawn at random (of all, if there are no more)."""
        n_words = len(self.rows)
        if n_words <= count:
            return self.rows
        chosen = np.random.default_rng(seed).choice(n_words, size=count, replace=False)
        chosen.sort()
        return self.rows[torch.from_numpy(chosen)]


@dataclass(frozen=True)
class LocatedPairs:
    """Pairs of words of one capture: their table, their rows, their words.

    Attributes
    ----------
    captured
        The words and templates of the capture.
    table
        A row per pair, with an index that counts from 0.
    left, right
        The rows of each pair's words in every template; -1 where a word was lost.
    left_word, right_word
        The number of each word in `captured`; -1 where it was never captured.
    left_query, right_query
        The rows of the queries that attend to each word; -1 where it was lost.
    """

    captured: CapturedWords
    table: pd.DataFrame
    left: Int[Tensor, "pair template"]
    right: Int[Tensor, "pair template"]
    left_word: Int[Tensor, " pair"]
    right_word: Int[Tensor, " pair"]
    left_query: Int[Tensor, "pair template"] | None = None
    right_query: Int[Tensor, "pair template"] | None = None

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def of(
        cls,
        store: Store,
        pairs: pd.DataFrame | None = None,
        *,
        sides: tuple[str, str] | None = None,
    ) -> LocatedPairs:
        """Locate the pairs that a capture was made for, those with a lost word too.

        Parameters
        ----------
        store
            A capture of word pairs in templates (``head, m1, m2``), or of single words (``pos, w1,
            w2``).
        pairs
            Other pairs of its words, in a table of the same form.
        sides
            Which two columns hold the words; by default m1 and m2, or w1 and w2.

        Raises
        ------
        TableError
            If the pairs have no such columns.
        """
        pairs = (store.table("pairs") if pairs is None else pairs).reset_index(drop=True)
        first, second = sides or (("m1", "m2") if "m1" in pairs else ("w1", "w2"))
        missing = [name for name in (first, second) if name not in pairs]
        if missing:
            raise TableError(
                f"the pairs of the capture in {store.folder} have no column {missing[0]!r}, only "
                f"{', '.join(map(str, pairs.columns))}. Capture a table of word pairs."
            )
        captured, queries = CapturedWords.of(store), store.table("queries")
        words = [pairs[side].to_numpy(dtype=object) for side in (first, second)]
        numbers = (captured.number(side) for side in words)
        if "head" not in pairs:
            templates = store.table("templates")
            rows = (locate_words(pairs["pos"], side, queries, templates) for side in words)
            return cls(captured, pairs, *map(torch.tensor, rows), *numbers)
        chosen = pairs.rename(columns={first: "m1", second: "m2"})
        by_query = queries.assign(occurrence=np.arange(len(queries)))
        attending = locate_pairs(chosen, by_query, captured.template_ids)
        # A query that is not there is the last one, -1, and has no occurrence.
        occurrence = np.append(queries["occurrence"].to_numpy(dtype=np.int64), -1)
        rows = (occurrence[side] for side in attending)
        return cls(
            captured,
            pairs,
            *map(torch.tensor, rows),
            *numbers,
            *map(torch.tensor, attending),
        )

    @classmethod
    def draw(cls, captured: CapturedWords, *, count: int, seed: int) -> LocatedPairs:
        """Draw random pairs of two different words that are in every template.

        Fewer than `count` where the draw brings the same two words again.

        Raises
        ------
        TableError
            If fewer than two words do.
        """
        numbers, rows = captured.whole_words()
        return cls.draw_from(captured, numbers, rows, count=count, seed=seed)

    @classmethod
    def draw_from(
        cls,
        captured: CapturedWords,
        numbers: Int[Tensor, " word"],
        rows: Int[Tensor, "word template"],
        *,
        count: int,
        seed: int,
    ) -> LocatedPairs:
        """Draw random pairs of two different words from some words and their rows.

        Raises
        ------
        TableError
            If there are fewer than two words.
        """
        if len(numbers) < 2:
            raise TableError(
                f"{len(numbers)} captured words are in every template; random pairs need 2 or "
                "more. Give more pairs."
            )
        random = np.random.default_rng(seed)
        first = random.integers(len(numbers), size=count)
        second = (first + random.integers(1, len(numbers), size=count)) % len(numbers)
        return cls(
            captured,
            pd.DataFrame(index=range(count)),
            rows[first],
            rows[second],
            numbers[first],
            numbers[second],
        ).take_distinct()

    @classmethod
    def join(cls, parts: Sequence[LocatedPairs]) -> LocatedPairs:
        """Put pairs of one capture behind each other; their queries are not kept.

        Raises
        ------
        UsageError
            If there is nothing to join.
        """
        if not parts:
            raise UsageError("there are no lists of pairs to join; give one or more.")
        return cls(
            parts[0].captured,
            pd.concat([part.table for part in parts], ignore_index=True),
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("left", "right", "left_word", "right_word")
            ),
        )

    @property
    def left_name(self) -> NDArray[Any]:
        """The first word of each pair; None where it was never captured."""
        return self._name(self.left_word)

    @property
    def right_name(self) -> NDArray[Any]:
        """The second word of each pair; None where it was never captured."""
        return self._name(self.right_word)

    def _name(self, numbers: Int[Tensor, " pair"]) -> NDArray[Any]:
        names = np.array([*self.captured.names, None], dtype=object)
        return np.asarray(names[numbers.numpy()])

    @property
    def distinct(self) -> DistinctWords:
        """The words as they were captured, each once; all of them must have been found."""
        return DistinctWords.of(self.left, self.right)

    @property
    def whole(self) -> Bool[Tensor, " pair"]:
        """Which pairs have both words in every template."""
        return ((self.left >= 0) & (self.right >= 0)).all(dim=1)

    def take(self, rows: Int[Tensor, " chosen"] | Bool[Tensor, " pair"] | slice) -> LocatedPairs:
        """Keep some pairs, by their numbers, by a mask or as a slice."""
        chosen = torch.arange(len(self))[rows]
        return LocatedPairs(
            self.captured,
            self.table.iloc[chosen.numpy()].reset_index(drop=True),
            self.left[chosen],
            self.right[chosen],
            self.left_word[chosen],
            self.right_word[chosen],
            None if self.left_query is None else self.left_query[chosen],
            None if self.right_query is None else self.right_query[chosen],
        )

    def first_of_same(self, within: pd.Series[str] | None = None) -> Bool[Tensor, " pair"]:
        """Say which pairs are not a repetition of one above: the same two occurrences everywhere.

        A key cannot see what follows, so in a causal model two modifiers before another head, or in
        the other order, are the same pair. A pair with a lost word repeats none.

        Parameters
        ----------
        within
            A name for each pair (its relation); only pairs of one name repeat each other.
        """
        turned = (self.left[:, 0] > self.right[:, 0])[:, None]
        low = torch.where(turned, self.right, self.left)
        high = torch.where(turned, self.left, self.right)
        places = pd.DataFrame(torch.cat([low, high], dim=1).numpy())
        repeated = places.assign(within="" if within is None else list(within)).duplicated()
        return ~torch.tensor(repeated.to_numpy()) | ~self.whole

    def take_distinct(self) -> LocatedPairs:
        """Keep the first of the pairs that are the same to the model; see `first_of_same`."""
        return self.take(self.first_of_same())

    def take_whole(self, *, at_least: int = FEWEST_PAIRS) -> LocatedPairs:
        """Keep the pairs that have both words in every template, and the first of those repeated.

        Raises
        ------
        TableError
            If fewer than `at_least` do.
        """
        kept = self.whole & self.first_of_same()
        found = int(kept.sum())
        if found < at_least:
            raise TableError(
                f"only {found} of {len(self)} pairs can be compared in all of the templates "
                f"{', '.join(self.captured.template_ids)}; ranks need at least {at_least} to mean "
                "anything. The capture's losses.parquet says what was lost, and the same two words "
                "count once; give more pairs."
            )
        return self.take(kept)
