"""Read words with a model, in memory: keys, values, queries and x, without plan or folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from probes.capture.batch import BatchRunner
from probes.capture.plan import Take, TokenSequence, require_take
from probes.capture.read import AS_ATTENDED, KEY_STAGES, KeyStage, Reader, Reading
from probes.errors import TableError
from probes.models.geometry import AttentionGeometry
from probes.models.model import Model
from probes.models.tap import Attended
from probes.models.wrap import wrap_model
from probes.naming import require_known
from probes.progress import progress_bar
from probes.reading.find import Sentences, find_tokens, find_words
from probes.reading.words import Layers, Words
from probes.words.align import Tokens, TokenSpan
from probes.words.sentences import find_word

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel


def read(
    model: Model | PreTrainedModel | TransformerBridge,
    sentences: Sentences,
    words: str | Iterable[str] | None = None,
    *,
    tokenizer: Any = None,
    attending: str | None = None,
    key_stage: KeyStage = "projected",
    take: Take = "last",
    batch_size: int = 32,
) -> Words:
    """Read the keys, values, queries and x of words, into memory.

    Parameters
    ----------
    model
        Of `load_model`; or a transformers model (with its `tokenizer`), or a TransformerBridge. An
        encoder-decoder is read in its encoder.
    sentences, words
        As `find_words` takes them: a template with ``{word}`` and the words to put there, sentences
        and the words to look for, or a table with ``sentence`` and ``word``.
    attending
        The word of every sentence whose query attends to the words; without it, every token that
        sees them and is not one of them. The functional space of keys rests on these queries.
    key_stage
        Keys as W_K gives them (``projected``), after QK-norm (``normed``), ``rotated``, or as the
        logits use them (``attended``); see `probes.capture.read.KeyStage`.
    take
        Which token stands for a word of several: the ``last``, or the ``mean`` of all.
    batch_size
        How many sentences run at a time. Results may differ by rounding.

    Returns
    -------
    Words
        Keys and values are float32, as in a capture of the same sentences.

    Raises
    ------
    UsageError
        If the model is in train mode or has no tokenizer, or an argument is unknown.
    TableError
        If a word is in no sentence, or the attending word not once in each.
    AlignmentError
        If no word could be found among the tokens of a sentence that the model can take. Single
        ones are in ``losses``, with the reason.
    UnsupportedModelError
        If the model cannot be read exactly.

    Examples
    --------
    >>> words = read(model, "The {word} fox ran .", ["black", "small"])  # doctest: +SKIP
    >>> words.k[0].shape  # layer 0: occurrence, kv head, d_head  # doctest: +SKIP
    torch.Size([2, 2, 8])
    """
    require_known("key stage", key_stage, KEY_STAGES)
    require_take(take)
    loaded = wrap_model(model, tokenizer)
    table, tokens, spans, losses = find_tokens(
        loaded.tokenizer, find_words(sentences, words), prefix=loaded.source_prefix
    )
    geometry = loaded.geometry
    asking = None if attending is None else find_attending(table, tokens, attending, loaded)
    sequences = lay_out(tokens, spans, causal=geometry.causal, attending=asking)
    runner = BatchRunner(
        loaded, key_stage=key_stage, take=take, share_prefix=False, reader=_QueryReader
    )
    parts: list[WholeReading] = []
    ordered = sorted(sequences, key=lambda sequence: len(sequence.ids))  # little to pad
    with runner.attached(), progress_bar("Reading", total=len(ordered), unit="sentences") as bar:
        for start in range(0, len(ordered), batch_size):
            batch = ordered[start : start + batch_size]
            parts.append(_on_cpu(runner.run(batch)))
            bar(len(batch))
    order = torch.tensor([number for sequence in ordered for number, _ in sequence.occurrences])
    count = sum(len(sequence.queries) for sequence in sequences)
    names = ("k", "v", "x", "q")
    rows = {name: _join([getattr(part, name) for part in parts], order) for name in names}
    moments = [sum(layer) for layer in zip(*(part.query_moment for part in parts), strict=True)]
    return Words(
        table=table,
        **rows,
        key_metric=scale_moments(moments, geometry, count),
        value_metric=geometry.value_metrics(),
        about=describe(loaded, key_stage, "the model", count),
        losses=losses,
    )


@dataclass
class WholeReading(Reading):
    """With the words' own queries, [occurrence, head, d_head], at the stage of the keys."""

    q: list[Tensor]


