"""Running text that a tiny tokenizer knows, in files of every kind."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd

from tests.tiny import KNOWN_WORDS


def write_texts(folder: Path, *, words: int = 400, seed: int = 0) -> Path:
    """Write a text, a jsonl and a parquet file of this many words each; returns the folder."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    text = " ".join(draw.choices(KNOWN_WORDS, k=words))
    (folder / "a.txt").write_text(text, encoding="utf-8")
    documents = [" ".join(draw.choices(KNOWN_WORDS, k=20)) for _ in range(words // 20)]
    lines = "".join(json.dumps({"text": document}) + "\n" for document in documents)
    (folder / "b.jsonl").write_text(lines, encoding="utf-8")
    pd.DataFrame({"text": documents[::-1]}).to_parquet(folder / "c.parquet", row_group_size=7)
    return folder
