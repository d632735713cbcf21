"""Whole tensors of sentences that were run, to the words in them.

Nothing is believed: keys and values of the shortest and the longest sentence are compared with what
the model itself makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.capture.aim import Aim, take_aim
from probes.capture.plan import Take, require_take
from probes.capture.read import AS_ATTENDED, KEY_STAGES, KeyStage, Reader
from probes.errors import FaithfulnessError, UsageError
from probes.models.compare import accepted_difference, relative_difference
from probes.models.layer import AttentionLayer
from probes.models.model import Model
from probes.models.tap import Attended
from probes.naming import require_known
from probes.reading.find import Sentences, find_tokens, find_words
from probes.reading.reader import describe, lay_out, read, scale_moments
from probes.reading.words import Words
from probes.words.align import Tokens

Padding = Literal["right", "left"]


@dataclass(frozen=True)
class Kept:
    """What was kept of one layer, [row, position, head, d]; `x` is [row, position, d_input]."""

    k: Tensor
    v: Tensor
    q: Tensor | None = None
    x: Tensor | None = None
    stage: KeyStage = "projected"


@torch.inference_mode()
def gather_kept(
    kept: Sequence[Kept],
    model: Model,
    source: str,
    sentences: Sentences,
    words: str | Iterable[str] | None,
    key_stage: KeyStage,
    take: Take,
    padding: Padding,
    check: bool,
) -> Words:
    """Read words from the kept tensors of a model's layers; see `from_cache`.

    Raises
    ------
    UsageError
        If an argument is unknown, or the tensors are of other sentences or another form.
    FaithfulnessError
        If keys or values are not the model's.
    """
    require_known("key stage", key_stage, KEY_STAGES)
    require_known("padding", padding, ("right", "left"))
    require_take(take)
    if model.has_encoder_and_decoder:
        raise UsageError(f"{model.name} is an encoder-decoder: read(model, ...) reads its encoder.")
    found = find_words(sentences, words)
    table, tokens, spans, losses = find_tokens(model.tokenizer, found, prefix=model.source_prefix)
    geometry = model.geometry
    texts = list(dict.fromkeys(tokens))
    length = _check_shapes(kept, model, texts)
    sequences = lay_out(tokens, spans, causal=geometry.causal)
    reader = Reader(model, site=geometry.site, key_stage=key_stage)
    aim = take_aim(
        sequences, take=take, prefix_length=0, sampled=frozenset(), device=torch.device("cpu")
    )
    shift = torch.tensor([length - len(text.ids) for text in texts]) * (padding == "left")
    order = torch.tensor([number for sequence in sequences for number, _ in sequence.occurrences])
    has_queries = all(layer.q is not None for layer in kept)
    parts: dict[str, list[Tensor]] = {name: [] for name in ("k", "v", "x", "q", "moment")}
    for place, (layer, own) in enumerate(zip(geometry.layers, kept, strict=True)):
        own = _align(own, shift)
        keys = _bring(layer, "key", own.k, own.stage, key_stage)
        values = own.v if own.stage in AS_ATTENDED else layer.norm("value", own.v)
        for name, whole in (("k", keys), ("v", values), ("x", own.x)):
            if whole is not None:
                parts[name].append(_take(aim, whole)[order.argsort()])
        if own.q is None:
            continue
        parts["q"].append(
            _take(aim, _bring(layer, "query", own.q, "projected", key_stage))[order.argsort()]
        )
        if has_queries:
            parts["moment"].append(_add_up(reader, aim, place, layer, own))
    count = sum(len(sequence.queries) for sequence in sequences) * has_queries
    result = Words(
        table=table,
        **{name: tuple(parts[name]) for name in ("k", "v", "x", "q")},
        key_metric=scale_moments(parts["moment"], geometry, count),
        value_metric=geometry.value_metrics(),
        about=describe(model, key_stage, source, count),
        losses=losses,
    )
    if check:
        _compare(result, model, source, key_stage, take)
    return result


def _check_shapes(kept: Sequence[Kept], model: Model, texts: Sequence[Tokens]) -> int:
    """Refuse tensors of another form; return how many positions there are."""
    longest = max(len(text.ids) for text in texts)
    for layer, own in zip(model.geometry.layers, kept, strict=True):
        for name, tensor, heads, width in (
            ("keys", own.k, layer.n_kv_heads, layer.d_head),
            ("values", own.v, layer.n_kv_heads, layer.d_value),
        ):
            shape = tuple(tensor.shape)
            if len(shape) != 4 or shape[2:] != (heads, width):
                raise UsageError(
                    f"the {name} of layer {layer.index} have the shape {shape}; expected [row, "
                    f"position, {heads} kv heads, {width}]. Give them as the model made them, kv "
                    "heads unrepeated."
                )
            if shape[0] != len(texts) or shape[1] < longest:
                raise UsageError(
                    f"the {name} of layer {layer.index} are of {shape[0]} rows of {shape[1]} "
                    f"tokens; the sentences are {len(texts)}, of up to {longest} tokens with the "
                    "special ones. Give the sentences that were run, each once and in that order, "
                    "tokenised with special tokens."
                )
    return int(kept[0].k.shape[1])


def _align(kept: Kept, shift: Tensor) -> Kept:
    """Bring rows that were padded on the left to the start, in float32 on the CPU."""

    def move(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        tensor = tensor.detach().cpu().float()
        if not bool(shift.any()):
            return tensor
        return torch.stack([row.roll(-int(n), 0) for row, n in zip(tensor, shift, strict=True)])

    moved: dict[str, Any] = {name: move(getattr(kept, name)) for name in ("k", "v", "q", "x")}
    return replace(kept, **moved)


def _bring(
    layer: AttentionLayer,
    part: Literal["query", "key"],
    vectors: Float[Tensor, "row position head d_head"],
    stage: KeyStage,
    wanted: KeyStage,
) -> Float[Tensor, "row position head d_head"]:
    """Norm and rotate vectors, as far as is wanted."""
    if stage == wanted or stage in AS_ATTENDED:
        return vectors
    vectors = layer.norm(part, vectors)
    if wanted == "normed":
        return vectors
    return layer.attend(part, vectors, torch.arange(vectors.shape[1]))


def _take(aim: Aim, whole: Tensor) -> Tensor:
    return aim.average(whole[aim.row, aim.position])


def _add_up(
    reader: Reader, aim: Aim, place: int, layer: AttentionLayer, kept: Kept
) -> Float[Tensor, "kv_head d_head d_head"]:
    """Sum q q' over the queries that attend to the words; see `Reading`."""
    assert kept.q is not None  # noqa: S101 - for the type checker
    q = _bring(layer, "query", kept.q, "projected", "attended").transpose(1, 2)
    k = _bring(layer, "key", kept.k, kept.stage, "attended").transpose(1, 2)
    attended = Attended(
        q, k, kept.v.transpose(1, 2), None, layer.logit_scale, softcap=layer.softcap
    )
    return reader.sum_queries(place, q[aim.query_row, :, aim.query_position], attended, aim)


