"""Encoder-decoders, and a decoder that looks at another model's states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.architectures.entry import GPT2_SIZES, Architecture, Kind

# Three layers and three heads in the encoder, two and six in the decoder.
BART = {
    "d_model": 24,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 36,
    "max_position_embeddings": 128,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
# Scores are not divided by the square root of d_kv; this explains the smaller gain.
T5 = {
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_heads": 3,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
}
SOUND = {  # 16 positions, of two frames each
    "num_mel_bins": 6,
    "max_source_positions": 16,
    "max_target_positions": 128,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}


def pair(
    name: str,
    shown: str,
    prefix: str,
    settings: Mapping[str, Any],
    *,
    model: str = "ForConditionalGeneration",
    kind: Kind = "encoder-decoder",
    gain: float = 1.0,
    focus: float = 2.2,
) -> Architecture:
    """Return the entry of an encoder-decoder whose classes begin with a prefix."""
    classes = f"{prefix}Config", f"{prefix}{model}"
    return Architecture(name, shown, *classes, settings, kind, gain, focus)


ENTRIES = (
    pair("t5", "T5", "T5", T5, gain=1.1, focus=1.0),
    pair("mt5", "mT5", "MT5", T5, gain=1.1, focus=1.0),
    pair("umt5", "UMT5", "UMT5", T5, gain=1.1, focus=1.0),
    pair("bart", "BART", "Bart", BART),
    pair("mbart", "mBART", "MBart", BART),
    pair("pegasus", "Pegasus", "Pegasus", BART),
    pair("marian", "Marian", "Marian", BART, model="MTModel"),
    pair("m2m_100", "M2M100", "M2M100", BART),
    pair("blenderbot", "Blenderbot", "Blenderbot", BART),
    pair("whisper", "Whisper", "Whisper", BART | SOUND, kind="audio"),
    pair(
        "gpt2_cross",
        "GPT-2 with cross-attention",
        "GPT2",
        GPT2_SIZES | {"add_cross_attention": True},
        model="LMHeadModel",
        gain=1.4,
    ),
)
