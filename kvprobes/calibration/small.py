"""One small model with planted truth, from weights to verdict, by the product's own path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from kvprobes.calibration.cells import Cell
from kvprobes.calibration.reading import PLANTED_SOURCE, read_answer
from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.runner import answer
from kvprobes.session import Session
from probes.planted.design import GROUP, Design
from probes.planted.small import save_planted
from probes.planted.truth import Truth, tell_truth
from probes.words.coordination import load_coordinations
from probes.words.pairs import load_pairs
from probes.words.templates import choose_templates

HEADS, ROWS = 32, 2
"""Head words of the table of pairs, and rows of each: 128 coordinations are drawn from these, and
the founding ones are beside them; `kvprobes run` has 200."""

TEXT: dict[str, Any] = {"documents": 16, "length": 64}
LEAST_TEXT: dict[str, Any] = {"documents": 2, "length": 16}
"""Where running text is not asked for, as little of it is read as can be."""


@dataclass(frozen=True)
class SmallRun:
    """A small model with its captures in a result folder, ready to be asked.

    Attributes
    ----------
    settings
        Of the question.
    truth
        What it must find.
    """

    session: Session
    settings: dict[str, Any]
    design: Design
    truth: Truth

    @classmethod
    def make(cls, cell: Cell, seed: int, folder: Path, *, heads: int = HEADS) -> SmallRun:
        """Build, save, load and capture a model; see `run_small`."""
        pairs = choose_pairs(heads, seed=seed)
        words = sorted({*pairs["m1"], *pairs["m2"], *pairs["head"], *_seed_words()})
        design = Design.draw(cell.planting, words, seed=seed)
        save_planted(design, _carriers(), folder / "model")
        pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
        of_text = TEXT if cell.text else LEAST_TEXT
        text = write_text(words, folder / "text", **of_text, seed=seed)
        options = CaptureOptions(
            str(folder / "model"),
            pairs=str(folder / "pairs.tsv"),
            templates="1",
            out=folder / "results",
            seed=seed,
        )
        session = Session(options.folder, model=options.model, text=str(text))
        capture_pairs(session, options)
        return cls(session, of_text | {"seed": seed}, design, _tell(design, pairs, seed))

    def read(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Set the question's tables beside what was planted."""
        planted = self.design.planted.repeat_interleave(GROUP).tolist()
        return read_answer(tables, planted, self.truth)


def run_small(cell: Cell, seed: int, *, heads: int = HEADS) -> pd.DataFrame:
    """Build, save, load, capture, ask and read one model; nothing of it is kept.

    Parameters
    ----------
    seed
        Of the words, of what they hold, and of everything random in the instrument.
    heads
        Head words of the table of pairs.

    Returns
    -------
    The rows of every source that was read; see `kvprobes.calibration.reading.read_answer`.
    """
    with TemporaryDirectory(prefix="kvprobes-") as place:
        made = SmallRun.make(cell, seed, Path(place), heads=heads)
        found = answer("co_attended", made.session, draw=False, **made.settings)
    read = made.read(found.tables)
    of_words = read["source"].isin([PLANTED_SOURCE, "two queries"])
    return read[of_words | cell.text].reset_index(drop=True)


def choose_pairs(heads: int, *, seed: int) -> pd.DataFrame:
    """Draw head words of the shipped table, and `ROWS` rows of each without a word in two."""
    taken = _template_words()
    table = load_pairs("compound_pairs")
    plain = table[["head", "m1", "m2"]].apply(lambda column: column.str.fullmatch("[a-z]+"))
    known = table[["head", "m1", "m2"]].isin(taken)
    table = table[plain.all(axis=1) & ~known.any(axis=1)].sample(frac=1.0, random_state=seed)
    rows = []
    for _, mine in table.groupby("head", sort=False):
        words: set[str] = set()
        apart = []
        for number, m1, m2 in zip(mine.index, mine["m1"], mine["m2"], strict=True):
            if not words & {m1, m2}:
                words |= {m1, m2}
                apart.append(number)
        if len(apart) >= ROWS:
            rows.append(apart[:ROWS])
    chosen: pd.DataFrame = table.loc[[number for part in rows[:heads] for number in part]]
    return chosen


def write_text(
    words: Sequence[str], folder: Path, *, documents: int, length: int, seed: int
) -> Path:
    """Write documents of words in random order; the question wants as many to test on as to fit."""
    random = np.random.default_rng(seed)
    for split, count in (("train", max(2, documents)), ("held_out", 2)):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            drawn = random.choice(np.array(words, dtype=object), length)
            (folder / split / f"{number:03d}.txt").write_text(" ".join(drawn), encoding="utf-8")
    return folder


@cache
def _carriers() -> tuple[str, ...]:
    return (*load_coordinations()["text"], *choose_templates("1")["text"], "a")


@cache
def _template_words() -> frozenset[str]:
    return frozenset(word.lower() for text in _carriers() for word in re.findall(r"\w+", text))


@cache
def _seed_words() -> frozenset[str]:
    table = load_pairs("seed_pairs", limit=2)
    return frozenset(word for name in ("head", "m1", "m2") for word in table[name])


def _tell(design: Design, pairs: pd.DataFrame, seed: int) -> Truth:
    before = [text.partition("{head}")[0] for text in load_coordinations()["text"]]
    others = [len(re.findall(r"\w+|[^\w\s]", text)) - 6 for text in before]
    asked = sorted({*pairs["m1"], *pairs["m2"]})
    return tell_truth(design, sorted(set(pairs["head"])), asked, others, seed=seed)