class _QueryReader(Reader):
    """Also reads the queries of the words themselves."""

    reading = WholeReading

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        super().on_queries(layer, x, output)
        if self.aim is None or self.key_stage in AS_ATTENDED:
            return
        how, aim = self.geometry.layers[layer], self.aim.on(x.device)
        queries = how.query.split(output[aim.row, aim.position]).clone()
        if self.key_stage == "normed":
            queries = how.norm("query", queries)
        self._parts["q"][layer] = aim.average(queries)

    def on_attention(self, layer: int, attended: Attended) -> None:
        if self.aim is not None and self.key_stage in AS_ATTENDED:
            aim = self.aim.on(attended.query.device)
            scale = attended.scaling / self.geometry.layers[layer].logit_scale
            queries = attended.query[aim.row, :, aim.position] * scale
            self._parts["q"][layer] = aim.average(queries)
        super().on_attention(layer, attended)


def lay_out(
    tokens: Sequence[Tokens],
    spans: Sequence[TokenSpan],
    *,
    causal: bool,
    attending: Sequence[int] | None = None,
) -> list[TokenSequence]:
    """Lay out one forward pass a sentence: which of its tokens are words, and which attend to them.

    Parameters
    ----------
    tokens, spans
        Of every occurrence: its sentence, and where in it the word is.
    causal
        Whether only later tokens see a word.
    attending
        The token that attends to each occurrence; without it, all that see the word, are not part
        of it and are not special.
    """
    together: dict[Tokens, list[int]] = {}
    for number, text in enumerate(tokens):
        together.setdefault(text, []).append(number)
    sequences, n_queries = [], 0
    for text, numbers in together.items():
        queries: list[tuple[int, int, int]] = []
        for number in numbers:
            word = spans[number]
            seeing = range(word.last + 1 if causal else 0, len(text.ids))
            chosen = (
                [attending[number]]
                if attending
                else [
                    place
                    for place in seeing
                    if not (text.special[place] or word.first <= place <= word.last)
                ]
            )
            queries += [(n_queries + more, place, word.last) for more, place in enumerate(chosen)]
            n_queries += len(chosen)
        read_here = tuple((number, spans[number]) for number in numbers)
        sequences.append(TokenSequence(text.ids, 0, read_here, tuple(queries)))
    return sequences


def find_attending(
    table: pd.DataFrame, tokens: Sequence[Tokens], word: str, model: Model
) -> list[int]:
    """Find the last token of the word that attends, for every occurrence.

    Raises
    ------
    TableError
        If it does not occur once in every sentence, or a causal model's is before a word.
    """
    from probes.words.align import align

    found = []
    for row, text in enumerate(tokens):
        places = find_word(text.text, word)
        if len(places) != 1:
            raise TableError(
                f"the attending word {word!r} occurs {len(places)} times in {text.text!r}, not "
                "once. Leave attending out, or give sentences that hold it once."
            )
        last = align(text, places[0]).last
        if model.geometry.causal and last <= table["last_token"][row]:
            raise TableError(
                f"{word!r} is before {table['word'][row]!r} in {text.text!r}, and a causal "
                "model's query sees no later word. Put the attending word behind."
            )
        found.append(last)
    return found


def scale_moments(moments: Sequence[Any], geometry: AttentionGeometry, count: int) -> Layers:
    """Turn sums of q q' into the metric of keys; empty where there was no query."""
    if count == 0:
        return ()
    return tuple(
        moment / (count * layer.group_size) * layer.logit_scale**2
        for moment, layer in zip(moments, geometry.layers, strict=True)
    )


def describe(model: Model, key_stage: str, source: str, queries: int) -> dict[str, Any]:
    """Say what was read, for `Words.about`."""
    return {
        "model": model.name,
        "weights": model.weights_hash,
        "source": source,
        "site": model.geometry.site,
        "key_stage": key_stage,
        "queries": queries,
    }


def _on_cpu(reading: Any) -> WholeReading:
    for name in ("k", "v", "x", "q", "query_moment"):
        kept = [tensor.cpu() for tensor in getattr(reading, name)]
        if name != "query_moment":
            kept = [tensor.float() for tensor in kept]
        setattr(reading, name, kept)
    whole: WholeReading = reading
    return whole


def _join(parts: Sequence[Sequence[Tensor]], order: Tensor) -> Layers:
    """Put the batches' rows behind each other, in the order of the table."""
    back = order.argsort()
    return tuple(torch.cat(layer)[back] for layer in zip(*parts, strict=True))
