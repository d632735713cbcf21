import math
from itertools import pairwise

import pytest
import torch
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from probes.errors import UsageError
from probes.linear import describe_online, draw_control_labels
from probes.linear.description_length import _order
from tests.linear.planted import plant

PENALTIES = (1e-2, 1.0)
FRACTIONS = (0.2, 0.5, 1.0)


def test_bits_are_those_of_a_loop_over_scikit_learn():
    x, labels, words = plant(2.0, n_words=60, n_classes=3, d=4, heads=(2, 2))
    tasks = torch.stack([labels, draw_control_labels(labels, words, count=1, seed=0)[0]])
    found = describe_online(
        x.double(), tasks, words, penalties=PENALTIES, fractions=FRACTIONS, seed=4
    )
    order, ends = _order(words, FRACTIONS, 4)
    assert found.bits.shape == (2, 2, 2)
    assert found.uniform_bits == pytest.approx(180 * math.log2(3))
    inputs, y = x[1, 0][order].double().numpy(), tasks[1][order].numpy()
    codes = []
    for penalty in PENALTIES:
        bits = ends[0] * math.log2(3)
        for end, after in pairwise(ends):
            centred = inputs[:end] - inputs[:end].mean(0)
            alpha = penalty * (centred**2).sum() / 4
            model = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=1000).fit(
                inputs[:end], y[:end]
            )
            chance = model.predict_proba(inputs[end:after])[range(after - end), y[end:after]]
            for p in chance:
                bits -= math.log2((end * p + 1) / (end + 3))
        codes.append(bits)
    expected = -logsumexp([-bits * math.log(2) for bits in codes], b=0.5) / math.log(2)
    assert float(found.bits[1, 0, 1]) == pytest.approx(expected, rel=1e-3)
    assert min(codes) - 1e-6 <= float(found.bits[1, 0, 1]) <= min(codes) + 1 + 1e-2


def test_what_is_easier_to_read_takes_fewer_bits_and_a_control_none_fewer():
    compressions = []
    for strength in (0.0, 2.0, 6.0):
        x, labels, words = plant(strength, n_words=400, n_classes=4, d=8)
        controls = draw_control_labels(labels, words, count=1, seed=0)
        tasks = torch.cat([labels[None], controls])
        found = describe_online(x, tasks, words, penalties=(1e-2, 1e-1, 1.0))
        compressions.append(float(found.compression[:, 0].mean()))
        assert 0.8 < float(found.compression[:, 1].min()) < 1.02
        assert found.accuracy.shape == (4, 2, len(found.trained_on))
    assert 0.9 < compressions[0] < 1.02
    assert compressions[1] > 1.3
    assert compressions[2] > 3
    curve = found.accuracy[:, 0].mean(0)
    assert float(curve[-1]) > 0.95
    assert float(curve[-1]) > float(curve[0])


def test_blocks_end_between_words():
    words = torch.arange(30) // 3 * 7
    order, ends = _order(words, (0.1, 0.15, 0.5, 1.0), 0)
    assert ends == sorted(set(ends))
    assert ends[-1] == 30
    for end in ends[:-1]:
        assert not set(words[order][:end].tolist()) & set(words[order][end:].tolist())


def test_refuses():
    x, labels, words = plant(1.0, n_words=20)
    for fractions in ((0.5,), (0.5, 0.2, 1.0), ()):
        with pytest.raises(UsageError, match="rising"):
            describe_online(x, labels[None], words, penalties=(1.0,), fractions=fractions)
    with pytest.raises(UsageError, match="single block"):
        describe_online(x, labels[None], words * 0, penalties=(1.0,))
