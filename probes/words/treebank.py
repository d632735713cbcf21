"""CoNLL-U treebanks: sentences, and a row for every word with its labels and characters.

Format: https://universaldependencies.org/format.html. Read by the package ``conllu``.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pandas as pd

from probes.errors import TableError
from probes.words.fields import joins_words
from probes.words.tables import read_text

SPLITS = ("train", "dev", "test")
COLUMNS = (
    *("sentence", "sentence_id", "text", "word_number", "word", "start", "end"),
    *("lemma", "upos", "deprel", "head_number", "head_word", "head_distance", "split", "lost"),
)
LOST = (-1, -1)
WITHHELD = "_"
"""The form of a word that a treebank may not publish."""


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
        above 0 if the head is after the word; missing for the root), ``split``, and ``lost``:
        why a word has no characters (``start`` and ``end`` are -1), else "". Words inside a
        contraction ("du" = "de" + "le") have no characters of their own and are left out, as are
        punctuation marks.

    Raises
    ------
    TableError
        If the file is missing, is not CoNLL-U (words that are not numbered 1, 2 and on, too) or has
        no word.
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
        numbers = [token["id"] for token in sentence if isinstance(token["id"], int)]
        if numbers != list(range(1, len(numbers) + 1)):
            raise TableError(
                f"{path}: the words of sentence {number + 1} are not numbered 1, 2 and on, but "
                f"{', '.join(map(str, numbers[:20]))}. Correct the file."
            )
        text, spans, lost = _find_spans(sentence)
        forms = {token["id"]: token["form"] for token in sentence}
        for token in sentence:
            if token["upos"] == "PUNCT" or token["id"] not in {*spans, *lost}:
                continue
            span = spans.get(token["id"], LOST)
            head = token["head"] or 0
            rows.append(
                (
                    *(number, sentence.metadata.get("sent_id", str(number)), text, token["id"]),
                    *(token["form"], *span, token["lemma"], token["upos"]),
                    (token["deprel"] or "").partition(":")[0],
                    *(head, forms.get(head, "")),
                    *(float(head - token["id"]) if head else None, split),
                    lost.get(token["id"], ""),
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
        With ``*train.conllu``, ``*test.conllu`` and, as a rule, ``*dev.conllu``; or a single
        ``.conllu`` file, which has no splits.

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
    if Path(folder).is_file():
        return read_treebank(folder)
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


def _find_spans(sentence: Any) -> tuple[str, dict[int, tuple[int, int]], dict[int, str]]:
    """Return the text, the characters of the words in it, and why other words have none.

    A word is where the words and ``SpaceAfter`` put it. Where the text differs from that, the
    two are aligned character by character, and a word counts as found if all of it is there, in
    one piece, and not inside of a longer word.
    """
    surface = []  # (id, form, space after?) of what is in the text
    inside: set[int] = set()
    for token in sentence:
        if isinstance(token["id"], tuple) and token["id"][1] == "-":
            inside |= set(range(token["id"][0], token["id"][2] + 1))
        elif not isinstance(token["id"], int) or token["id"] in inside:
            continue
        space = (token["misc"] or {}).get("SpaceAfter") != "No"
        surface.append((token["id"], token["form"], space))
    built, places = "", {}
    for key, form, space in surface:
        places[key] = (len(built), len(built) + len(form))
        built += form + " " * space
    text = str(sentence.metadata.get("text", built.rstrip()))
    moved = _align_characters(built, text)
    spans: dict[int, tuple[int, int]] = {}
    lost: dict[int, str] = {}
    for key, form, _ in surface:
        if not isinstance(key, int):
            continue
        start, end = places[key]
        found = (moved[start], moved[end - 1] + 1)
        if form == WITHHELD:
            lost[key] = "its form is withheld"
        elif (
            any(moved[place] - found[0] != place - start for place in range(start, end))
            or found[0] < 0
            or not _is_whole(text, found, before=moved[start - 1 : start], after=moved[end:][:1])
        ):
            lost[key] = "it is not in the text of its sentence"
        else:
            spans[key] = found
    return text, spans, lost


def _align_characters(built: str, text: str) -> list[int]:
    """Return where every character of `built` is in `text`; -1 where it is not."""
    if text.startswith(built.rstrip()):
        return list(range(len(built)))
    moved = [-1] * len(built)
    for match in SequenceMatcher(None, built, text, autojunk=False).get_matching_blocks():
        moved[match.a : match.a + match.size] = range(match.b, match.b + match.size)
    return moved


def _is_whole(text: str, span: tuple[int, int], *, before: list[int], after: list[int]) -> bool:
    """Say whether beside a word are other signs than of words, or its neighbours in the file."""
    start, end = span
    left, right = text[start - 1 : start], text[end : end + 1]
    return not (
        (joins_words(left, text[start]) and before != [start - 1])
        or (joins_words(right, text[end - 1]) and after != [end])
    )
