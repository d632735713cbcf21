"""What one architecture of the matrix is, and the sizes that many of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["causal", "encoder", "encoder-decoder", "vision", "audio"]

DEPTH = {"num_hidden_layers": 3, "max_position_embeddings": 128}
# Every head its own key: three heads, d_model = 3 * d_head.
UNGROUPED = DEPTH | {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
# Two query heads to one key head; six heads of 8 are not the 24 of d_model.
GROUPED = UNGROUPED | {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 8}
# The same in a config that has no head_dim of its own: d_model = 6 * d_head.
GROUPED_NARROW = GROUPED | {"hidden_size": 48}
del GROUPED_NARROW["head_dim"]
GPT2_SIZES = {"n_embd": 24, "n_head": 3, "n_layer": 3, "n_positions": 128, "n_inner": 40}

WINDOW = 8
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


@dataclass(frozen=True)
class Architecture:
    """An architecture as transformers builds it, made tiny.

    `settings` are those of the config class, without the vocabulary, which `build_hf` adds. `gain`
    is that of the random matrices, times `focus` for queries and keys: attention scores grow with
    the square of both.
    """

    name: str
    shown: str
    config: str
    model: str
    settings: Mapping[str, Any] = field(repr=False)
    kind: Kind = "causal"
    gain: float = 1.4
    focus: float = 1.0


def decoder(
    name: str,
    shown: str,
    prefix: str,
    sizes: Mapping[str, Any],
    *,
    model: str | None = None,
    config: str | None = None,
    gain: float = 1.4,
    focus: float = 1.0,
    **settings: Any,
) -> Architecture:
    """Return the entry of a decoder whose classes begin with a prefix."""
    return Architecture(
        name=name,
        shown=shown,
        config=config or f"{prefix}Config",
        model=model or f"{prefix}ForCausalLM",
        settings={**sizes, **settings},
        gain=gain,
        focus=focus,
    )
