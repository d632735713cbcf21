"""CoNLL-U treebanks: sentences, and a row for every word with its labels and characters.

Format: https://universaldependencies.org/format.html. Read by the package ``conllu``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from probes.errors import TableError
from probes.words.tables import read_text

SPLITS = ("train", "dev", "test")
COLUMNS = (
    *("sentence", "sentence_id", "text", "word_number", "word", "start", "end"),
    *("lemma", "upos", "deprel", "head_number", "head_word", "head_distance", "split"),
)


def read_treebank(path: str | Path, *, split: str = "") -> pd.DataFrame:
    """Read a treebank file, or one split of it.

    Parameters
    ----------
    path
        A ``.conllu`` file. Where sentences have no ``# text``, it is put together from the words
        and ``SpaceAfter=No``.
    split
        What the column ``split`` says; see `read_treebank_splits`.

    Returns
    -------
    DataFrame
        ``sentence`` (from 0), ``sentence_id``, ``text``, ``word_number`` (from 1), ``word``, its
        ``start`` and ``end`` characters in `text`, ``lemma``, ``upos``, ``deprel`` (without
        subtype), ``head_number`` (0 for the root), ``head_word``, ``head_distance`` (in words,
        above 0 if the head stands after the word; missing for the root), ``split``. Words inside a
        contraction ("du" = "de" + "le") have no characters of their own and are left out, as are
        punctuation marks.

    Raises
    ------
    TableError
        If the file is missing, is not CoNLL-U or has no word.
    """
    import conllu

    content = read_text(Path(path))
    try:
        sentences = conllu.parse(content)
    except (conllu.exceptions.ParseException, ValueError, LookupError) as error:
        raise TableError(f"{path} is not in the CoNLL-U format: {error}.") from error
    if any({"upos", "head", "deprel", "misc"} - set(t) for s in sentences for t in s):
        raise TableError(f"{path} is not in the CoNLL-U format: a word has fewer than 10 fields.")
    rows = []
    for number, sentence in enumerate(sentences):
        text, spans = _find_spans(sentence)
        forms = {token["id"]: token["form"] for token in sentence}
        for token in sentence:
            span = spans.get(token["id"]) if isinstance(token["id"], int) else None
            if span is None or token["upos"] == "PUNCT":
                continue
            head = token["head"] or 0
            rows.append(
                (
                    *(number, sentence.metadata.get("sent_id", str(number)), text, token["id"]),
                    *(token["form"], *span, token["lemma"], token["upos"]),
                    (token["deprel"] or "").partition(":")[0],
                    *(head, forms.get(head, "")),
                    *(float(head - token["id"]) if head else None, split),
                )
            )
    if not rows:
        raise TableError(f"{path} holds no word. Give a CoNLL-U file with at least one sentence.")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_treebank_splits(folder: str | Path) -> pd.DataFrame:
    """Read a treebank's own train, dev and test files, named as Universal Dependencies does.

    Parameters
    ----------
    folder
        With ``*train.conllu``, ``*test.conllu`` and, as a rule, ``*dev.conllu``.

    Returns
    -------
    DataFrame
        As `read_treebank`; sentences are numbered on from split to split.

    Raises
    ------
    TableError
        If there is not one file to train on and one to test, or one of them cannot be read.
    """
    tables: list[pd.DataFrame] = []
    for split in SPLITS:
        files = sorted(Path(folder).glob(f"*{split}.conllu"))
        if len(files) > 1 or (not files and split != "dev"):
            raise TableError(
                f"{folder} holds {len(files)} files named *{split}.conllu; there must be one. To "
                "read a file without its split, give the file in the place of the folder."
            )
        for file in files:
            table = read_treebank(file, split=split)
            before = tables[-1]["sentence"].iloc[-1] + 1 if tables else 0
            tables.append(table.assign(sentence=table["sentence"] + before))
    return pd.concat(tables, ignore_index=True)


def _find_spans(sentence: Any) -> tuple[str, dict[int, tuple[int, int]]]:
    """Return the text and the characters of every word that has some of its own."""
    surface = []  # (id, form, space after?) of what stands in the text
    inside: set[int] = set()
    for token in sentence:
        if isinstance(token["id"], tuple) and token["id"][1] == "-":
            inside |= set(range(token["id"][0], token["id"][2] + 1))
        elif not isinstance(token["id"], int) or token["id"] in inside:
            continue
        space = (token["misc"] or {}).get("SpaceAfter") != "No"
        surface.append((token["id"], token["form"], space))
    built = "".join(form + " " * space for _, form, space in surface).rstrip()
    text = str(sentence.metadata.get("text", built))
    spans, end = {}, 0
    for key, form, _ in surface:
        start = text.find(form, end)
        if start < 0:
            continue
        end = start + len(form)
        if isinstance(key, int):
            spans[key] = (start, end)
    return text, spans
