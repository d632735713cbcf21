"""A model ready to be measured: raw weights, tokenizer, geometry and identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from probes.errors import UsageError
from probes.models.checks import Check
from probes.models.geometry import AttentionGeometry, Site
from probes.models.identity import Identity

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Model:
    """A transformer with raw weights, in eval mode, and what is known about it.

    Parameters
    ----------
    name
        The name the user gave; of a folder, its own name without those above it.
    hf
        The HF model, never wrapped in place.
    sites
        Where it attends: ``decoder`` for a causal model, ``encoder`` for one that sees both ways,
        and all three of ``encoder``, ``decoder`` and ``cross`` for an encoder-decoder.
    identity
        What `weights_hash` is taken from.
    origin
        Where the weights come from: source, package or folder, version, archive hash, precision,
        licence, and the hash of the config.
    source_prefix
        What the model wants before every sentence.
    checks
        What was found of the files it was loaded from.
    """

    name: str
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    sites: Mapping[Site, AttentionGeometry]
    identity: Identity
    origin: dict[str, str]
    source_prefix: str = ""
    checks: tuple[Check, ...] = ()

    def __repr__(self) -> str:
        sites = ", ".join(
            f"{name}: {len(own.layers)} layers of {own.layers[0].n_kv_heads} kv heads"
            for name, own in self.sites.items()
        )
        return f"Model({self.name!r}, {sites}, {self.device})"

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
    def weights_hash(self) -> str:
        """The sha256 of the parameters as they are now: sorted (name, dtype, shape, bytes).

        Buffers and hooks that were changed or added since the model was loaded, and
        parametrisations, make it another one.
        """
        return self.identity.now()

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
        """The transformer-lens bridge to this model, raw weights; see `build_bridge`."""
        from probes.models.bridge import build_bridge

        return build_bridge(self.hf, self.tokenizer, name=self.name)
