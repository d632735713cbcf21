"""Where words are: from a template or from sentences to a table of occurrences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from probes.errors import AlignmentError, TableError, UsageError
from probes.words.align import Tokens, TokenSpan, align, tokenise
from probes.words.fields import fill_fields, find_field_fault
from probes.words.sentences import find_word
from probes.words.tables import require_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FIELD = "{word}"
SENTENCES = "sentences"
"""The group of all words of free sentences."""

COLUMNS = ("word", "group", "sentence", "start", "end")

Sentences = str | Sequence[str] | pd.DataFrame


def find_words(sentences: Sentences, words: str | Iterable[str] | None = None) -> pd.DataFrame:
    """Find words in sentences.

    Parameters
    ----------
    sentences
        A template or several, with ``{word}`` where each word is put; or sentences, in which the
        words are looked for; or a table with ``sentence`` and ``word`` (with ``start`` and ``end``,
        its characters, where a word occurs more than once), and, if there are groups, ``group``.
    words
        What to put into the templates, or to look for. Not with a table.

    Returns
    -------
    ``word, group, sentence, start, end``, a row per occurrence. A template is a group; free
    sentences are one.

    Raises
    ------
    UsageError
        If there is no word, or a table comes with words beside it.
    TableError
        If a word is in no sentence or a sentence has no word, a template is malformed, or a column
        is missing.

    Examples
    --------
    >>> find_words("They spoke of {word} networks.", ["neural", "social"])["start"].tolist()
    [14, 14]
    >>> find_words(["The neural net.", "A social net."], ["neural", "social"])["sentence"].tolist()
    ['The neural net.', 'A social net.']
    """
    if isinstance(sentences, pd.DataFrame):
        if words is not None:
            raise UsageError("a table of sentences names its own words: leave words out.")
        return _read_table(sentences)
    texts = [sentences] if isinstance(sentences, str) else list(sentences)
    chosen = [words] if isinstance(words, str) else list(words or ())
    if isinstance(words, set | frozenset):
        chosen.sort()  # a set has no order, and the same words give the same rows
    strange = [item for item in (*texts, *chosen) if not isinstance(item, str) or not item.strip()]
    if not texts or not chosen or strange:
        what = f"{strange[0]!r} is none" if strange else "there is none"
        raise UsageError(
            f"sentences and words are texts that are not empty, and {what}. Write "
            'read(model, "They talked about {word} networks.", ["neural", "social"]).'
        )
    chosen = list(dict.fromkeys(chosen))
    if FIELD in texts[0]:
        return _fill(texts, chosen)
    return _search(texts, chosen)


def _fill(templates: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    rows: list[tuple[str, str, str, int, int]] = []
    for template in dict.fromkeys(templates):
        if fault := find_field_fault(template, ("word",), ("word",)):
            raise TableError(f"the template {template!r} {fault}.")
        for word in words:
            text, spans = fill_fields(template, {"word": word})
            rows.append((word, template, text, *spans["word"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _search(texts: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    rows: list[tuple[str, str, str, int, int]] = []
    for text in dict.fromkeys(texts):
        found = [(word, SENTENCES, text, *span) for word in words for span in find_word(text, word)]
        if not found:
            raise TableError(f"none of the {len(words)} words is in {text!r} as a whole word.")
        rows += sorted(found, key=lambda row: row[3])
    missing = set(words) - {row[0] for row in rows}
    if missing:
        raise TableError(
            f"{min(missing)!r} is in none of the {len(texts)} sentences as a whole word "
            f"({len(missing)} such words). Check its spelling, capitals too, or leave it out."
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _read_table(table: pd.DataFrame) -> pd.DataFrame:
    require_columns("the table of sentences", table, ("sentence", "word"))
    table = table.reset_index(drop=True)
    if table.empty:
        raise TableError("the table of sentences has no row: give a row per occurrence.")
    if not {"start", "end"} <= set(table):
        places = [
            find_word(str(text), str(word))
            for text, word in zip(table["sentence"], table["word"], strict=True)
        ]
        for row, found in enumerate(places):
            if len(found) != 1:
                raise TableError(
                    f"row {row}: {table['word'][row]!r} occurs {len(found)} times as a whole word "
                    f"in {table['sentence'][row]!r}, not once. Give the columns start and end."
                )
        table = table.assign(
            start=[found[0][0] for found in places], end=[found[0][1] for found in places]
        )
    if "group" not in table:
        table = table.assign(group=SENTENCES)
    rest = [name for name in table if name not in COLUMNS]
    return table[[*COLUMNS, *rest]]


def find_tokens(
    tokenizer: PreTrainedTokenizerFast, table: pd.DataFrame, *, prefix: str = ""
) -> tuple[pd.DataFrame, list[Tokens], list[TokenSpan], pd.DataFrame]:
    """Find every occurrence among the tokens of its sentence.

    Parameters
    ----------
    table
        Of `find_words`.
    prefix
        What the model wants before every sentence.

    Returns
    -------
    table
        The occurrences that were found, with ``first_token, last_token``.
    tokens, spans
        The tokens of each one's sentence, and where in them it is.
    losses
        The others: ``word, sentence, reason``.

    Raises
    ------
    AlignmentError
        If nothing was found.
    """
    texts = [prefix + str(text) for text in table["sentence"]]
    by_text = dict(
        zip(dict.fromkeys(texts), tokenise(tokenizer, [*dict.fromkeys(texts)]), strict=True)
    )
    kept: list[int] = []
    tokens: list[Tokens] = []
    spans: list[TokenSpan] = []
    losses: list[dict[str, Any]] = []
    for row, (text, start, end) in enumerate(zip(texts, table["start"], table["end"], strict=True)):
        try:
            span = align(by_text[text], (int(start) + len(prefix), int(end) + len(prefix)))
        except AlignmentError as error:
            word, sentence = table["word"][row], table["sentence"][row]
            losses.append({"word": word, "sentence": sentence, "reason": str(error)})
        else:
            kept.append(row)
            tokens.append(by_text[text])
            spans.append(span)
    if not kept:
        raise AlignmentError(
            f"none of the {len(table)} words was found among the tokens of its sentence. The "
            f"first: {losses[0]['reason']}."
        )
    found = table.iloc[kept].reset_index(drop=True)
    found["first_token"] = [span.first for span in spans]
    found["last_token"] = [span.last for span in spans]
    return found, tokens, spans, pd.DataFrame(losses, columns=["word", "sentence", "reason"])
