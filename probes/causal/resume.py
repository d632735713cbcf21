"""Beginning a run in the middle: blocks below an edit give again what they gave before.

A model's blocks feed each other one tensor, so what an edit in block b cannot reach need not be
computed again. The model's own forward runs, with its masks and positions; only the blocks below b
answer from memory, repeated along the batch for as many variants as there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from probes.models.geometry import AttentionGeometry
from probes.models.model import Model

STACKED_TOKENS = 4096
"""About how many tokens one stacked batch holds; it changes speed and memory only."""


class Stopped(Exception):  # noqa: N818 - not an error: it ends a forward pass whose rest is not needed
    """Raised at the end of the last block that is wanted."""


class Blocks:
    """The blocks that a site's layers are in, in order; some may not attend.

    Parameters
    ----------
    hf
        The model.
    geometry
        Of the site. Layer p is in block ``number[p]``.
    """

    def __init__(self, hf: nn.Module, geometry: AttentionGeometry) -> None:
        parts = geometry.layers[0].name.split(".")
        digit = next(place for place, part in enumerate(parts) if part.isdigit())
        self.modules: list[nn.Module] = list(hf.get_submodule(".".join(parts[:digit])).children())
        self.number = [layer.index for layer in geometry.layers]

    @contextmanager
    def recording(self, upto: int | None = None) -> Iterator[list[Any]]:
        """Keep what every block gives, first to last; yields the list that is filled.

        With `upto`, the pass ends by `Stopped` after this many blocks.
        """
        outputs: list[Any] = []

        def keep(_: nn.Module, args: Any, output: Any) -> None:
            outputs.append(output)
            if len(outputs) == upto:
                raise Stopped

        with ExitStack() as stack:
            for module in self.modules:
                stack.callback(module.register_forward_hook(keep).remove)
            yield outputs

    @contextmanager
    def resuming(self, output: Any, *, first: int, copies: int = 1) -> Iterator[None]:
        """Let the blocks below `first` give `output`, which the last of them gave before.

        Parameters
        ----------
        output
            One item of `recording`'s list: that of block ``first - 1``.
        copies
            How often it is repeated along the batch.
        """
        repeated = _repeat(output, copies)

        def answer(*_: Any, **__: Any) -> Any:
            return repeated

        with ExitStack() as stack:
            for module in self.modules[:first]:
                module.forward = answer  # hides the class's own
                stack.callback(delattr, module, "forward")
            yield


class Resumer:
    """The blocks of a causal model, and whether runs of it may begin in the middle."""

    def __init__(self, model: Model) -> None:
        self.blocks = Blocks(model.hf, model.geometry)
        ids = torch.arange(1, 7, device=model.device)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        self.resumes = can_resume(model.hf, model.geometry, inputs)

    def stack(
        self, layers: Sequence[int], *, tokens: int, at_most: int
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield the block to begin at, and the numbers of the interventions to run together.

        Parameters
        ----------
        layers
            The first layer of every intervention.
        tokens, at_most
            How many tokens one intervention reads, and how many are stacked.
        """
        by_block: dict[int, list[int]] = {}
        for number, layer in enumerate(layers):
            first = self.blocks.number[layer] if self.resumes else 0
            by_block.setdefault(first, []).append(number)
        together = max(1, at_most // tokens)
        for first, numbers in sorted(by_block.items()):
            for start in range(0, len(numbers), together):
                yield first, numbers[start : start + together]


def _repeat(output: Any, copies: int) -> Any:
    """Repeat every tensor of a block's output along its first axis."""
    if isinstance(output, Tensor):
        if copies == 1:
            return output
        return output.repeat(copies, *[1] * (output.ndim - 1)) if output.ndim > 1 else output
    if isinstance(output, tuple):
        return tuple(_repeat(part, copies) for part in output)
    return output


@torch.inference_mode()
def can_resume(hf: nn.Module, geometry: AttentionGeometry, inputs: dict[str, Tensor]) -> bool:
    """Say whether a run that begins in the middle gives the model's own logits.

    It does not where later layers use keys or states of earlier ones (Gemma 3n).

    Parameters
    ----------
    inputs
        Any short input of the model.
    """
    blocks = Blocks(hf, geometry)
    if blocks.number[-1] >= len(blocks.modules):
        return False
    options = {} if geometry.site == "encoder" else {"use_cache": False}
    with blocks.recording() as outputs:
        plain = hf(**inputs, **options)[0]
    if len(outputs) != len(blocks.modules):
        return False
    twice = {name: _repeat(tensor, 2) for name, tensor in inputs.items()}
    scale = plain.abs().max()
    for first in range(1, len(blocks.modules)):
        try:
            with blocks.resuming(outputs[first - 1], first=first, copies=2):
                resumed = hf(**twice, **options)[0]
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError):
            return False
        for half in resumed.chunk(2):
            if half.shape != plain.shape or not bool((half - plain).abs().max() <= 1e-4 * scale):
                return False
    return True
