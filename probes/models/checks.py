"""What was found when a model was loaded: one sentence per check, passed or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Part = Literal["tokenizer", "checkpoint"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked of a model's files; `told` says what was found, or what to do."""

    part: Part
    check: str
    passed: bool
    told: str = ""


def tabulate_checks(checks: Sequence[Check]) -> pd.DataFrame:
    """Return checks as rows of an examination's table; see `probes.models.examine.examine`."""
    return pd.DataFrame(
        [
            {
                "part": found.part,
                "site": "",
                "check": found.check,
                "stage": "all",
                "layer": -1,
                "difference": float("nan"),
                "tolerance": 0.0,
                "passed": found.passed,
                "note": found.told,
            }
            for found in checks
        ]
    )
