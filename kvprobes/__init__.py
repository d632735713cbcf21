"""The door of kvprobes: the command line, the runner, the report, the comparison of models.

``kvprobes.answer("premise", folder)`` answers one question, ``kvprobes.run(options)`` all of them.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "captures.options": ["CaptureOptions"],
        "results": ["ResultFolder"],
        "runner": ["Answer", "answer", "run"],
        "session": ["Session"],
    },
)
