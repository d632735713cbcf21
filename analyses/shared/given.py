"""What a question is given: captures, the model, text; only what it needs is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from probes.capture.store import Store
    from probes.models.model import Model
    from probes.words.texts import Corpus

_NOTHING: Any = None


class Need(Enum):
    """Something that a question reads; the value is how it is named to a user."""

    CAPTURE = "a capture of words in sentences"
    PAIRS = "a capture of word pairs"
    UNTRAINED = "a capture of the same sentences, or of a sample, by the untrained model"
    WORDS = "captures of single words"
    CONTEXTS = "a capture of sentences in which one word attends to two"
    SITES = "captures at all three sites of an encoder-decoder"
    TEXT = "a capture of running text"
    MODEL = "the model"
    CORPUS = "text to read"
    HEADS = "the measures of single heads (divergence)"
    SWAPS = "the swaps of keys and values (swaps)"
    TRAINING = "small models that it trains itself"


@dataclass(frozen=True)
class Given:
    """What one question may read. The runner fills in what the question's record names.

    Attributes
    ----------
    store
        The finished main capture: of word pairs, or for a question that does not need these, of a
        user's own sentences or a treebank.
    untrained
        That by the untrained model, of the same sentences or of a sample; None where there is none.
    words
        Captures of single words by name: ``relations``, and the name of each table of human scores.
    sites
        The captures of an encoder-decoder: ``encoder``, ``decoder``, ``cross``.
    contexts
        The finished capture of coordinations, or of sentences of a user or a treebank: two words,
        one query.
    text
        The finished capture of a running text.
    model
        The model itself, loaded once per run.
    corpus
        Text to fit on and to test on.
    heads
        The table ``heads`` of `analyses.divergence`; None where it has not been measured.
    swaps
        The tables of `analyses.swaps`; None where they have not been made.
    parts
        Where a long question keeps its finished parts; None keeps nothing.
    device
        Where probes and small models are fitted: ``cpu``, ``cuda``.
    workers
        How many processes may be used.
    """

    store: Store = _NOTHING
    untrained: Store | None = None
    words: Mapping[str, Store] = field(default_factory=dict)
    sites: Mapping[str, Store] = field(default_factory=dict)
    contexts: Store = _NOTHING
    text: Store = _NOTHING
    model: Model = _NOTHING
    corpus: Corpus = _NOTHING
    heads: pd.DataFrame | None = None
    swaps: Mapping[str, pd.DataFrame] | None = None
    parts: Path | None = None
    device: str = "cpu"
    workers: int = 1

    def identify(self) -> dict[str, Any]:
        """Name everything that is given by its hash, for the manifest of what follows from it."""
        from probes.files import hash_json
        from probes.words.pairs import hash_pairs

        found: dict[str, Any] = {}
        for name, store in (
            ("capture", self.store),
            ("untrained", self.untrained),
            ("contexts", self.contexts),
            ("text", self.text),
        ):
            if store is not None:
                found[name] = store.identity_hash
        if self.store is not None:
            pairs = self.store.table("pairs")
            if "m1" in pairs:
                found["pairs"] = hash_pairs(pairs)
        for name, stores in (("words", self.words), ("sites", self.sites)):
            if stores:
                found[name] = {key: store.identity_hash for key, store in stores.items()}
        if self.model is not None:
            found["weights"] = self.model.weights_hash
            found["config"] = self.model.origin.get("config_hash")
        if self.corpus is not None:
            found["corpus"] = self.corpus.hash
        for name, table in (("heads", self.heads), ("swaps", (self.swaps or {}).get("indices"))):
            if table is not None:
                found[name] = hash_json(table.astype(str).to_dict("split", index=False))
        return found
