"""Config and weights of a folder: every file whole, every weight read, every number finite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from probes.errors import UnsupportedModelError
from probes.files import parse_json
from probes.models.checks import Check
from probes.models.failures import failing_as_ours
from probes.models.hashing import list_parts

ADAPTER = "adapter_config.json"
INDEX = ".safetensors.index.json"
IMPLEMENTATIONS = ("sdpa", "eager")
"""How a model may attend so that its masks can be read."""

_TAIL = re.compile(r"(?<=\.)\d+\..*")
"""What follows the number of a layer in the name of a module."""

_COUNTS_LAYERS = re.compile(r"layers?$|blocks$|depth$")
_IS_SIZE = re.compile(
    r"layers?$|blocks$|depth$|(hidden|intermediate|vocab|embedding)_size$|dim$|heads$|experts$|"
    r"^d_|^n_(embd|inner|head)$"
)
"""Names of settings that say how much a model holds."""

_POINTER = b"version https://git-lfs"


def refuse_broken_files(folder: Path) -> None:
    """Refuse a folder whose files were not fetched whole; only the files' heads are read.

    Raises
    ------
    UnsupportedModelError
        If a file is a Git LFS pointer, a file of weights is cut off, missing or outside of the
        folder, or one is named that cannot be read without running code.
    """
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.stat().st_size < 1024 and file.read_bytes().startswith(_POINTER):
            raise UnsupportedModelError(
                f"{file} is a Git LFS pointer, not the file itself. Run `git lfs pull` in {folder}."
            )
    adapter = folder / "adapter_model.safetensors"
    shards = [file for file in folder.glob("*.safetensors") if file != adapter]
    if not shards:
        raise UnsupportedModelError(
            f"{folder} holds no .safetensors file; kvprobes reads no pickled weights, since they "
            "can run code. Convert them with a trusted copy of the model: "
            "model.save_pretrained(folder) writes safetensors."
        )
    for file in shards:
        if file.stat().st_size != _whole_size(file):
            raise UnsupportedModelError(
                f"{file} is cut off or damaged: it holds {file.stat().st_size} bytes, and its head "
                "names other ones. Fetch or copy it again."
            )
    named = _name_weights(folder)
    pickled = sorted(name for name in named if not name.endswith(".safetensors"))
    if (folder / ADAPTER).is_file() and not adapter.is_file():
        pickled += [file.name for file in sorted(folder.glob("adapter_model.*"))]
    if pickled:
        raise UnsupportedModelError(
            f"{folder} names weights that are no .safetensors file: {_list(pickled)}. kvprobes "
            "reads no pickled weights, since they can run code. Save the model again with "
            "model.save_pretrained(folder)."
        )
    # The names count, not where links lead: a hub's snapshot is made of links.
    outside = sorted(name for name in named if Path(name).is_absolute() or ".." in Path(name).parts)
    if outside:
        raise UnsupportedModelError(
            f"{folder} names weights outside of itself: {_list(outside)}. Put all files of the "
            "model into one folder."
        )
    missing = sorted(name for name in named if not (folder / name).is_file())
    if missing:
        raise UnsupportedModelError(
            f"{folder} lacks {len(missing)} of {len(named)} files of weights: "
            f"{_list(missing)}. Fetch or copy them too."
        )


def _name_weights(folder: Path) -> set[str]:
    """Return the files of weights that the config and the index in use name, as they name them."""
    chosen = ""
    with suppress(OSError, ValueError, AttributeError):  # what is wrong with it is told later
        config = parse_json((folder / "config.json").read_bytes())
        chosen = str(config.get("transformers_weights") or "")
    index = folder / (chosen if chosen.endswith(INDEX) else f"model{INDEX}")
    named = set() if not chosen or chosen.endswith(INDEX) else {chosen}
    if not index.is_file() or (not chosen and (folder / "model.safetensors").is_file()):
        return named
    with failing_as_ours(f"Reading {index}", "Fetch or copy it again."):
        return named | set(parse_json(index.read_bytes())["weight_map"].values())


def _read_head(file: Path) -> tuple[int, dict[str, Any]]:
    """Return how long the head of a safetensors file is, and what it says of each tensor."""
    with file.open("rb") as stream:
        n_head = int.from_bytes(stream.read(8), "little")
        head = parse_json(stream.read(n_head) if n_head < file.stat().st_size else b"")
    return n_head, {name: entry for name, entry in head.items() if name[:2] != "__"}


def _whole_size(file: Path) -> int:
    """Return how many bytes a safetensors file says it has; -1 if its head cannot be read."""
    try:
        n_head, entries = _read_head(file)
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        return 8 + n_head + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError):
        return -1


def refuse_absurd(folder: Path) -> None:
    """Refuse a config that tells of far more than its weights hold, before a model is made of it.

    Raises
    ------
    UnsupportedModelError
        If it has more layers than there are tensors, or is wider than there are numbers.
    """
    heads = [_read_head(file)[1] for file in folder.glob("*.safetensors")]
    n_tensors = sum(len(head) for head in heads)
    n_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    try:
        sizes = list(_list_numbers(parse_json((folder / "config.json").read_bytes())))
    except (OSError, ValueError):  # what is wrong with it is told when it is read
        return
    for name, number in sizes:
        most, what = n_tensors, "tensors"
        if not _COUNTS_LAYERS.search(name):
            most, what = n_bytes * 8, "bits"  # a number has one or more
        if _IS_SIZE.search(name) and number > max(most, 4096):
            raise UnsupportedModelError(
                f"{folder / 'config.json'} says {name} = {number:,}, but the weights beside it are "
                f"{most:,} {what} in all. Fetch or copy both from one model."
            )


def _list_numbers(config: Any) -> Iterator[tuple[str, int]]:
    """Yield the names and whole numbers of a config and of the configs in it."""
    for name, value in config.items() if isinstance(config, dict) else ():
        if isinstance(value, dict):
            yield from _list_numbers(value)
        elif isinstance(value, int):
            yield name, value


def read_config(folder: Path) -> PreTrainedConfig:
    """Read config.json.

    Raises
    ------
    UnsupportedModelError
        If it cannot be read, or is of an architecture that transformers does not have itself.
    """
    with failing_as_ours(
        f"Reading {folder / 'config.json'}, which describes a model that transformers "
        f"{transformers.__version__} does not have itself, or is damaged,",
        "kvprobes never runs code that comes with a model. Choose a model of an architecture that "
        "transformers has.",
    ):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if config._attn_implementation not in (None, *IMPLEMENTATIONS):
        config._attn_implementation = None  # transformers chooses one of those that can be read
    return config


def load_weights(
    folder: Path, config: PreTrainedConfig, **options: Any
) -> tuple[PreTrainedModel, list[Check]]:
    """Load the weights that are in a folder, and say what was found of them.

    Adapters that are beside a model are merged into its weights; that needs peft.

    Parameters
    ----------
    options
        What `from_pretrained` is told beside: ``dtype``, ``device_map``, ``attn_implementation``.

    Raises
    ------
    UnsupportedModelError
        If there is no such architecture, weights are missing, or loading fails.
    """
    wanted = (config.architectures or ["no architecture"])[0]
    architecture: Any = getattr(transformers, wanted, None)
    is_known = isinstance(architecture, type) and issubclass(architecture, PreTrainedModel)
    if not is_known:
        raise UnsupportedModelError(
            f"{folder / 'config.json'} names {wanted} as its architecture, which transformers "
            f"{transformers.__version__} does not have itself; kvprobes never runs code that comes "
            "with a model. Choose a model of an architecture that transformers has."
        )
    if architecture.main_input_name != "input_ids":
        raise UnsupportedModelError(
            f"{wanted} reads {architecture.main_input_name}, not text, and kvprobes reads words. "
            "Choose a model of text; in Python, probes.models.sites.read_sites(hf) gives the "
            "attention of a model that is in memory."
        )
    placed = options.get("device_map") is not None
    remedy = _IN_MEMORY if placed else _tell_remedy(config)
    with failing_as_ours(f"Loading {folder} as {wanted}", remedy):
        hf, report = architecture.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **{name: option for name, option in options.items() if option is not None},
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise UnsupportedModelError(
            f"{folder} lacks {len(missing)} weights of {wanted}, which would be random: "
            f"{_list(missing)}. Check that 'architectures' in config.json names the class that was "
            "saved."
        )
    refuse_absent(hf)
    adapted = _merge_adapters(hf) if (folder / ADAPTER).is_file() else 0
    return hf, [
        *_check_read(hf, report["unexpected_keys"]),
        *([_check_adapter(folder, adapted)] if (folder / ADAPTER).is_file() else []),
        check_finite(hf),
    ]


_IN_MEMORY = (
    "Give a --device-map (or a --device) that holds all weights in memory, or --dtype bfloat16."
)


def refuse_absent(hf: nn.Module) -> None:
    """Refuse a model whose weights are on no device, or on a disk.

    Raises
    ------
    UnsupportedModelError
        If a parameter is on the meta device.
    """
    absent = [name for name, weight in hf.named_parameters() if weight.is_meta]
    if absent:
        raise UnsupportedModelError(
            f"{len(absent)} weights are on a disk or on the meta device and have no numbers here: "
            f"{_list(absent)}. {_IN_MEMORY}"
        )


def _tell_remedy(config: PreTrainedConfig) -> str:
    """Say what to do if weights cannot be loaded, above all quantised ones."""
    quantised = getattr(config, "quantization_config", None)
    if quantised is None:
        return "Check that the folder is whole and that config.json is the weights' own."
    method = (
        quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
    )
    method = str(getattr(method, "value", method))
    packages = _PACKAGES.get(method, method)
    return (
        f"Its weights are quantised ({method}), which needs `pip install {packages}` on a machine "
        "that this works on; or choose the model's unquantised weights."
    )


_PACKAGES = {
    "awq": "gptqmodel accelerate",
    "gptq": "gptqmodel optimum",
    "bitsandbytes": "bitsandbytes accelerate",
    "quanto": "optimum-quanto accelerate",
    "fp8": "accelerate",
    "mxfp4": "kernels accelerate",
}
"""What a method of quantisation needs, where that is not the one package of its name."""


def _check_read(hf: nn.Module, unexpected: Iterable[str]) -> Iterator[Check]:
    """Tell weights that nobody reads: inside the model they are a fault, beside it another head."""
    modules = dict(hf.named_modules())
    tails = {found.group() for name in modules if (found := _TAIL.search(name))}
    known = {name for name, _ in (*hf.named_parameters(), *hf.named_buffers())}
    inside: list[str] = []
    beside: list[str] = []
    for key in sorted(set(unexpected) - known):
        parent = key.rpartition(".")[0]
        holder = parent
        while holder not in modules:
            holder = holder.rpartition(".")[0]
        # A layer that the config does not count, a part of a layer (under another name perhaps), or
        # a weight of a known module.
        tail = _TAIL.search(f"{parent}.")
        part_of_layer = tail is not None and any(tail.group().startswith(f"{t}.") for t in tails)
        extra_layer = isinstance(modules[holder], nn.ModuleList)
        unread = extra_layer or part_of_layer or (parent != "" and holder == parent)
        (inside if unread else beside).append(key)
    check = "every weight in the file is read"
    if inside:
        told = (
            f"its file holds {len(inside)} weights that its config denies and nobody reads: "
            f"{_list(inside)}. Correct config.json (attention_bias, num_hidden_layers, "
            "quantization_config), or save the model again without them."
        )
        yield Check("checkpoint", check, passed=False, told=told)
    else:
        told = f"but those of another head: {_list(beside)}" if beside else ""
        yield Check("checkpoint", check, passed=True, told=told)


def _merge_adapters(hf: PreTrainedModel) -> int:
    """Merge the adapters that transformers loaded by peft into the weights; return how many."""
    layers: list[tuple[str, Any]] = [
        (name, module)
        for name, module in hf.named_modules()
        if hasattr(module, "base_layer") and hasattr(module, "merge")
    ]
    for name, layer in layers:
        layer.merge()
        hf.set_submodule(name, layer.get_base_layer())
    hf._hf_peft_config_loaded = False
    return len(layers)


def _check_adapter(folder: Path, adapted: int) -> Check:
    check = "adapters are merged"
    if adapted:
        return Check("checkpoint", check, passed=True, told=f"{adapted} layers, by peft")
    told = (
        f"{folder / ADAPTER} names adapter weights beside the model, and they were not applied. "
        "Install peft (`pip install 'kvprobes[peft]'`), or move the adapter's files away."
    )
    return Check("checkpoint", check, passed=False, told=told)


def check_finite(hf: nn.Module) -> Check:
    """Check that no weight is NaN or infinite."""
    spoilt = [
        name
        for name, weight in list_parts(hf.named_parameters())
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all())
    ]
    told = (
        f"{len(spoilt)} weights hold NaN or infinite numbers: {_list(spoilt)}. Fetch them again, "
        "or load them in a wider precision (--dtype float32)."
    )
    return Check("checkpoint", "every weight is finite", not spoilt, told if spoilt else "")


def _list(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
