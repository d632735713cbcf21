"""Plants in a real model: from the edited run of its coordinations to the verdict."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from kvprobes.calibration.reading import PLANTED_SOURCE, read_answer
from kvprobes.calibration.small import LEAST_TEXT
from kvprobes.captures.contexts import capture_contexts
from kvprobes.captures.options import CaptureOptions
from kvprobes.captures.pairs import capture_pairs
from kvprobes.runner import Answer, answer
from kvprobes.session import Session
from probes.capture.run import Edited
from probes.capture.store import Store
from probes.models.model import Model
from probes.planted.running import plant_heads, planting

DOSES, USUAL_DOSE = (0, 12, 45, 90), 12
"""How many kv heads are planted, all of them once and the usual one with every seed; as many as
there are where a model has fewer."""


def list_jobs(seeds: int) -> list[tuple[int, int]]:
    """Return dose and seed of every run, the usual dose first."""
    usual = [(USUAL_DOSE, seed) for seed in range(seeds)]
    return [(0, 0), *usual, *((dose, 0) for dose in DOSES[::-1] if dose not in (0, USUAL_DOSE))]


class PlantedRuns:
    """One model, its captures as it is, and runs of it with plants.

    Parameters
    ----------
    folder
        Where the model's own captures are.
    rows
        So many rows of the table of pairs.
    """

    def __init__(self, model: str, folder: Path, *, rows: int) -> None:
        options = CaptureOptions(model, templates="1", out=folder, limit=rows)
        self._plain = Session(options.folder, model=model)
        capture_pairs(self._plain, options)

    @property
    def model(self) -> Model:
        """The model."""
        return self._plain.captured_model()

    def run(self, dose: int, seed: int) -> pd.DataFrame:
        """Plant `dose` kv heads, capture, ask and read; see `read_answer`.

        The plants depend on the seed; words and sentences do not.
        """
        layers = self.model.geometry.layers
        every = [
            (place, head) for place, how in enumerate(layers) for head in range(how.n_kv_heads)
        ]
        order = np.random.default_rng(seed).permutation(len(every))
        heads = sorted(every[number] for number in order[: min(dose, len(every))])
        planted = [
            (place, query // how.group_size) in heads
            for place, how in enumerate(layers)
            for query in range(how.n_heads)
        ]
        if not heads:
            found = self._ask(self._plain)
        else:
            with TemporaryDirectory(prefix="kvprobes-") as place:
                plants = plant_heads(self._contexts, self.model, heads, seed=seed)
                edited = Edited(
                    f"{len(heads)} heads planted, seed {seed}",
                    lambda model: planting(model, plants),
                )
                session = self._plain.beside(Path(place), edited=edited)
                found = self._ask(session)
        read = read_answer(found.tables, planted, None)
        return read[read["source"] == PLANTED_SOURCE].reset_index(drop=True)

    @property
    def _contexts(self) -> Store:
        return capture_contexts(self._plain)

    def _ask(self, session: Session) -> Answer:  # running text is read without the plants
        return answer("co_attended", session, draw=False, **LEAST_TEXT)
