"""One pair looked up: how alike its two words' keys and values are in every head, among all pairs.

The founding example for any head word and two modifiers. A pair that the folder's capture does not
hold is captured by itself, with a sample of the shipped pairs to rank it among.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pandas as pd

from analyses.attention_example import ExampleSettings
from analyses.attention_example.find import find_example
from analyses.shared.tables import select
from kvprobes.captures.find import open_whole_store
from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.results import ResultFolder
from kvprobes.runner import Answer, answer
from kvprobes.session import Say, Session
from probes.errors import StoreError, TableError
from probes.similarity.catalogue import WORD_PAIRS
from probes.words.pairs import load_pairs

REFERENCE = 500
"""Shipped pairs that a pair captured by itself is ranked among."""


def look_up(
    options: CaptureOptions, head: str, first: str, second: str, *, say: Say
) -> tuple[ResultFolder, Answer]:
    """Rank one pair among the others, in every head; write tables and figures into a folder.

    Parameters
    ----------
    options
        Whose folder is looked at first; it says how to capture what is not there.
    head, first, second
        The word that attends, and two words before it.

    Returns
    -------
    ``lookups/HEAD-FIRST-SECOND`` in the result folder, and the answer of `attention_example`.

    Raises
    ------
    TableError
        If the words cannot be found among the model's tokens, or the two are the same.
    """
    if first == second:
        raise TableError(f"this compares {first!r} with itself; name two different words.")
    settings = ExampleSettings(head=head, first=first, second=second, seed=options.seed)
    name = re.sub(r"[^\w-]+", "-", f"{head}-{first}-{second}")
    folder = ResultFolder(options.folder.path / "lookups" / name)
    if _holds_example(options.folder, settings):
        session = Session(folder, store=open_whole_store(options.folder.capture), say=say)
    else:
        say(f"The capture in {options.folder.path} does not hold this pair: capturing it")
        session = _capture(options, settings, folder, say)
    return folder, answer("attention_example", session, **asdict(settings))


def tabulate_heads(found: Answer) -> pd.DataFrame:
    """Return one row a layer and kv head: the percentiles of the pair among the given pairs.

    Columns ``layer, kv_head, key_percentile, value_percentile``, functional space.
    """
    rows = select(found.tables["similarity"], space="functional", population=WORD_PAIRS)
    columns = ["layer", "kv_head", "key_percentile", "value_percentile"]
    return rows[columns].reset_index(drop=True)


def _holds_example(folder: ResultFolder, settings: ExampleSettings) -> bool:
    """Whether the folder's capture is whole and holds the pair in every template."""
    try:
        find_example(open_whole_store(folder.capture), settings)
    except (StoreError, TableError):
        return False
    return True


def _capture(
    options: CaptureOptions, settings: ExampleSettings, folder: ResultFolder, say: Say
) -> Session:
    """Capture the pair and the reference, unless a look-up before this one has."""
    row = {"head": settings.head, "m1": settings.first, "m2": settings.second}
    reference = load_pairs(options.pairs or "compound_pairs", limit=REFERENCE, seed=options.seed)
    words = set(row.values())
    others = [set(own) != words for own in reference[["head", "m1", "m2"]].to_numpy()]
    asked, reference = pd.DataFrame([{"pair_id": "asked"} | row]), reference[others]
    table = pd.concat([asked, reference[["pair_id", "head", "m1", "m2"]]], ignore_index=True)
    path = folder.path / "pairs.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False)
    own = replace(options, pairs=str(path), limit=None, out=folder.path, overwrite=False)
    session = Session(
        folder, model=options.model, device=options.device, loading=options.loading, say=say
    )
    losses = capture_pairs(session, own).table("losses")
    lost = losses[(losses["head"] == settings.head) & losses["modifier"].isin(list(row.values()))]
    if len(lost):
        raise TableError(
            f"{lost['modifier'].iloc[0]!r} before {settings.head!r} cannot be found among the "
            f"tokens of {options.model}: {lost['reason'].iloc[0]}."
        )
    return session
