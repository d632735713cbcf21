"""What the questions on pairs of words share: percentiles among random pairs, corrected tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import false_discovery_control, norm, percentileofscore

from analyses.shared.significance import tabulate_estimate, tabulate_tests
from analyses.shared.word_pairs import percentile_among
from probes.errors import NonFiniteError
from probes.stats.estimates import Estimate


def test_percentiles_with_ties_and_nan():
    reference = torch.tensor([[1.0, 2.0, 2.0, 3.0], [0.0, 0.0, 1.0, 5.0]])
    figures = torch.tensor([[2.0, 0.0, 9.0], [0.0, 2.0, 1.0]])
    expected = [
        [percentileofscore(others, own, kind="mean") for own in row]
        for others, row in zip(reference.tolist(), figures.tolist(), strict=True)
    ]
    assert percentile_among(reference, figures).tolist() == expected
    with pytest.raises(NonFiniteError, match="similarities of pairs"):
        percentile_among(reference, figures * torch.nan)


def test_corrected_p_values():
    random = torch.Generator().manual_seed(0)
    observed = torch.tensor([[0.0, 0.3, 0.9], [-0.9, 0.5, 0.1]])
    noise = torch.randn(400, 2, 3, generator=random)
    estimate = Estimate(observed, observed + 0.2 * noise, observed + 0.1 * noise[:200])
    found = tabulate_tests(estimate)
    error = (found["ci_high"] - found["ci_low"]) / (2 * norm.ppf(0.975))
    p = 2 * norm.sf(np.abs(observed.flatten().numpy() / error))
    np.testing.assert_allclose(found["p"], p, rtol=1e-5)
    np.testing.assert_allclose(found["p_bh"], false_discovery_control(p), rtol=1e-5)
    assert (found["p_max_t"] >= 1 / 401).all()
    assert found["p_max_t"][2] < 0.05 < found["p_max_t"][0]
    still = Estimate(torch.zeros(2), torch.zeros(9, 2), torch.zeros(5, 2))
    assert tabulate_tests(still)["p"].tolist() == [1, 1]


def test_a_figure_that_some_resample_could_not_measure_has_no_interval():
    samples = torch.tensor([0.1, 0.3, 0.2])
    found = tabulate_estimate(Estimate(torch.tensor(0.2), samples, samples))
    assert found["ci_low"] < found["value"] < found["ci_high"]
    broken = torch.tensor([0.1, torch.nan, 0.2])
    found = tabulate_estimate(Estimate(torch.tensor(0.2), broken, samples))
    assert found["value"] == pytest.approx(0.2)
    assert np.isnan([found["ci_low"], found["ci_high"]]).all()
