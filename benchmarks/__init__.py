"""Measurements of speed, side by side with the alternatives."""

import os

from threadpoolctl import threadpool_info

# It chooses numpy's kernels, often slower ones, and torch has others: the peers get their best.
os.environ.pop("OPENBLAS_CORETYPE", None)


def name_kernels() -> str:
    """Name the linear algebra of each side: library, version and kernel of what is loaded."""
    return "; ".join(
        f"{pool['prefix']} {pool.get('version')} ({pool['architecture']})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas" and pool.get("architecture")
    )
