"""Labels and settings of any type work alike, or are refused by our own errors."""

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import torch

from probes.errors import TableError, UsageError
from probes.linear import (
    LogisticProbe,
    RidgeClassifierProbe,
    RidgeProbe,
    describe_online,
    draw_control_labels,
    fit_eraser,
    probe_labels,
)
from probes.linear.classes import number_classes
from probes.linear.properties import label_occurrences, label_words
from probes.linear.shipped_properties import label_identity
from probes.stats.folds import Splits, word_folds
from probes.stats.leave_group_out import leave_group_out
from tests.linear.planted import plant

X, LABELS, WORDS = plant(2.0, n_words=40, n_classes=2, d=4)
SPLITS = Splits.of(word_folds(WORDS, 3, 0), 3)


def probe(labels):
    return probe_labels(X, labels, splits=SPLITS, units=WORDS, penalties=(0.1,)).score.observed


def describe(labels):
    return describe_online(X, labels[None], WORDS, penalties=(0.1,)).compression


def erase(labels):
    return fit_eraser(X, labels).left


def control(labels):
    return draw_control_labels(labels, WORDS, count=1, seed=0)


KINDS = {
    "int32": lambda labels: labels.int(),
    "bool": lambda labels: labels.bool(),
    "float": lambda labels: labels.float(),
    "numpy": lambda labels: labels.numpy(),
    "pandas": lambda labels: pd.Series(labels.numpy()),
    "gap": lambda labels: labels * 9 + 1,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [probe, describe, erase])
def test_labels_of_any_type_work_alike(function, kind):
    labels = KINDS[kind](LABELS)
    if function is describe and kind == "pandas":
        labels = labels.to_numpy()
    torch.testing.assert_close(function(labels), function(LABELS))


def test_controls_keep_the_labels_that_came():
    found = draw_control_labels(LABELS * 9 + 1, WORDS, count=2, seed=0)
    torch.testing.assert_close(found, draw_control_labels(LABELS, WORDS, count=2, seed=0) * 9 + 1)
    joint = probe_labels(
        X, LABELS * 9 + 1, splits=SPLITS, units=WORDS, penalties=(0.1,), controls=found
    )
    assert joint.controls is not None
    assert 0.2 < float(joint.control.mean()) < 0.8


@pytest.mark.parametrize("bad", [-1, -100])
@pytest.mark.parametrize("function", [probe, describe, erase, control])
def test_marks_of_other_libraries_are_refused(function, bad):
    labels = LABELS.clone()
    labels[3] = bad
    with pytest.raises(UsageError, match=f"A label is {bad}"):
        function(labels)


def test_what_is_no_class_is_refused():
    for labels, message in (
        (["a", "b"], "no numbers"),
        ([[1], [2, 3]], "no numbers"),
        ([0.5, 1.0], "whole numbers"),
        ([float("nan"), 1.0], "whole numbers"),
        ([], "one an occurrence"),
    ):
        with pytest.raises(UsageError, match=message):
            number_classes(labels)
    with pytest.raises(UsageError, match="All labels are equal"):
        describe(LABELS * 0 + 4)
    with pytest.raises(UsageError, match="of one class"):
        probe(LABELS * 0 + 4)
    with pytest.raises(UsageError, match="at least 1 control"):
        draw_control_labels(LABELS, WORDS, count=0, seed=0)


def test_lengths_are_checked(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    inputs, y = X[0].double(), LABELS.double()[:, None]
    penalties = torch.ones(1, dtype=torch.float64)
    with pytest.raises(UsageError, match="one group for each"):
        leave_group_out(inputs, y, WORDS[:60], penalties)
    with pytest.raises(UsageError, match="one row of y"):
        leave_group_out(inputs, y[:5], WORDS, penalties)
    numbers = np.random.default_rng(0).normal(size=(120, 3))
    for probe_class in (RidgeProbe, RidgeClassifierProbe):
        with pytest.raises(UsageError, match=r"groups has shape \(60,\) for 120 rows"):
            probe_class().fit(numbers, np.arange(120) % 2, groups=np.arange(60))
        with pytest.raises(ValueError, match="groups has shape"):  # as scikit-learn expects
            probe_class().fit(numbers, np.arange(120) % 2, groups=np.ones((120, 2)))
    with pytest.raises(UsageError, match="of the lengths 60, 120"):
        describe_online(X, LABELS[None, :60], WORDS, penalties=(1.0,))


def test_settings_of_scikit_learn_work_or_are_refused():
    numbers = np.random.default_rng(0).normal(size=(30, 3))
    y = np.arange(30) % 2
    single = RidgeProbe(alphas=1.0).fit(numbers, y)
    assert single.alpha_ == 1
    np.testing.assert_array_equal(single.coef_, RidgeProbe(alphas=(1.0,)).fit(numbers, y).coef_)
    for alphas in (0, -1.0, "a", [[1.0]], [None], np.nan):
        with pytest.raises(UsageError, match="penalties are"):
            RidgeProbe(alphas=alphas).fit(numbers, y)
    for C in (0, -1, np.inf, "a", None):
        with pytest.raises(UsageError, match="C is"):
            LogisticProbe(C=C).fit(numbers, y)
    for estimator in (RidgeProbe(), RidgeClassifierProbe(), LogisticProbe()):
        estimator.fit(numbers, y, sample_weight=None)
        with pytest.raises(UsageError, match="takes no sample_weight"):
            estimator.fit(numbers, y, sample_weight=np.ones(30))


def test_a_cell_that_is_a_list_is_no_label():
    occurrences = pd.DataFrame(
        {"word": [f"w{n}" for n in range(40)], "template_id": "t", "head": None}
    )
    table = occurrences.assign(kind=[["a", "b"][n % 2] for n in range(40)])
    table["several"] = [["a"], ["b"]] * 20
    for label in (table["several"], table["several"].map(np.array)):
        with pytest.raises(TableError, match="a label is a list"):
            label_occurrences("several", occurrences, label, min_words=1)
    with pytest.raises(TableError, match="a label is a list"):
        label_words("several", occurrences, table, "several", min_words=1)
    of_array = label_occurrences("kind", occurrences, table["kind"].to_numpy(), min_words=1)
    assert of_array.classes == ("a", "b")
    with pytest.raises(UsageError, match="count is 0"):
        label_identity(occurrences, count=0)
