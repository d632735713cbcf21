"""Loading a model by name: bundled, a local folder, or the Hugging Face hub."""

from __future__ import annotations

import copy
import difflib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from probes.errors import UnknownModelError, UsageError
from probes.files import hash_json
from probes.models.bundled import BUNDLED_MODELS, DEFAULT_MODEL, find_bundled
from probes.models.checks import Check
from probes.models.convert import prepare_bundled
from probes.models.doctor import examine_model
from probes.models.examine import refuse_unfaithful
from probes.models.failures import failing_as_ours
from probes.models.hub import HubProblem, fetch_snapshot
from probes.models.identity import Identity
from probes.models.model import Model
from probes.models.quiet import quiet_transformers
from probes.models.sites import read_sites
from probes.models.tokenizers import load_tokenizer, refuse_slow
from probes.models.weights import (
    ADAPTER,
    IMPLEMENTATIONS,
    load_weights,
    read_config,
    refuse_absent,
    refuse_absurd,
    refuse_broken_files,
)


def load_model(
    name: str | Path = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    attn: str | None = None,
    check: bool = True,
) -> Model:
    """Load a model with raw weights, in eval mode.

    Parameters
    ----------
    name
        A bundled model (see `list_models`), else a folder with ``config.json`` and safetensors,
        else a name on the Hugging Face hub.
    device, dtype
        Where and how to hold the weights.
    revision
        Branch, tag or commit; only for names on the hub.
    device_map
        How to spread the weights over devices, as transformers takes it; instead of `device`.
    attn
        How the model attends, ``sdpa`` or ``eager``; transformers chooses unless told.
    check
        Whether to refuse a model for which `kvprobes doctor` finds that what is read is not what
        the model uses.

    Raises
    ------
    UnknownModelError
        If the name is none of the three, or the hub cannot be reached and has not been before.
    UnsupportedModelError
        If the attention cannot be addressed exactly or fails its examination, the tokenizer gives
        no character offsets or does not know its words, or the weights are not safetensors, not
        whole, or not all read.
    DownloadError, IntegrityError
        If a bundled model's package cannot be fetched or is not the expected one.
    UsageError
        If the device does not exist, a revision is given where there are none, or `attn` is
        unknown.
    """
    place = _check_device(device)
    if attn not in (None, *IMPLEMENTATIONS):
        raise UsageError(f"attn must be one of {', '.join(IMPLEMENTATIONS)}, not {attn!r}.")
    name = str(name.absolute()) if isinstance(name, Path) else name
    bundled = find_bundled(name)
    if bundled is not None:
        folder, origin = prepare_bundled(bundled), bundled.origin
    elif _is_folder(name):
        folder = Path(name).expanduser()
        origin = {"source": "folder", "path": str(folder.resolve()), "licence": "unknown"}
    else:
        try:
            folder = fetch_snapshot(name, revision)
        except HubProblem as problem:
            raise UnknownModelError(_explain_unknown(name, str(problem))) from problem
        origin = {"source": "hub", "name": name, "revision": folder.name, "licence": "see the hub"}
    if revision is not None and origin["source"] != "hub":
        raise UsageError(
            f"revision={revision!r} was given, but {name!r} is not on the hub: bundled models and "
            "folders have one version. Leave revision out."
        )
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        refuse_broken_files(folder)
        refuse_absurd(folder)
        config = read_config(folder)
        hf, checks = load_weights(
            folder, config, dtype=dtype, device_map=device_map, attn_implementation=attn
        )
        tokenizer, of_tokenizer = load_tokenizer(folder)
    origin = {"precision": f"{getattr(config, 'dtype', None) or 'unknown'}", **origin}
    if device_map is None:
        with failing_as_ours(f"Moving {name} to {device}", "Give another --device."):
            hf = hf.to(place)
    model = _assemble(hf, tokenizer, name_model(name), origin, (*of_tokenizer, *checks))
    if bundled is not None:
        model = replace(model, source_prefix=bundled.source_prefix)
    if check:
        refuse_unfaithful(name, examine_model(model))
    return model


def build_model(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, name: str) -> Model:
    """Wrap an HF model that is in memory; it is put in eval mode and otherwise left alone.

    Raises
    ------
    UnsupportedModelError
        If its attention cannot be addressed exactly or its tokenizer gives no character offsets.
    """
    origin = {"source": "memory", "precision": str(hf.dtype), "licence": "unknown"}
    return _assemble(hf, tokenizer, name, origin)


def _assemble(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    origin: dict[str, str],
    checks: tuple[Check, ...] = (),
) -> Model:
    refuse_slow(tokenizer, name)
    refuse_absent(hf)
    hf.eval()
    # A tokenizer may not say how much the model takes; sentences that are longer are left out.
    most = getattr(hf.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(most, int) and 0 < most < tokenizer.model_max_length:
        tokenizer = copy.copy(tokenizer)  # the user's own says what it said
        tokenizer.model_max_length = most
    return Model(
        name=name,
        hf=hf,
        tokenizer=tokenizer,
        sites=read_sites(hf),
        identity=Identity(hf),
        checks=checks,
        origin={**origin, "architecture": type(hf).__name__, "config_hash": _hash_config(hf)},
    )


def _hash_config(hf: PreTrainedModel) -> str:
    """Hash what the config says of the computation: two models may differ in nothing else."""
    config = hf.config.to_diff_dict()
    passing = ("_name_or_path", "transformers_version", "dtype", "architectures", "use_cache")
    return hash_json({key: str(value) for key, value in config.items() if key not in passing})


def _check_device(device: str) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place).cpu()  # nothing comes back from the meta device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]} Give cpu, or a "
            "device that this torch build has."
        ) from error
    return place


def name_model(name: str) -> str:
    """Return what results call a model: its name, of a folder the last part of its path."""
    is_path = find_bundled(name) is None and Path(name).expanduser().is_dir()
    return (Path(name).expanduser().resolve().name or name) if is_path else name


def _is_folder(name: str) -> bool:
    """Return whether `name` is a model folder; refuse what can only be a path but is not one."""
    path = Path(name).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return True
    if path.is_dir() or path.is_absolute() or name.startswith((".", "~")):
        what = "holds no config.json" if path.is_dir() else "is not a folder"
        if (path / ADAPTER).is_file():
            what = (
                "holds an adapter without its base model; put the base model's files beside it, or "
                "merge it: peft.AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload()"
            )
        raise UnknownModelError(_explain_unknown(name, f"{path.absolute()} {what}"))
    return False


def _explain_unknown(name: str, problem: str) -> str:
    known = [text for model in BUNDLED_MODELS for text in (model.name, *model.aliases)]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"no model {name!r}: {problem}.{hint}\n"
        "A model can be given in three ways:\n"
        f"  1. a bundled one: {', '.join(model.name for model in BUNDLED_MODELS)};\n"
        "  2. a folder with config.json, tokenizer.json and *.safetensors;\n"
        "  3. a name on the Hugging Face hub, such as organisation/model (needs a network the "
        "first time)."
    )
