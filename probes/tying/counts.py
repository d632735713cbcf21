"""Exact counts of a model's parameters, of what it caches a token, and of its arithmetic."""

from __future__ import annotations

from dataclasses import replace

from probes.tying.shape import ModelShape

ATTENTION = ("queries", "keys", "values", "output")


def count_parameters(shape: ModelShape) -> dict[str, int]:
    """Count parameters part by part.

    Returns
    -------
    dict
        ``embedding`` (shared by input and output), ``positions``, ``queries``, ``keys``,
        ``values`` (their projection or their map of the keys), ``output``, ``feedforward``,
        ``norms``; summed over layers, and over self- and cross-attention. Their sum is the model.
    """
    one = _count_attention(shape)
    n_attentions = _count_attentions(shape)
    n_blocks = shape.n_layers + shape.n_encoder_layers
    n_norms = n_attentions + n_blocks + 1 + (shape.n_encoder_layers > 0)
    return {
        "embedding": shape.vocabulary * shape.d_model,
        "positions": shape.length * shape.d_model if shape.positions == "learned" else 0,
        **{name: n_attentions * count for name, count in one.items()},
        "feedforward": n_blocks * 2 * shape.d_model * shape.d_feedforward,
        "norms": n_norms * shape.d_model,
    }


def count_scaled_parameters(shape: ModelShape) -> int:
    """Count the parameters of attention and feed-forward layers: what a scaling law is fitted on.

    Embeddings, positions and norms are left out, as in Kaplan et al. 2020.
    """
    counts = count_parameters(shape)
    return sum(counts[name] for name in (*ATTENTION, "feedforward"))


def count_cache(shape: ModelShape) -> dict[str, int]:
    """Count the numbers that generation must keep.

    A value that is the key, or a map of it, is not kept beside it; with rotary positions the key is
    kept as it is before the rotation, and rotated when read.

    Returns
    -------
    dict
        ``self``: numbers per token of the decoder; ``cross``: numbers per token of the source.
    """
    d_key_value = shape.n_kv_heads * shape.d_head
    kept = {"own": 2 * d_key_value, "half": d_key_value + d_key_value // 2}
    one = shape.n_layers * kept.get(shape.kind.value, d_key_value)
    return {"self": one, "cross": one if shape.n_encoder_layers else 0}


def count_flops(shape: ModelShape, *, tokens: int, source_tokens: int = 0) -> int:
    """Count the floating-point operations of matrix products in one forward pass of one sequence.

    A product of [a, b] and [b, c] counts 2abc, masked attention in full, as torch's
    ``FlopCounterMode`` counts. Training takes about three times as many. A diagonal map of the key
    is no matrix product and counts nothing.
    """
    d_query = shape.n_heads * shape.d_head
    feedforward = 2 * 2 * shape.d_model * shape.d_feedforward
    project_from, project_to = _split_projections(shape)

    def attend(here: int, there: int) -> int:
        scores = 2 * 2 * here * there * d_query
        return here * project_to + there * project_from + scores

    decoder = attend(tokens, tokens) + tokens * feedforward
    encoder = 0
    if shape.n_encoder_layers:
        decoder += attend(tokens, source_tokens)
        encoder = attend(source_tokens, source_tokens) + source_tokens * feedforward
    logits = tokens * 2 * shape.d_model * shape.vocabulary
    if shape.kind.query_is_key:  # what is projected once for both counts once
        shared = 2 * shape.d_model * d_query
        decoder -= tokens * shared
        encoder -= source_tokens * shared if shape.n_encoder_layers else 0
    return shape.n_layers * decoder + shape.n_encoder_layers * encoder + logits


def give_back(shape: ModelShape) -> ModelShape:
    """Widen the feed-forward layers by the parameters that sharing saves, if the variant asks.

    The width is the one whose parameters come nearest to those of ``separate``. In a decoder they
    match exactly when heads x d_head is even; what remains otherwise is the difference of the two
    `count_parameters`.
    """
    if not shape.kind.gives_back:
        return shape
    wanted = sum(count_parameters(replace(shape, variant="separate")).values())
    saved = wanted - sum(count_parameters(shape).values())
    step = (shape.n_layers + shape.n_encoder_layers) * 2 * shape.d_model
    return replace(shape, d_feedforward=shape.d_feedforward + round(saved / step))


def _count_attention(shape: ModelShape) -> dict[str, int]:
    """Count one attention layer's parameters."""
    d_query, d_key_value = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    whole = shape.d_model * d_key_value
    values = {
        "own": whole,
        "half": whole,
        "key": 0,
        "diagonal": d_key_value,
        "per head": d_key_value * shape.d_head,
    }
    return {
        "queries": 0 if shape.kind.query_is_key else shape.d_model * d_query,
        "keys": shape.d_model * (d_key_value // 2) if shape.kind.value == "half" else whole,
        "values": values[shape.kind.value],
        "output": shape.d_model * d_query,
    }


def _count_attentions(shape: ModelShape) -> int:
    """Count attention layers; a decoder block that reads an encoder has two."""
    return shape.n_encoder_layers + shape.n_layers * (2 if shape.n_encoder_layers else 1)


def _split_projections(shape: ModelShape) -> tuple[int, int]:
    """Return operations per token attended to (keys, values), and a token that attends."""
    one = _count_attention(shape)
    queries = one["keys"] if shape.kind.query_is_key else one["queries"]
    per_head = shape.kind.value != "diagonal"
    return 2 * (one["keys"] + one["values"] * per_head), 2 * (queries + one["output"])
