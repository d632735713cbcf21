"""All measures of keys against values: each is in its own file, and `FILES` names the files.

Tables, resamples, nulls, figures, report, docs and tests go through this list. To add a measure,
write its file with a tuple ``MEASURES`` of `probes.similarity.measure.Measure`, and name it here.
"""

from __future__ import annotations

from probes.similarity.catalogue.registry import Registry
from probes.similarity.measure import Measure

FILES = (
    "probes.similarity.dissociation",
    "probes.similarity.divergence",
    "probes.similarity.premise",
    "probes.similarity.representational",
    "probes.similarity.neighbours",
    "probes.similarity.cka",
    "probes.similarity.canonical",
    "probes.similarity.tieability",
    "probes.similarity.closed_form",
    "probes.similarity.angles",
)

_MEASURES: Registry[Measure] = Registry("measure")
_MEASURES.load(FILES, "MEASURES")
list_measures, find_measure, sort_measures = _MEASURES.entries, _MEASURES.find, _MEASURES.sort
register_measure, unregister_measure = _MEASURES.register, _MEASURES.unregister


def list_pair_measures() -> tuple[Measure, ...]:
    """Return the measures that the headline question resamples: numbers made of pairs."""
    return tuple(measure for measure in list_measures() if measure.of_pairs)


def list_side_measures() -> tuple[Measure, ...]:
    """Return the measures that the question ``nulls`` sets beside every null."""
    return tuple(measure for measure in list_measures() if measure.of_sides)
