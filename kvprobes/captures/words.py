"""Captures of single words beside the main one, which relations and meaning are measured on.

``capture-words/`` holds the words of the relations, ``capture-human-NAME/`` those of a table of
human scores. Each is a store like the main one, of the same model and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analyses.shared.word_pairs import RELATIONS
from kvprobes.captures.find import HUMAN, WORDS, suits_words
from probes.capture.plan_words import plan_words
from probes.capture.run import CaptureSettings, capture, hash_table
from probes.capture.store import Store, open_store
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import TableError, UsageError
from probes.words.human import find_gensim_tables, name_human_table, read_human_scores
from probes.words.relations import load_relations, sample_groups
from probes.words.word_templates import load_word_templates

if TYPE_CHECKING:
    from kvprobes.session import Session

TEMPLATES = 3
"""Templates for each part of speech."""

SAMPLE = 300
"""Pairs of each relation, unless all are asked for: the rarer relations have no more, and a ranking
of relations is as sure as the rarer ones let it be."""


def capture_words(
    session: Session,
    *,
    human: Sequence[Path] = (),
    limit: int | None = None,
    full: bool = False,
    keep: bool = False,
    skip_bad_rows: bool = False,
    batch_size: int = 128,
    cluster: Cluster = IN_PROCESS,
    overwrite: bool = False,
) -> None:
    """Capture the words of the relations, and of every table of human scores.

    The model of the main capture is loaded only if something is missing. Tables of human scores are
    those given and, where the user has gensim, those that come with it.

    Parameters
    ----------
    limit
        At most this many pairs of each relation, and of each table of human scores.
    full
        All pairs of the relations, and not `SAMPLE` of each.
    skip_bad_rows
        Leave out rows of tables of human scores that have faults, and say which.
    keep
        Go on with the words that a capture was begun with, if the tables hold them all.
    cluster
        Where the shards are made.

    Raises
    ------
    TableError
        If the main capture is of words in another script than the relations', which are English.
    UsageError
        If a table of human scores has the name of the relations.
    StoreMismatchError
        If the model is not that of the main capture, or a folder holds other words.
    """
    main = session.store
    if not suits_words(main):
        raise TableError(
            f"the relations are between English words, and {main.folder} is a capture of words in "
            "another script. Capture English pairs to compare relations and meaning."
        )
    given = find_gensim_tables() | {name_human_table(path): path for path in human}
    if RELATIONS in given:
        raise UsageError(
            f"{given[RELATIONS]} would go by the name of the shipped relations, {RELATIONS!r}. "
            "Give the file of human scores another name."
        )
    # All are read first, so that a fault in one is told before anything takes time.
    sample = limit if full else min(limit or SAMPLE, SAMPLE)
    tables = {WORDS: load_relations(limit=sample)} | {
        HUMAN + name: _read_scores(path, limit, session.say, skip_bad_rows)
        for name, path in given.items()
    }
    all_templates = load_word_templates(count=TEMPLATES)
    for name, pairs in tables.items():
        folder = session.folder.capture_named(name)
        # A sample of the relations does not stand in the place of all of them.
        if keep or (name == WORDS and limit is None and not full):
            every = load_relations() if name == WORDS else pairs
            pairs = _keep_begun(folder, every, otherwise=pairs)
        templates = all_templates[all_templates["pos"].isin(pairs["pos"])].reset_index(drop=True)
        if not overwrite and _is_finished(folder, main, pairs, templates):
            session.say(f"Reusing the finished capture in {folder}")
            continue
        model = session.captured_model()
        plan = plan_words(
            model.tokenizer,
            pairs,
            templates,
            causal=model.geometry.causal,
            take=main.manifest["identity"]["take"],
            prefix=model.source_prefix,
        )
        capture(
            model,
            plan,
            folder,
            settings=CaptureSettings.of(main),
            batch_size=batch_size,
            cluster=cluster,
            overwrite=overwrite or full,  # of a sample
            say=session.say,
        )


def _read_scores(
    path: Path, limit: int | None, say: Callable[[str], None], skip_bad_rows: bool
) -> pd.DataFrame:
    scores = read_human_scores(path, say=say, skip=say if skip_bad_rows else None)
    if limit is None:
        return scores
    return sample_groups(scores, pd.Series("", index=scores.index), limit=limit, seed=0)


def _keep_begun(folder: Path, every: pd.DataFrame, *, otherwise: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of the capture in a folder, if there is one and `every` holds them all."""
    if not (folder / "manifest.json").exists():
        return otherwise
    begun = open_store(folder).table("pairs")
    if set(begun.columns) != set(every.columns):
        return otherwise
    return begun if len(begun.merge(every.drop_duplicates())) == len(begun) else otherwise


def _is_finished(folder: Path, main: Store, pairs: pd.DataFrame, templates: pd.DataFrame) -> bool:
    """Whether a folder holds a whole capture of the same model and settings, and of `pairs`."""
    if not (folder / "manifest.json").exists():
        return False
    store = open_store(folder)
    same = ("weights", "config", "compute_dtype", "key_stage", "dtype", "query_sample", "seed")
    wanted = {name: main.manifest["identity"][name] for name in (*same, "take")}
    wanted |= {"pairs": hash_table(pairs), "templates": hash_table(templates)}
    identity = store.manifest["identity"]
    return {name: identity[name] for name in wanted} == wanted and not store.missing_shards()
