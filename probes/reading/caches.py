"""Words from what others have kept: transformer-lens caches, key-value caches, projections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from probes.capture.plan import Take
from probes.capture.read import KeyStage
from probes.errors import UsageError
from probes.models.model import Model
from probes.models.wrap import wrap_model
from probes.reading.find import Sentences
from probes.reading.kept import Kept, Padding, gather_kept
from probes.reading.words import Words

if TYPE_CHECKING:
    from transformer_lens import ActivationCache
    from transformer_lens.model_bridge import TransformerBridge


def from_cache(
    cache: ActivationCache | Mapping[str, Tensor],
    model: TransformerBridge | Model,
    sentences: Sentences,
    words: str | Iterable[str] | None = None,
    *,
    key_stage: KeyStage = "projected",
    take: Take = "last",
    padding: Padding = "right",
    check: bool = True,
) -> Words:
    """Read words from a transformer-lens cache of sentences that were run.

    Parameters
    ----------
    cache
        Of ``bridge.run_with_cache``, or a mapping of its names to tensors. It must hold
        ``blocks.N.attn.hook_k`` and ``hook_v`` of every layer; with ``hook_q`` the functional space
        of keys is known, with ``blocks.N.attn.k.hook_in`` x too.
    model
        The bridge that was run, or the same model.
    sentences, words, key_stage, take
        As `read` takes them. The rows of the cache are the distinct sentences in their order.
    padding
        On which side short sentences were padded. The attention mask must have been given.
    check
        Whether to compare with the model. Without it an intervention can be read, and a fault is
        not found.

    Raises
    ------
    UsageError
        If a name is missing, or the cache is of other sentences.
    FaithfulnessError
        If keys or values are not the model's.

    Examples
    --------
    >>> logits, cache = bridge.run_with_cache(sentences)  # doctest: +SKIP
    >>> words = from_cache(cache, bridge, sentences, ["neural", "social"])  # doctest: +SKIP
    """
    loaded = wrap_model(model)
    kept = []
    for layer in loaded.geometry.layers:
        block = f"blocks.{layer.index}.attn"
        needed = [name for name in (f"{block}.hook_k", f"{block}.hook_v") if name not in cache]
        if needed:
            raise UsageError(
                f"the cache has no {needed[0]}. Run bridge.run_with_cache(...) without a filter of "
                "names, or with hook_k, hook_v and hook_q of every layer in it."
            )
        q, x = f"{block}.hook_q", f"{block}.k.hook_in"
        kept.append(
            Kept(
                cache[f"{block}.hook_k"],
                cache[f"{block}.hook_v"],
                cache[q] if q in cache else None,  # noqa: SIM401 - a cache has no get
                cache[x] if x in cache else None,  # noqa: SIM401
            )
        )
    return gather_kept(kept, loaded, "a cache", sentences, words, key_stage, take, padding, check)


def from_past_key_values(
    past_key_values: Any,
    model: Any,
    sentences: Sentences,
    words: str | Iterable[str] | None = None,
    *,
    tokenizer: Any = None,
    take: Take = "last",
    padding: Padding = "right",
    check: bool = True,
) -> Words:
    """Read words from the key-value cache of a transformers model.

    Keys are as the logits use them, rotated to their positions. Queries and x are not in such a
    cache, so the functional space of keys is not known.

    Parameters
    ----------
    past_key_values
        Of ``model(**inputs, use_cache=True)``: a ``Cache``, or a pair of tensors per layer ``[row,
        kv_head, position, d_head]``.
    model, tokenizer
        The model that was run, and its tokenizer.
    sentences, words, take, padding, check
        As for `from_cache`.

    Raises
    ------
    UsageError
        If the cache has another form, or is of other sentences.
    FaithfulnessError
        If keys or values are not the model's.
    """
    loaded = wrap_model(model, tokenizer)
    layers = getattr(past_key_values, "layers", None)
    pairs = (
        list(past_key_values)
        if layers is None
        else [(layer.keys, layer.values) for layer in layers]
    )
    geometry = loaded.geometry
    if len(pairs) <= max(layer.index for layer in geometry.layers):
        raise UsageError(
            f"the key-value cache has {len(pairs)} layers, and {loaded.name} "
            f"{geometry.n_layers}. Give past_key_values as the model returned it."
        )
    late = any(layer.gain("key") is not None for layer in geometry.layers)
    stage: KeyStage = "attended" if late else "rotated"
    kept = []
    for layer in geometry.layers:
        k, v = (part.transpose(1, 2) for part in pairs[layer.index])
        repeats = max(1, k.shape[2] // layer.n_kv_heads)  # Falcon keeps a key once a query head
        kept.append(Kept(k[:, :, ::repeats], v[:, :, ::repeats], stage=stage))
    source = "a key-value cache"
    return gather_kept(kept, loaded, source, sentences, words, stage, take, padding, check)


def from_projections(
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    model: Any,
    sentences: Sentences,
    words: str | Iterable[str] | None = None,
    *,
    queries: Sequence[Tensor] | None = None,
    x: Sequence[Tensor] | None = None,
    tokenizer: Any = None,
    key_stage: KeyStage = "projected",
    take: Take = "last",
    padding: Padding = "right",
    check: bool = True,
) -> Words:
    """Read words from saved outputs of the projections, as nnsight or plain hooks keep them.

    Parameters
    ----------
    keys, values, queries
        By layer, the output ``[row, position, width]`` of the module that makes them, such as
        ``model.model.layers[0].self_attn.k_proj.output``. Where one module makes all three, give
        its output each time.
    x
        By layer, what these modules read, ``[row, position, d_input]``.
    model, sentences, words, tokenizer, key_stage, take, padding, check
        As for `from_cache`.

    Raises
    ------
    UsageError
        If there is not a tensor per layer, or they are of other sentences.
    FaithfulnessError
        If keys or values are not the model's.
    """
    loaded = wrap_model(model, tokenizer)
    layers = loaded.geometry.layers
    for name, given in (("keys", keys), ("values", values), ("queries", queries), ("x", x)):
        if given is not None and len(given) != len(layers):
            raise UsageError(
                f"{name} holds {len(given)} tensors, and {loaded.name} has {len(layers)} layers "
                "that attend. Give one a layer."
            )
    kept = [
        Kept(
            layer.key.split(keys[i]),
            layer.value.split(values[i]),
            None if queries is None else layer.query.split(queries[i]),
            None if x is None else x[i],
        )
        for i, layer in enumerate(layers)
    ]
    source = "saved projections"
    return gather_kept(kept, loaded, source, sentences, words, key_stage, take, padding, check)
