"""Whatever transformers or a model raises becomes one of our errors, with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from probes.errors import KvprobesError, UnsupportedModelError, UsageError

SPACE = "out of memory", "can't allocate memory", "alloc_cpu"


@contextmanager
def failing_as_ours(doing: str, next_step: str) -> Iterator[None]:
    """Turn any exception of a block into one of our errors.

    Parameters
    ----------
    doing
        What failed, as the beginning of a sentence: "Running the model on a short sentence".
    next_step
        What the user can do, in a sentence.

    Raises
    ------
    UsageError
        If the memory was not enough.
    UnsupportedModelError
        For any other exception that is not ours already.
    """
    try:
        yield
    except KvprobesError:
        raise
    # Every class of transformers, and every kernel, has exceptions of its own.
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        told = f"{type(error).__name__}: {said}".rstrip(": ").rstrip(".")
        spent = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if spent or any(word in said for word in SPACE):
            raise UsageError(
                f"{doing} needs more memory than there is ({told}). Give a smaller --batch-size, "
                "--dtype bfloat16, or a smaller model."
            ) from error
        raise UnsupportedModelError(f"{doing} failed ({told}). {next_step}") from error
