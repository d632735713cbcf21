"""The captures that are in a result folder, each opened only if it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from kvprobes.results import ResultFolder
from probes.capture.store import Store, open_store
from probes.errors import StoreError, TableError
from probes.words.fields import is_unspaced

SITES = ("encoder", "decoder", "cross")
UNTRAINED, TEXT, WORDS, HUMAN = "untrained", "text", "words", "human-"
COORDINATION = "coordination"
PAIRS, SENTENCES, TREEBANK = "word pairs", "your sentences", "treebank"
"""What a main capture may be of."""


def open_whole_store(folder: Path) -> Store:
    """Open a capture that has all its shards.

    Raises
    ------
    StoreError
        If there is none, or it is not whole.
    """
    store = open_store(folder)
    missing = store.missing_shards()
    if missing:
        raise StoreError(
            f"the capture in {folder} lacks {len(missing)} of its {store.n_shards} shards "
            "(unfinished or damaged). Run `kvprobes capture` (or `run`) with the same settings: it "
            "redoes only those."
        )
    return store


def open_text(folder: ResultFolder) -> Store:
    """Open the capture of running text.

    Raises
    ------
    StoreError
        If there is none, or it is not whole.
    """
    path = folder.capture_named(TEXT)
    if not (path / "manifest.json").exists():
        raise StoreError(
            f"there is no capture of running text in {path}. Make one with "
            "`kvprobes capture --text FILE_OR_FOLDER`, with the same --model or --out."
        )
    return open_whole_store(path)


def open_untrained(folder: ResultFolder, trained: Store) -> Store | None:
    """Open the untrained model's capture; None unless it is whole and of these sentences.

    They may be those of a sample of the pairs.
    """
    try:
        store = open_whole_store(folder.capture_named(UNTRAINED))
    except StoreError:
        return None
    same = all(
        store.manifest["identity"][name] == trained.manifest["identity"][name]
        for name in ("templates", "key_stage", "config")
    )
    words = ["head", "m1", "m2"]
    if not same or not set(words) <= set(trained.table("pairs")):
        return None
    here, there = (
        pd.MultiIndex.from_frame(each.table("pairs")[words]) for each in (store, trained)
    )
    return store if here.isin(there).all() else None


def has_sites(folder: ResultFolder) -> bool:
    """Whether the captures of an encoder-decoder's three sites are there."""
    return all((folder.capture_named(site) / "manifest.json").exists() for site in SITES[1:])


def open_sites(folder: ResultFolder, main: Store) -> dict[str, Store]:
    """Open the captures of all three sites; that of the encoder is the main one.

    Raises
    ------
    TableError
        If the model has no cross-attention.
    """
    if not has_sites(folder):
        raise TableError(
            f"{main.manifest['model']} was captured at one site only. Give an encoder-decoder "
            "(such as opus-mt-zh-en) to `kvprobes capture`."
        )
    others = {site: open_whole_store(folder.capture_named(site)) for site in SITES[1:]}
    return {"encoder": main} | others


def find_word_captures(folder: ResultFolder) -> dict[str, Store]:
    """Open the finished captures of single words: ``relations``, then tables of human scores."""
    paths = {"relations": folder.capture_named(WORDS)}
    human = folder.capture_named(HUMAN)
    for path in sorted(human.parent.glob(f"{human.name}*")):
        paths[path.name.removeprefix(human.name)] = path
    stores = {
        name: open_store(path) for name, path in paths.items() if (path / "manifest.json").exists()
    }
    return {name: store for name, store in stores.items() if not store.missing_shards()}


def name_kind(main: Store) -> str:
    """Name what a main capture is of: word pairs, a user's own sentences, or a treebank."""
    pairs = main.table("pairs")
    if pairs.empty:
        return TREEBANK
    return SENTENCES if "left_word" in pairs else PAIRS


def find_contexts(folder: ResultFolder) -> Store | None:
    """Open the finished capture of contexts that belongs to the main one; None without one."""
    try:
        main = open_whole_store(folder.capture)
        kind = name_kind(main)
        if kind == SENTENCES:
            return main
        return open_whole_store(folder.capture_named(COORDINATION if kind == PAIRS else TREEBANK))
    except StoreError:
        return None


def suits_words(main: Store) -> bool:
    """Whether the relations, which are English, can be in the language of a capture's pairs.

    A script without spaces between words says that they are not.
    """
    return not is_unspaced(str(main.table("pairs")["m1"].iloc[0])[:1])


def read_capture_manifest(folder: ResultFolder) -> dict[str, Any]:
    """Read the manifest of the main capture; empty if the capture is not kept with its results.

    Raises
    ------
    StoreError
        If it is there and cannot be read.
    """
    if not (folder.capture / "manifest.json").exists():
        return {}
    return open_store(folder.capture).manifest
