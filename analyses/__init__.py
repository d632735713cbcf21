"""The questions kvprobes answers, one module each: ``compute`` makes tables, ``draw`` figures."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=["attention_example", "divergence", "report", "results", "style"]
)