def _compare(found: Words, model: Model, source: str, key_stage: KeyStage, take: Take) -> None:
    """Compare the shortest and the longest sentence with what the model makes of them."""
    texts = sorted(found.table["sentence"], key=len)
    chosen = {texts[0], texts[-1]}
    rows = torch.tensor(found.table["sentence"].isin(chosen).to_numpy()).nonzero()[:, 0]
    sample = found.table.iloc[rows.numpy()][["word", "group", "sentence", "start", "end"]]
    own = read(model, sample, key_stage=key_stage, take=take)
    tolerance = accepted_difference(model.hf)
    for name in ("k", "v"):
        for layer in range(found.n_layers):
            theirs, ours = getattr(found, name)[layer][rows], getattr(own, name)[layer]
            difference = relative_difference(theirs, ours)
            if not difference <= tolerance:
                what = {"k": "keys", "v": "values"}[name]
                raise FaithfulnessError(
                    f"the {what} of {source} in layer {model.geometry.layers[layer].index} are not "
                    f"those of {model.name}: they differ by {difference:.1e} of the largest "
                    f"({tolerance:.0e} is accepted). Likely causes: padding on the left, or "
                    "without an attention mask; sentences in another order; processed weights; a "
                    "hook that edits. read(model, sentences, words) reads the model itself."
                )
