"""Running text: beginnings of State of the Union addresses and of chapters of Moby Dick.

Every eighth address and every sixteenth chapter is for training, those halfway between them are
held out, so that both parts span the same years and the same book and share no document.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

STEPS = {"sotu": 8, "moby": 16}
LENGTHS = {"train": 5000, "held_out": 2500}  # characters, at most, to the end of a sentence


def write_texts(package: Path, out: Path) -> None:
    """Write ``train/*.txt`` and ``held_out/*.txt``, one document each, on a single line."""
    for series, documents in (("sotu", read_addresses(package)), ("moby", read_chapters(package))):
        step = STEPS[series]
        for number, (name, text) in enumerate(documents):
            split = {0: "train", step // 2: "held_out"}.get(number % step)
            if split is None:
                continue
            path = out / split / f"{series}-{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            excerpt = cut_excerpt(text, LENGTHS[split])
            path.write_text(excerpt + "\n", encoding="utf-8", newline="\n")


def read_addresses(package: Path) -> list[tuple[str, str]]:
    """Return names (year and president) and texts of the addresses, by year."""
    found = []
    for path in sorted((package / "sotu/data").glob("[0-9]*.json")):
        address = json.loads(path.read_text(encoding="utf-8"))
        found.append((path.stem.rpartition("_")[0].replace("_", "-"), address["text"]))
    return found


def read_chapters(package: Path) -> list[tuple[str, str]]:
    """Return names and texts of the chapters of Moby Dick, without their headings, in order."""
    paths = (package / "moby-dick/data").glob("chapter_*.txt")
    by_number = {int(path.stem.removeprefix("chapter_")): path for path in paths}
    found = []
    for number, path in sorted(by_number.items()):
        _, _, text = path.read_text(encoding="utf-8").partition("\n")
        found.append((f"{number:03d}", text))
    return found


def cut_excerpt(text: str, length: int) -> str:
    """Return the text's beginning as one line: whole sentences, at most `length` characters."""
    line = re.sub(r"\s+", " ", text).strip()
    if len(line) <= length:
        return line
    ends = [match.end() for match in re.finditer(r"[.?!][\"'\u2019\u201d]?(?= )", line[:length])]
    return line[: ends[-1]] if ends else line[:length].rpartition(" ")[0]
