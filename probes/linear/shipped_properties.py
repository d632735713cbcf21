"""What the shipped tables, a treebank or the user's scores say of a capture's words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from probes.capture.located import LocatedPairs
from probes.errors import TableError, UsageError
from probes.linear.pair_properties import label_pairs
from probes.linear.properties import TEMPLATE, Property, label_occurrences, label_words
from probes.words.lexicon import load_lexicon

if TYPE_CHECKING:
    from probes.capture.store import Store

N_IDENTITIES = 100
FEWEST_PROBED_PAIRS = 100  # only a fifth has both its words in one of five folds, and is tested
OF_PAIRS = {
    "relatedness": "relatedness of two",
    "glove_cos": "similarity of two",
    "human_similarity": "human similarity",
}
"""Column of a table of pairs -> the property."""
OF_SENTENCES = {
    "upos": "part of speech in the sentence",
    "deprel": "dependency relation",
    "head_distance": "distance to syntactic head",
    "label": "label in your sentences",
}
PLURALS = {"n": "nouns", "v": "verbs", "a": "adjectives", "x": "words"}
SPEECH = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}


def list_properties(store: Store) -> tuple[list[Property], dict[str, str]]:
    """List what the shipped tables say of a capture's words, and what they do not, with reasons.

    Part of speech, semantic field (of the noun), frequency (log10), word identity (among
    `N_IDENTITIES` words, recognised in a template not trained on), position (tokens before the
    word), and of captures in which the word has seen its head, the head noun and the distance to
    it; of pairs, the columns of their table; of a treebank or a user's sentences, what they say of
    each word.

    Returns
    -------
    properties, left_out
    """
    occurrences, queries = store.table("occurrences"), store.table("queries")
    lexicon = load_lexicon()
    lexicon["part_of_speech"] = lexicon["pos"].map(SPEECH).fillna("")
    found: list[Property] = []
    left_out: dict[str, str] = {}
    by_word = {
        "part of speech": "part_of_speech",
        "semantic field": "noun_lexname",
        "frequency": "z",
    }
    marked = occurrences["word"] != ""  # others are read only for what attends over a sentence
    heads = occurrences["head"].where(marked)
    distance = occurrences["occurrence"].map(queries.groupby("occurrence")["distance"].first())
    numbers = {
        "position": occurrences["first_token"].astype(float).where(marked),
        "distance to head": distance.where(heads.notna()).astype(float),
    }
    makers: dict[str, Callable[[], Property]] = {
        name: partial(label_words, name, occurrences, lexicon, column)
        for name, column in by_word.items()
    }
    makers["identity"] = partial(label_identity, occurrences)
    makers["head noun"] = partial(
        label_occurrences, "head noun", occurrences, heads, split_by=("word",)
    )
    for name, labels in numbers.items():
        makers[name] = partial(label_occurrences, name, occurrences, labels)
    for column, name in OF_SENTENCES.items():
        if column in occurrences:
            makers[name] = partial(label_occurrences, name, occurrences, occurrences[column])
    columns = [column for column in OF_PAIRS if column in store.table("pairs")]
    if columns:
        pairs = LocatedPairs.of(store).take_distinct()
        for column in columns:
            name = OF_PAIRS[column]
            makers[name] = partial(label_pairs, name, pairs, column, occurrences=occurrences)
    for name, make in makers.items():
        try:
            found.append(_require_pairs(make()))
        except TableError as error:
            left_out[name] = str(error)
    return found, left_out


def list_word_properties(store: Store, name: str) -> tuple[list[Property], dict[str, str]]:
    """List what is known of the pairs of a capture of single words, part of speech by part.

    The relation of two words (synonym, antonym and so on), or human scores of their similarity.
    Within a part of speech, since the relations of each are others: a probe could tell many from
    what part of speech the words are.

    Parameters
    ----------
    store
        Of `probes.capture.plan_words`, whose pairs have a column ``relation`` or ``score``.
    name
        What tells its properties from those of other captures; "" adds nothing.

    Returns
    -------
    properties, left_out
    """
    occurrences, pairs = store.table("occurrences"), LocatedPairs.of(store).take_distinct()
    found: list[Property] = []
    left_out: dict[str, str] = {}
    for column, called in (("relation", "relation"), ("score", "human similarity")):
        if column not in pairs.table:
            continue
        for part, rows in pairs.table.groupby("pos", sort=True):
            full = f"{called} of two {PLURALS[str(part)]}" + (f" ({name})" if name else "")
            own = pairs.take(torch.tensor(rows.index.to_numpy()))
            try:
                wanted = label_pairs(full, own, column, occurrences=occurrences)
                found.append(_require_pairs(wanted))
            except TableError as error:
                left_out[full] = str(error)
    return found, left_out


def label_identity(occurrences: pd.DataFrame, *, count: int = N_IDENTITIES) -> Property:
    """Ask which of `count` words it is, in a template that was not trained on.

    Raises
    ------
    TableError
        If there is one template only, or fewer than 2 words are in all of them.
    UsageError
        If `count` is below 2.
    """
    if count < 2:
        raise UsageError(f"count is {count}; telling words apart needs at least 2.")
    n_templates = occurrences["template_id"].nunique()
    seen = occurrences.groupby("word")["template_id"].nunique()
    words = sorted(seen.index[seen == n_templates])
    if n_templates < 2 or len(words) < 2:
        raise TableError("identity: words in at least 2 templates are needed.")
    order = np.random.default_rng(0).permutation(len(words))[:count]
    chosen = {words[place] for place in order}
    labels = occurrences["word"].where(occurrences["word"].isin(chosen))
    return label_occurrences(
        "identity", occurrences, labels, split_by=(TEMPLATE,), min_words=1, max_classes=count
    )


def _require_pairs(wanted: Property) -> Property:
    """Refuse properties of so few pairs that resamples of their words may leave none of them."""
    count = int(wanted.units.max()) + 1
    if wanted.of_pairs and count < FEWEST_PROBED_PAIRS:
        raise TableError(
            f"{wanted.name}: {count} pairs; at least {FEWEST_PROBED_PAIRS} are needed."
        )
    return wanted
