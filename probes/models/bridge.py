"""The transformer-lens bridge to a model: a twin that shares its weights, compared before use."""

from __future__ import annotations

import copy
import warnings
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from probes.errors import UnsupportedModelError
from probes.models.compare import accepted_difference, relative_difference

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_TEXT = "The neural network was small."


def build_bridge(
    hf: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, name: str
) -> TransformerBridge:
    """Return a bridge to a model, once it has given the model's own logits for a sentence.

    The bridge wraps a model in place and forces eager attention, so it gets a copy of the module
    tree; the tensors are the same. Weights stay raw: compatibility mode is never enabled, because
    it folds the value bias away.

    Parameters
    ----------
    hf, tokenizer
        The model and its tokenizer; both are left as they are.
    name
        What errors call the model.

    Raises
    ------
    UnsupportedModelError
        If transformer-lens has no adapter for the architecture, its adapter does not take this
        config, or its logits are not the model's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformer-lens' imports are not the user's concern
        bridge = _boot(hf, tokenizer, name)
    bridge.eval()
    difference = compare_logits(hf, tokenizer, bridge)
    if not difference <= accepted_difference(hf):
        raise UnsupportedModelError(
            f"the transformer-lens bridge to {name} gives other logits than the model: they "
            f"differ by {difference:.1e} of the largest. {_WITHOUT}"
        )
    return bridge


_WITHOUT = "Capture and measures work without it; only hooks by transformer-lens name need it."


def _boot(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str) -> Any:
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformer_lens.model_bridge import TransformerBridge

    architecture = type(hf).__name__
    if architecture not in SUPPORTED_ARCHITECTURES:
        raise UnsupportedModelError(
            f"transformer-lens has no bridge for {architecture}. {_WITHOUT}"
        )
    own_tokenizer = copy.deepcopy(tokenizer)  # the bridge adds special tokens to it
    # With these two it is used as it is; without them the bridge asks the hub for another.
    own_tokenizer.init_kwargs["name_or_path"] = name
    own_tokenizer.init_kwargs["add_bos_token"] = True
    try:
        return TransformerBridge.boot_transformers(
            name,
            hf_model=_twin(hf),
            tokenizer=own_tokenizer,
            device=hf.device,
            dtype=hf.dtype,
        )
    # What an adapter raises at a config it does not take: some assert, some find no module.
    except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise UnsupportedModelError(
            f"transformer-lens' bridge for {architecture} does not take this config "
            f"({said[0]}). {_WITHOUT}"
        ) from error


def _twin(hf: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of the module tree whose parameters and buffers are the model's own."""
    tensors = chain(hf.parameters(), hf.buffers())
    twin = copy.deepcopy(hf, {id(tensor): tensor for tensor in tensors})
    twin.config.architectures = [type(twin).__name__]  # the bridge chooses its adapter by it
    return twin


def compare_logits(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, bridge: Any) -> float:
    """Run one sentence through both; return their largest difference in parts of the largest."""
    ids = torch.tensor([tokenizer(_TEXT)["input_ids"]], device=hf.device)
    both = hf.config.is_encoder_decoder
    with torch.inference_mode():
        expected = hf(input_ids=ids, **({"decoder_input_ids": ids} if both else {}))[0]
        found = bridge(ids, **({"decoder_input": ids} if both else {}))
    return relative_difference(found, expected)
