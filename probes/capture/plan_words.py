"""What to run for single words: a word in each template of its part of speech.

A template marks the word that attends (see `probes.words.word_templates`), which takes the place of
a compound's head noun. All else is as in `probes.capture.plan`: alignment, shared prefixes, losses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int

from probes.capture.plan import LOSS, CapturePlan, Take, align_filled, lay_out_capture
from probes.words.relations import CONTROL
from probes.words.word_templates import fill_word_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIDES = ("w1", "w2", CONTROL)


def list_words(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    """List the distinct (part of speech, word) of a table, sorted; an empty cell is no word."""
    return sorted(
        {
            (pos, word)
            for side in SIDES
            if side in pairs
            for pos, word in zip(pairs["pos"], pairs[side], strict=True)
            if word
        }
    )


def plan_words(
    tokenizer: PreTrainedTokenizerFast,
    pairs: pd.DataFrame,
    templates: pd.DataFrame,
    *,
    causal: bool = True,
    take: Take = "last",
    prefix: str = "",
) -> CapturePlan:
    """Lay out the capture of every word of `pairs` in every template of its part of speech.

    Parameters
    ----------
    tokenizer
        A fast tokenizer.
    pairs
        With ``pos``, ``w1``, ``w2`` and perhaps ``unrelated_control_for_w2``.
    templates
        From `load_word_templates`.
    causal, take, prefix
        As for `plan_capture`.

    Returns
    -------
    A plan in whose ``queries`` the column ``modifier`` is the word and ``head`` what attends to it.

    Raises
    ------
    AlignmentError
        If no word at all can be aligned; single losses are reported in the plan.
    UsageError
        If `take` is unknown.
    """
    sentences = []
    without: list[dict[str, str]] = []
    for pos, word in list_words(pairs):
        own = templates[templates["pos"] == pos]
        if own.empty:
            reason = f"there is no template for the part of speech {pos!r}"
            without.append({**dict.fromkeys(LOSS, ""), "modifier": word, "reason": reason})
        for template_id, text in zip(own["template_id"], own["text"], strict=True):
            sentences.append(fill_word_template(text, word, template_id).after(prefix))
    aligned, losses = align_filled(tokenizer, sentences)
    return lay_out_capture(
        tokenizer,
        aligned,
        losses + without,
        pairs=pairs,
        templates=templates,
        causal=causal,
        take=take,
    )


def locate_words(
    pos: Iterable[str], words: Iterable[str], queries: pd.DataFrame, templates: pd.DataFrame
) -> Int[np.ndarray, "word template"]:
    """Find the occurrence of each word in each template of its part of speech.

    Parameters
    ----------
    pos, words
        Part of speech and word, row by row.
    queries, templates
        Tables of the capture; every part of speech has as many templates.

    Returns
    -------
    Occurrence rows, -1 where a word was lost or never captured.
    """
    table = {
        (template_id, word): occurrence
        for template_id, word, occurrence in zip(
            queries["template_id"], queries["modifier"], queries["occurrence"], strict=True
        )
    }
    names = {kind: list(rows["template_id"]) for kind, rows in templates.groupby("pos")}
    width = max(map(len, names.values()))
    return np.array(
        [
            [table.get((name, word), -1) for name in names.get(kind, [""] * width)]
            for kind, word in zip(pos, words, strict=True)
        ],
        dtype=np.int64,
    ).reshape(-1, width)
