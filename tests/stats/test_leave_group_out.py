import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from probes.errors import NonFiniteError, UsageError
from probes.stats.leave_group_out import leave_group_out


@given(
    groups=st.lists(st.integers(0, 5), min_size=12, max_size=20).filter(lambda g: len(set(g)) > 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_equals_fitting_again_without_each_group(groups, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, 3, len(groups), 4)) + 5
    y = random.normal(size=(len(groups), 2)) + x[0, 0, :, :2]
    groups = np.array(groups)
    penalties = 10.0 ** random.uniform(-1, 1, size=(2, 3, 5))
    found = leave_group_out(*map(torch.tensor, (x, y, groups, penalties)))
    assert found.shape == (2, 3, 5, len(groups), 2)
    for head in np.ndindex(2, 3):
        for number, penalty in enumerate(penalties[head]):
            for group in set(groups):
                mine = groups == group
                model = Ridge(alpha=penalty).fit(x[head][~mine], y[~mine])
                expected = model.predict(x[head][mine])
                np.testing.assert_allclose(
                    found[head][number][torch.tensor(mine)], expected, atol=1e-8
                )


def test_refuses():
    x, y = torch.randn(6, 2).double(), torch.randn(6, 1).double()
    groups, one = torch.arange(6), torch.ones(1).double()
    with pytest.raises(UsageError, match="at least 2"):
        leave_group_out(x, y, groups * 0, one)
    with pytest.raises(UsageError, match="above 0"):
        leave_group_out(x, y, groups, 0 * one)
    with pytest.raises(NonFiniteError, match="targets"):
        leave_group_out(x, y / 0, groups, one)
