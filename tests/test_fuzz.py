"""Readers of files meet anything: what they cannot read is an error of ours, in short time.

A few hundred inputs with every run of the tests; ``make fuzz`` tries 10,000.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from kvprobes.command.settings import gather_settings
from kvprobes.results import ResultFolder
from probes.capture.store import create_store, open_store
from probes.errors import KvprobesError
from probes.sealed import read_if_whole
from probes.words.coordination import load_coordinations
from probes.words.human import read_human_scores
from probes.words.pairs import load_pairs
from probes.words.relations import load_relations
from probes.words.sentences import load_sentences, mark_treebank
from probes.words.templates import load_templates
from probes.words.text_slices import cut_texts, read_slice
from probes.words.texts import load_corpus
from probes.words.treebank import read_treebank
from probes.words.word_templates import load_word_templates
from tests.hostile import HOSTILE

Read = Callable[[Path], Any]


def read_text_slices(path: Path) -> None:
    for shard in cut_texts([path], size=64):
        for part in shard:
            list(read_slice(part))


def read_capture(path: Path) -> None:
    store = open_store(path.parent)
    if not store.missing_shards():
        store.read("k", 0)
    store.table("pairs")
    store.read_constants()


def read_result(path: Path) -> None:
    folder = ResultFolder(path.parents[1])
    folder.read_left_out("weights")
    folder.read_tables("weights")


TREEBANK = b"""# text = A big black dog ran.
1\tA\ta\tDET\t_\t_\t4\tdet\t_\t_
2\tbig\tbig\tADJ\t_\t_\t4\tamod\t_\t_
3\tblack\tblack\tADJ\t_\t_\t4\tamod\t_\t_
4\tdog\tdog\tNOUN\t_\t_\t5\tnsubj\t_\t_
5-6\tran.\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No

"""
TABLES: dict[str, tuple[Read, str, tuple[str, ...]]] = {
    "pairs": (load_pairs, "pairs", ("head,m1,m2,glove_cos\nnet,hot,cold,0.5\n",)),
    "templates": (load_templates, "t", ("template_id,text\nt0,The {modifier} {head} ran.\n",)),
    "coordinations": (
        load_coordinations,
        "c",
        ("template_id,text\nt0,The {first} or {second} {head} ran.\n",),
    ),
    "word templates": (
        load_word_templates,
        "w",
        ("template_id,pos,text\nn0,n,The {word} [ran].\n",),
    ),
    "relations": (load_relations, "r", ("relation,pos,w1,w2\nsynonym,n,sun,star\n",)),
    "sentences": (load_sentences, "s", ("sentence,word\nA dog ran,dog\nA dog ran,ran\n",)),
}
READERS: dict[str, tuple[Read, str, bytes]] = {
    f"{name} {suffix}": (read, f"{file}.{suffix}", text.replace(",", sign).encode())
    for name, (read, file, (text,)) in TABLES.items()
    for suffix, sign in (("csv", ","), ("tsv", "\t"))
} | {
    "human": (read_human_scores, "h.csv", b"word1,word2,score\nsun,moon,7\n"),
    "human, spaces": (read_human_scores, "h.txt", b"sun-n moon-n 7\n"),
    "jsonl": (
        load_sentences,
        "s.jsonl",
        b'{"sentence": "A dog ran", "word": "dog"}\n{"sentence": "A dog ran", "word": "ran"}\n',
    ),
    "treebank": (
        lambda path: mark_treebank(read_treebank(path), before_head=False),
        "t.conllu",
        TREEBANK,
    ),
    "text": (read_text_slices, "t.txt", b"Some text, and more.\n\nIt ends.\n"),
    "text, jsonl": (read_text_slices, "t.jsonl", b'{"text": "one"}\n{"text": "two"}\n'),
    "corpus": (load_corpus, "c.txt", b"One.\n\nTwo.\n"),
    "settings": (lambda path: gather_settings((), path), "s.toml", b"[weights]\nseed = 1\n"),
    "manifest": (lambda path: read_if_whole(path, identity=1), "m.json", b'{"identity": 1}'),
    "left out": (read_result, "tables/weights.left_out.json", b'{"reason": "none"}'),
    "result": (read_result, "tables/weights.manifest.json", b'{"files": {}, "format": 1}'),
    "store": (read_capture, "manifest.json", b'{"identity": {"format": 1}, "n_shards": 0}'),
}


def write_parquet() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"head": ["net"], "m1": ["a"], "m2": ["b"], "text": ["words"]}).to_parquet(stream)
    return stream.getvalue()


READERS |= {
    "parquet": (load_pairs, "p.parquet", write_parquet()),
    "text, parquet": (read_text_slices, "t.parquet", write_parquet()),
}

PIECES = (
    *("\t", ",", ";", '"', "\n", "\r", "\0", " ", "{", "}", "[", "]", "\ufeff", "_", "1-2", "NaN"),
    *("1e999", "-1", "9" * 400, "true", "null", "[" * 3000, '{"a":' * 3000, "\x85", "\u2028"),
    *HOSTILE,
)


@st.composite
def damage(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a file: anything, or a whole one with parts cut, doubled, flipped or put in."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = draw(st.integers(at, len(content)))
        kind = draw(st.sampled_from(("cut", "double", "flip", "piece", "bytes")))
        if kind == "cut":
            del content[at:end]
        elif kind == "double":
            content[at:at] = content[at:end]
        elif kind == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "piece":
            content[at:end] = draw(st.sampled_from(PIECES)).encode(errors="surrogateescape")
        else:
            content[at:at] = draw(st.binary(max_size=8))
    return bytes(content)


INPUTS = int(os.environ.get("KVPROBES_FUZZ", "300"))  # in all


@pytest.mark.parametrize("name", READERS)
def test_readers_raise_our_errors_only(name, tmp_path):
    read, file, whole = READERS[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)

    @settings(
        deadline=None,
        max_examples=-(-INPUTS // (len(READERS) + 1)),
        suppress_health_check=list(HealthCheck),
    )
    @given(content=damage(whole))
    def try_one(content):
        path.write_bytes(content)
        with suppress(KvprobesError):
            read(path)

    try_one()
    path.write_bytes(whole)
    if name not in ("left out", "result", "store", "corpus"):
        read(path)  # the file itself is whole, so that damage reaches every line of the reader


def test_damaged_stores_raise_our_errors_only(tmp_path):
    store = create_store(
        tmp_path / "store",
        {"seed": 0},
        tables={"pairs": pd.DataFrame({"head": ["a"]})},
        constants={"a": torch.ones(2)},
        n_shards=1,
        context={},
    )
    store.write_shard(0, {"k.0": torch.ones(3, 2)})
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    kept = {path: path.read_bytes() for path in files}
    assert save({"a": torch.ones(2)}) == kept[store.folder / "constants.safetensors"]
    read_capture(store.folder / "manifest.json")

    @settings(
        deadline=None,
        max_examples=-(-INPUTS // (len(READERS) + 1)),
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def try_one(data):
        path = data.draw(st.sampled_from(files))
        path.write_bytes(data.draw(damage(kept[path])))
        with suppress(KvprobesError):
            read_capture(store.folder / "manifest.json")
        path.write_bytes(kept[path])

    try_one()
    assert json.loads(kept[store.folder / "manifest.json"])
