"""A model ready to be measured: raw weights, tokenizer, geometry and identity."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from probes.errors import UnsupportedModelError, UsageError
from probes.models.geometry import AttentionGeometry, Site

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Model:
    """A transformer with raw weights, in eval mode, and what is known about it.

    Parameters
    ----------
    name
        The name the user gave.
    hf
        The HF model, never wrapped in place.
    sites
        Where it attends: ``decoder`` for a causal model, ``encoder`` for one that sees both ways,
        and all three of ``encoder``, ``decoder`` and ``cross`` for an encoder-decoder.
    weights_hash
        sha256 over the sorted (name, dtype, shape, bytes) of the parameters.
    origin
        Where the weights come from: source, package or folder, version, archive hash, precision,
        licence, and the hash of the config.
    source_prefix
        What the model wants before every sentence.
    """

    name: str
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    sites: Mapping[Site, AttentionGeometry]
    weights_hash: str
    origin: dict[str, str]
    source_prefix: str = ""

    @property
    def geometry(self) -> AttentionGeometry:
        """The attention at the main site: an encoder-decoder's encoder, else the only one."""
        return next(iter(self.sites.values()))

    @property
    def has_encoder_and_decoder(self) -> bool:
        """Whether the model is an encoder-decoder."""
        return "cross" in self.sites

    def at(self, site: str) -> AttentionGeometry:
        """Return the attention geometry of one site.

        Raises
        ------
        UsageError
            If the model has no such site.
        """
        for name, geometry in self.sites.items():
            if name == site:
                return geometry
        raise UsageError(
            f"{self.name} attends at {', '.join(self.sites)}; there is no site {site!r}."
        )

    @property
    def trunk(self) -> nn.Module:
        """The inner model, without the unembedding."""
        trunk: nn.Module = self.hf.base_model
        return trunk

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self.hf.device
        return device

    @cached_property
    def bridge(self) -> TransformerBridge:
        """The transformer-lens bridge to this model, on a twin that shares its parameters.

        The bridge wraps a model in place and forces eager attention, so it gets a copy of the
        module tree; the tensors are the same. Weights stay raw: compatibility mode is never
        enabled, because it folds the value bias away.

        Raises
        ------
        UnsupportedModelError
            If transformer-lens has no adapter for the architecture.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformer-lens' imports are not the user's concern
            from transformer_lens.factories.architecture_adapter_factory import (
                SUPPORTED_ARCHITECTURES,
            )
            from transformer_lens.model_bridge import TransformerBridge

            architecture = type(self.hf).__name__
            if architecture not in SUPPORTED_ARCHITECTURES:
                raise UnsupportedModelError(
                    f"transformer-lens has no bridge for {architecture}. Capture and measures work "
                    "without it; only hooks by transformer-lens name need it."
                )
            tokenizer = copy.deepcopy(self.tokenizer)  # the bridge adds special tokens to it
            # With these two it is used as it is; without them the bridge asks the hub for another.
            tokenizer.init_kwargs["name_or_path"] = self.name
            tokenizer.init_kwargs["add_bos_token"] = True
            bridge: Any = TransformerBridge.boot_transformers(
                self.name,
                hf_model=self._twin(),
                tokenizer=tokenizer,
                device=self.device,
                dtype=self.hf.dtype,
            )
        bridge.eval()
        return bridge

    def _twin(self) -> PreTrainedModel:
        """Return a copy of the module tree whose parameters and buffers are the model's own."""
        tensors = chain(self.hf.parameters(), self.hf.buffers())
        twin = copy.deepcopy(self.hf, {id(tensor): tensor for tensor in tensors})
        twin.config.architectures = [type(twin).__name__]  # the bridge chooses its adapter by it
        return twin
