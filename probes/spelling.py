"""When two spellings are one word to a tokenizer."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Return a text without what tokenizers change by design: case, accents, spaces, their marks.

    Examples
    --------
    >>> fold("Naïve  ﬁsh") == fold("▁naive ##fish")
    True
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        letter
        for letter in plain.replace("##", "")
        if letter not in "▁Ġ" and unicodedata.category(letter)[0] not in "MZC"
    )
