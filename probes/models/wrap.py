"""From what a user already has, a model in memory or a TransformerBridge, to a `Model`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

from probes.errors import UnsupportedModelError, UsageError
from probes.models import load
from probes.models.bridge import compare_logits
from probes.models.bundled import DEFAULT_MODEL
from probes.models.compare import accepted_difference
from probes.models.doctor import examine_model
from probes.models.examine import refuse_unfaithful
from probes.models.model import Model

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast


def load_model(
    source: str | Path | Model | PreTrainedModel | TransformerBridge = DEFAULT_MODEL,
    *,
    tokenizer: PreTrainedTokenizerFast | None = None,
    check: bool = True,
    **options: Any,
) -> Model:
    """Load a model by its name or folder, or take one that is in memory.

    Parameters
    ----------
    source
        A bundled model (see `list_models`), a folder, or a name on the Hugging Face hub: see
        `probes.models.load.load_model`. A model of transformers, or a TransformerBridge, is used
        where it is: its weights are shared, and it is left as it is.
    tokenizer
        The fast tokenizer of a transformers model in memory.
    check
        Whether to refuse a model for which `kvprobes doctor` finds that what is read is not what
        the model uses.
    options
        For names and folders: ``device``, ``dtype``, ``revision``, ``device_map``, ``attn``.

    Raises
    ------
    UsageError
        If a model in memory is in train mode, lacks its tokenizer or comes with options; or an
        option does not fit.
    UnknownModelError, DownloadError, IntegrityError
        If there is no such model, or it cannot be fetched whole.
    UnsupportedModelError
        If its attention cannot be addressed exactly, or a bridge has processed weights.

    Examples
    --------
    >>> model = load_model("smollm2-135m-instruct")  # doctest: +SKIP
    >>> model = load_model(bridge)  # a TransformerBridge  # doctest: +SKIP
    >>> model = load_model(hf_model, tokenizer=tokenizer)  # doctest: +SKIP
    """
    if isinstance(source, str | Path):
        if tokenizer is not None:
            raise UsageError(
                f"{str(source)!r} comes with its own tokenizer: leave tokenizer out, or give the "
                "model itself in place of its name."
            )
        return load.load_model(source, check=check, **options)
    if options:
        raise UsageError(
            f"{', '.join(options)} cannot be chosen for a model that is in memory already. Leave "
            "them out; model.to(device) moves the model."
        )
    model = wrap_model(source, tokenizer)
    if check and not isinstance(source, Model):
        refuse_unfaithful(model.name, examine_model(model))
    return model


def wrap_model(source: Any, tokenizer: Any = None, *, name: str | None = None) -> Model:
    """Make a `Model` of a transformers model, or of a transformer-lens bridge, in memory.

    Weights are shared with the source, which is left as it is.

    Parameters
    ----------
    source
        A `Model` is returned as it is.
    tokenizer
        The fast tokenizer of a transformers model. A bridge has its own.
    name
        What tables and errors call it.

    Raises
    ------
    UsageError
        If it is none of these, has no tokenizer, or is in train mode.
    UnsupportedModelError
        If its attention cannot be addressed exactly, or the bridge has processed weights.
    """
    if isinstance(source, Model):
        return source
    if is_bridge(source):
        return _wrap_bridge(source, name)
    if not isinstance(source, PreTrainedModel):
        raise UsageError(
            f"a {type(source).__name__} is no model: give a name, a folder, a transformers model "
            "with its tokenizer, or a TransformerBridge."
        )
    if tokenizer is None:
        raise UsageError(
            f"a {type(source).__name__} in memory comes without its tokenizer. Write "
            "load_model(model, tokenizer=AutoTokenizer.from_pretrained(...))."
        )
    if source.training:
        raise UsageError(
            f"the {type(source).__name__} is in train mode, where dropout changes keys and values. "
            "Call model.eval() first."
        )
    return load.build_model(source, tokenizer, name=name or _find_name(source))


def is_bridge(source: Any) -> bool:
    """Say whether something is a transformer-lens bridge, without importing transformer-lens."""
    return any(kind.__name__ == "TransformerBridge" for kind in type(source).__mro__)


def _find_name(hf: PreTrainedModel) -> str:
    return getattr(hf.config, "_name_or_path", "") or type(hf).__name__


def _wrap_bridge(bridge: Any, name: str | None) -> Model:
    if getattr(bridge, "compatibility_mode", False):
        raise UnsupportedModelError(
            "the TransformerBridge is in compatibility mode, which folds norms and the value bias "
            "into other weights: its keys and values are no longer the model's. Boot it again, "
            "without enable_compatibility_mode()."
        )
    if bridge.training:
        raise UsageError(
            "the TransformerBridge is in train mode, where dropout changes keys and values. Call "
            "bridge.eval() first."
        )
    hf = unwrap_bridge(bridge)
    model = load.build_model(hf, bridge.tokenizer, name=name or str(bridge.cfg.model_name))
    difference = compare_logits(hf, bridge.tokenizer, bridge)
    if not difference <= accepted_difference(hf):
        raise UnsupportedModelError(
            f"the TransformerBridge gives other logits than the model in it ({difference:.1e} of "
            "the largest): hooks are attached to it, or its adapter is at fault. Call "
            "bridge.reset_hooks(), or load the model itself: load_model(name)."
        )
    vars(model)["bridge"] = bridge  # it is this model's, and needs no other
    return model


def unwrap_bridge(bridge: Any) -> PreTrainedModel:
    """Return the transformers model in a bridge, which shares its weights.

    The bridge has replaced modules of the model by its own, in place; a new tree of plain modules
    is given the same tensors.

    Raises
    ------
    UnsupportedModelError
        If a weight of the model is not found in the bridge.
    """
    wrapped = bridge.original_model
    with torch.device("meta"):
        plain = type(wrapped)(copy.deepcopy(wrapped.config))
    for path, module in plain.named_modules():
        own = [*module._parameters.items(), *module._buffers.items()]
        if all(tensor is None for _, tensor in own):
            continue
        source = _descend(wrapped, path)
        for key, tensor in own:
            found = getattr(source, key, None)
            if tensor is None:
                continue
            if not isinstance(found, torch.Tensor) or found.shape != tensor.shape:
                raise UnsupportedModelError(
                    f"the bridge of {type(plain).__name__} holds no {path}.{key} as the model has "
                    "it: its weights were processed. Boot it without weight processing, or load "
                    "the model itself: load_model(name)."
                )
            stored = module._parameters if key in module._parameters else module._buffers
            stored[key] = found
    return plain.eval()


def _descend(root: nn.Module, path: str) -> nn.Module:
    """Return the module at a path, stepping through the bridge's wrappers."""
    found: Any = _open(root)
    for part in filter(None, path.split(".")):
        found = _open(getattr(found, part))
    module: nn.Module = found
    return module


def _open(module: Any) -> Any:
    while getattr(module, "original_component", None) is not None:
        module = module.original_component
    return module
