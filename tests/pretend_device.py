"""A pretended accelerator: tensors that say they are elsewhere and mix with no tensor of the CPU.

There is no GPU where the tests run, yet code that assumes the CPU (a tensor made without
``device=``, ``.numpy()`` without ``.cpu()``) should fail there. Inside `pretending`, ``DEVICE`` is
a device: its tensors are computed on the CPU, but an operation that would mix the two is an error,
as it is with CUDA; single numbers and indices from the CPU are allowed, as they are there.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "meta"  # a type that needs no driver; here it does hold numbers
CPU = torch.device("cpu")
INDEXING = ("aten::index.Tensor", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_")
MOVING = ("aten::_to_copy", "aten::copy_")


class Elsewhere(torch.Tensor):
    """A tensor of the pretended device."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def __repr__(self):
        return f"Elsewhere({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


@contextmanager
def pretending():
    """Let the pretended device be one while the block runs."""
    with _Constructors(), _Operations():
        yield


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class _Constructors(TorchFunctionMode):
    """What makes or reads numbers below the level at which operations can be redirected."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].inner.tolist()
        if func is torch.Tensor.__getitem__ and isinstance(args[0], Elsewhere):
            source, index = bring_home(args)
            return Elsewhere(source[index])
        if func is torch.Tensor.__setitem__ and isinstance(args[0], Elsewhere):
            if isinstance(args[2], torch.Tensor) and args[2].ndim:
                require_one_device("setting an item", [args[0], args[2]])
            target, index, value = bring_home(args)
            target[index] = value
            return None
        return func(*args, **kwargs)


def run(func, args, kwargs):
    """Run on the CPU what is asked of either device."""
    name = func.name()
    leaves = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    first = leaves[0] if leaves else None
    indexes = name.startswith(INDEXING) and isinstance(first, Elsewhere)
    if not name.startswith(MOVING) and not indexes:
        require_one_device(name, leaves)
    device = kwargs.get("device")
    if name.startswith("aten::copy_"):
        goes_away = isinstance(first, Elsewhere)
    elif device is not None:
        goes_away = torch.device(device).type == DEVICE
    else:
        goes_away = any(isinstance(leaf, Elsewhere) for leaf in leaves)
    args, kwargs = bring_home((args, kwargs))
    if device is not None:
        kwargs["device"] = CPU
    found = func(*args, **kwargs)
    if not goes_away:
        return found
    in_place = name.partition(".")[0].endswith("_")
    if in_place and isinstance(first, Elsewhere):
        return first
    return tree_map(lambda x: Elsewhere(x) if isinstance(x, torch.Tensor) else x, found)


def bring_home(tree):
    """Take the tensors out that are behind those of the pretended device."""
    return tree_map(lambda x: x.inner if isinstance(x, Elsewhere) else x, tree)


def require_one_device(name, tensors):
    """Refuse what mixes devices, as CUDA does; single numbers may be of the CPU."""
    away = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    home = [t for t in tensors if t.ndim > 0 and not isinstance(t, Elsewhere)]
    if away and home:
        raise RuntimeError(f"{name}: tensors of {DEVICE} and of the CPU {tuple(home[0].shape)}")
