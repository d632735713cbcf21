"""A matrix of tiny random models of many architectures, from transformers' own classes.

Widths, head counts and layers are small and odd, so that a mixed-up axis shows. `build_hf` draws
every parameter, large enough that attention is far from uniform.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from tests.architectures import causal, derived, encoders, latest, mixed, seq2seq
from tests.architectures.entry import Architecture
from tests.tiny import randomise, tiny_tokenizer

__all__ = ["MATRIX", "Architecture", "build_hf", "example_inputs"]

ROOMS = (causal, mixed, encoders, seq2seq, derived, latest)
MATRIX = {entry.name: entry for room in ROOMS for entry in room.ENTRIES}
SPECIAL_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def build_hf(name: str, *, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """Return the random model of an entry; the same arguments give the same weights."""
    entry = MATRIX[name]
    vocabulary = {"vocab_size": len(tiny_tokenizer()), **SPECIAL_IDS}
    settings = copy.deepcopy({**vocabulary, **entry.settings, **overrides})  # configs write in it
    config = getattr(transformers, entry.config)(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hf: PreTrainedModel = getattr(transformers, entry.model)(config)
    randomise(hf, seed, gain=entry.gain, focus=entry.focus)
    return hf.eval()


def example_inputs(hf: PreTrainedModel, *, seed: int = 0, length: int = 12) -> dict[str, Tensor]:
    """Return one row of random input, `length` tokens long where it has tokens."""
    generator = torch.Generator().manual_seed(seed)
    config = hf.config
    if hf.main_input_name == "pixel_values":
        shape = (1, config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": torch.randn(shape, generator=generator)}
    if hf.main_input_name == "input_features":
        shape = (1, config.num_mel_bins, 2 * config.max_source_positions)
        inputs = {"input_features": torch.randn(shape, generator=generator)}
    else:
        inputs = {"input_ids": _draw_ids(config.vocab_size, length, generator)}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = _draw_ids(config.vocab_size, length // 2 + 1, generator)
    elif getattr(config, "add_cross_attention", False):
        shape = (1, length - 2, config.hidden_size)
        inputs["encoder_hidden_states"] = torch.randn(shape, generator=generator)
    return inputs


def _draw_ids(vocab_size: int, length: int, generator: torch.Generator) -> Tensor:
    first_plain = max(SPECIAL_IDS.values()) + 1
    return torch.randint(first_plain, vocab_size, (1, length), generator=generator)
