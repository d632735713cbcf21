"""One pair looked up: how alike its two words' keys and values are in every head, among all pairs.

The founding example for any head word and two modifiers, in two ways: each word in a sentence of
its own, and both in one sentence, where one query attends to them. A pair that the folder's capture
does not hold is captured by itself, with a sample of the shipped pairs to rank it among.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pandas as pd

from analyses.attention_example import ExampleSettings
from analyses.attention_example.find import find_example
from analyses.shared.tables import select
from kvprobes.captures.find import PAIRS, find_contexts, name_kind, open_whole_store
from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.results import ResultFolder
from kvprobes.runner import Answer, answer
from kvprobes.session import Say, Session, find_captured
from probes.capture.store import Store
from probes.errors import StoreError, TableError
from probes.similarity.catalogue import WORD_PAIRS
from probes.words.pairs import load_pairs

if TYPE_CHECKING:
    from analyses.co_attended.measured import Measured

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
    folder = ResultFolder(options.folder.path / "lookups" / _name(head, first, second))
    if _holds_example(options.folder, settings):
        session = Session(folder, store=open_whole_store(options.folder.capture), say=say)
    else:
        say(f"The capture in {options.folder.path} does not hold this pair: capturing it")
        session = _capture(options, settings, folder, say)
    return folder, answer("attention_example", session, **asdict(settings))


def look_up_contexts(
    options: CaptureOptions, head: str, first: str, second: str, *, capture: bool, say: Say
) -> tuple[dict[str, pd.DataFrame], str]:
    """Look one pair up in the capture of contexts, by the numbers of the four answers.

    Parameters
    ----------
    options
        Whose folder is looked at.
    head, first, second
        What attends, and two words before it.
    capture
        Capture the pair in coordinations where no capture of contexts holds it. Those of the
        shipped seed pairs are captured together, and once.

    Returns
    -------
    ``answers`` and ``heads`` (`analyses.co_attended.one_pair`), empty where there is nothing; and
    why there is nothing, with what to run; "" where there is something.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the words or the folder.
    """
    from analyses.co_attended import CoAttendedSettings
    from analyses.co_attended.one_pair import measure_pair, tabulate_pair

    settings, words = CoAttendedSettings(seed=options.seed), (head, first, second)

    def measure(contexts: Store) -> Measured | None:
        return measure_pair(contexts, *words, share=settings.share, seed=settings.seed)

    contexts = find_contexts(options.folder)
    found = None if contexts is None else measure(contexts)
    if found is None and capture:
        contexts = _capture_contexts(options, words, say)
        found = measure(contexts)
    reason = ""
    if found is None:
        told = (
            f"{options.folder.path} has no capture of sentences in which one word attends to two"
            if contexts is None
            else f"{contexts.folder} does not hold {first} and {second} before {head}"
        )
        reason = f"{told}. Run `kvprobes pair {head} {first} {second} --contexts` to capture it."
    elif not found.has("own"):
        reason = "No head gives much attention to both words at once."
    try:
        swaps = options.folder.read_tables("swaps")["pairs"]
    except StoreError:
        swaps = None
    answers = tabulate_pair(found, swaps, words)
    heads = pd.DataFrame() if found is None else found.heads.drop(columns="deviate")
    return {"answers": answers, "heads": heads}, reason


def _capture_contexts(options: CaptureOptions, words: tuple[str, str, str], say: Say) -> Store:
    """Capture a pair side by side in coordinations, with others to rank it among."""
    from kvprobes.captures.contexts import capture_contexts
    from probes.models.load import name_model

    asked = pd.DataFrame([words], columns=["head", "m1", "m2"])
    seeds = load_pairs("seed_pairs")[["head", "m1", "m2"]]
    name = _name(*words)
    if [words[0], {*words[1:]}] in [[h, {a, b}] for h, a, b in seeds.to_numpy()]:
        name, asked = "seed_pairs", seeds
    folder = ResultFolder(options.folder.path / "lookups" / name)
    store = _open_pairs(options.folder)
    if store is None:
        store = open_whole_store(options.folder.path / "lookups" / _name(*words) / "capture")
    same = name_model(options.model) == store.manifest["model"]
    model = options.model if same else find_captured(store.manifest)
    session = Session(folder, model=model, device=options.device, store=store, say=say)
    return capture_contexts(session, include=asked)


def tabulate_heads(found: Answer) -> pd.DataFrame:
    """Return one row per layer and kv head: the percentiles of the pair among the given pairs.

    Columns ``layer, kv_head, key_percentile, value_percentile``, functional space.
    """
    rows = select(found.tables["similarity"], space="functional", population=WORD_PAIRS)
    columns = ["layer", "kv_head", "key_percentile", "value_percentile"]
    return rows[columns].reset_index(drop=True)


def _name(head: str, first: str, second: str) -> str:
    """Name the folder of a pair."""
    return re.sub(r"[^\w-]+", "-", f"{head}-{first}-{second}")


def _holds_example(folder: ResultFolder, settings: ExampleSettings) -> bool:
    """Whether the folder's capture is whole and holds the pair in every template."""
    store = _open_pairs(folder)
    try:
        return store is not None and len(find_example(store, settings)) > 0
    except TableError:
        return False


def _open_pairs(folder: ResultFolder) -> Store | None:
    """Open a folder's capture of word pairs; None unless it has a whole one."""
    try:
        store = open_whole_store(folder.capture)
    except StoreError:
        return None
    return store if name_kind(store) == PAIRS else None


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
    session = Session.of(own, say=say)
    losses = capture_pairs(session, own).table("losses")
    lost = losses[(losses["head"] == settings.head) & losses["modifier"].isin(list(row.values()))]
    if len(lost):
        raise TableError(
            f"{lost['modifier'].iloc[0]!r} before {settings.head!r} cannot be found among the "
            f"tokens of {options.model}: {lost['reason'].iloc[0]}."
        )
    return session
