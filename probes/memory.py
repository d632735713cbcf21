"""Keeping a long run's memory near what it uses."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT = 64 << 20


def return_large_blocks(size: int = 16 << 20) -> None:
    """Make the C library give freed blocks of at least `size` bytes back to the system at once.

    By itself glibc raises that limit to 32 MiB as a program frees larger blocks; from then on the
    small results that stay behind pin the large temporaries between them, and an analysis of 0.6
    GiB grows to 3. The end of the heap is kept up to 64 MiB, since giving it back and asking for
    it again costs page faults (Dask's workers, which have a limit of 64 KiB, lose a third of their
    time so). Does nothing on other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, size)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
