"""Layers added up: one in which no head chooses anything counts for nothing."""

from __future__ import annotations

import torch

from analyses.co_attended.measured import Gathering
from probes.similarity.co_attended.contributions import Contributions
from probes.similarity.co_attended.figures import STATISTICS
from probes.stats.clusters import Clusters

UNITS, HEADS = 6, 2


def gather(*chooses: bool):
    """Gather layers of the same numbers, of which some choose nothing."""
    generator = torch.Generator().manual_seed(0)
    clusters = Clusters.of_documents(UNITS)
    gathering = Gathering("a source", clusters, UNITS, UNITS)
    above = torch.rand(1, len(STATISTICS), HEADS, UNITS, generator=generator).double()
    for layer, chosen in enumerate(chooses):
        below = torch.full((1, HEADS, UNITS), float(chosen)).double()
        gathering.add(
            Contributions(("own",), STATISTICS, above * chosen, below, below),
            layer=layer,
            n_kv_heads=1,
            attention=torch.ones(HEADS),
            written_square=None,
            stream_square=None,
        )
    return gathering.finish(), clusters


def test_a_layer_that_chooses_nothing_leaves_number_and_interval_as_they_are():
    (with_empty, clusters), (without, _) = gather(True, False), gather(True)
    for weighting in ("plain", "by attention"):
        estimates = [
            found.read("own", "key_percentile", weighting) for found in (with_empty, without)
        ]
        ends = [torch.stack(clusters.interval(one, low=0.0, high=100.0)) for one in estimates]
        assert ends[0].isfinite().all()
        torch.testing.assert_close(*ends)
        torch.testing.assert_close(*(one.observed for one in estimates))
    assert with_empty.has("own")


def test_a_source_in_which_nothing_is_chosen_has_nothing():
    found, _ = gather(False, False)
    assert not found.has("own")
