"""Many small tensor operations on all cores: one item a thread, each operation on one core.

Splitting each operation over the cores costs more than it gives when operations are small, and far
more when another program keeps a core busy, since every operation then waits for the slowest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def cores_an_operation(count: int) -> Iterator[None]:
    """Let each torch operation run on so many cores while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_core_operations() -> Iterator[None]:
    """Let each torch operation run on one core while the block runs, or the function it decorates.

    A sum over several threads is added up in another order, which changes its last digits.
    """
    with cores_an_operation(1):
        yield


def map_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    on_done: Callable[[int], None] = lambda _: None,
) -> list[Result]:
    """Apply `function` to every item, one on each core at a time; results in the items' order.

    Inside an item, additions are made in the order of a single thread, so the results do not depend
    on the number of cores. `on_done` is called after every item, in order.
    """
    with one_core_operations():
        pool = ThreadPoolExecutor(max_workers=count_cores())
        try:
            results = []
            for result in pool.map(function, items):
                results.append(result)
                on_done(1)
            return results
        finally:
            pool.shutdown(cancel_futures=True)  # on an error or Ctrl-C, start no further item


def count_cores() -> int:
    """Count the cores this process may use; ``OMP_NUM_THREADS`` can make it fewer."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(wish))) if wish.isdigit() else cores
