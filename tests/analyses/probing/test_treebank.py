"""A treebank is probed on its own split."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from analyses.probing import ProbingSettings
from analyses.probing.compute import probe_properties
from analyses.probing.fits import Source
from probes.capture import CaptureSettings, capture
from probes.capture.plan_treebank import plan_treebank
from probes.linear.evaluate import PENALTIES
from probes.linear.properties import label_occurrences
from probes.linear.shipped_properties import OF_SENTENCES, list_properties
from probes.words.treebank import read_treebank_splits
from tests.analyses.treebanks import write_treebank
from tests.tiny import tiny_model

SETTINGS = ProbingSettings(resamples=10, x_layers=1, code=False)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture
def words(tmp_path):
    return read_treebank_splits(write_treebank(tmp_path))


def fit_on_split(x, labels, split):
    """Fit on train, choose the penalty on dev, and return what is right on test."""
    one_hot = np.eye(labels.max() + 1)[labels]
    train, dev, test = (split == name for name in ("train", "dev", "test"))
    unit = np.square(x[train] - x[train].mean(0)).sum() / x.shape[1]
    fits = [Ridge(alpha=penalty * unit).fit(x[train], one_hot[train]) for penalty in PENALTIES]
    best = min(fits, key=lambda fit: np.square(fit.predict(x[dev]) - one_hot[dev]).sum())
    return (best.predict(x[test]).argmax(1) == labels[test]).mean()


def test_a_treebank_is_probed_on_its_own_split(model, words, tmp_path):
    plan = plan_treebank(model.tokenizer, words)
    store = capture(model, plan, tmp_path / "capture", settings=CaptureSettings(dtype="float32"))
    occurrences = store.table("occurrences")
    properties = [
        label_occurrences(name, occurrences, occurrences[name], min_words=1)
        for name in ("upos", "deprel")
    ]
    tables = probe_properties([Source(store, properties)], SETTINGS)
    rows = tables["properties"].set_index("property")
    assert list(rows["split_by"]) == ["train, dev, test"] * 2
    assert list(rows["folds"]) == [1, 1]
    assert rows.loc["upos", "n_tested"] == 30 * 6
    assert rows.loc["upos", "classes"] == "ADJ, DET, NOUN, VERB"
    heads = tables["heads"].query("layer == 1").set_index(["property", "part", "kv_head"])["value"]
    split = occurrences["split"].to_numpy()
    for name in ("upos", "deprel"):
        labels = np.unique(occurrences[name], return_inverse=True)[1]
        for part, stored, head in (("keys", "k", 0), ("values", "v", 1)):
            x = store.read(stored, 1)[:, head].double().numpy()
            wanted = fit_on_split(x, labels, split)
            assert heads[name, part, head] == pytest.approx(wanted, abs=1.5 / 180)
    keys = tables["summary"].query("part == 'keys'").set_index("property")
    assert keys.loc["upos", "majority"] == pytest.approx(2 / 6)


def test_only_the_training_set_trains(model, words, tmp_path):
    """What the labels are in dev and test does not move what a probe says, but its score."""
    order = sorted(set(words["upos"]))
    other = words["upos"].map(dict(zip(order, order[1:] + order[:1], strict=True)))
    turned = words.assign(label=words["upos"].where(words["split"] == "train", other))
    plan = plan_treebank(model.tokenizer, turned)
    store = capture(model, plan, tmp_path / "capture", settings=CaptureSettings(dtype="float32"))
    occurrences = store.table("occurrences")
    found = label_occurrences("turned", occurrences, occurrences["label"], min_words=1)
    tables = probe_properties([Source(store, [found])], SETTINGS)
    summary = tables["summary"].set_index("part")["value"]
    assert summary["keys"] < 0.2
    assert summary["values"] < 0.2


def test_what_a_treebank_says_is_probed_for_without_being_asked(
    model, words, tmp_path, monkeypatch
):
    # The tiny tokenizer knows fewer words than a class needs.
    monkeypatch.setitem(inspect.unwrap(label_occurrences).__kwdefaults__, "min_words", 1)
    plan = plan_treebank(model.tokenizer, words)
    found, _ = list_properties(capture(model, plan, tmp_path / "capture"))
    by_name = {wanted.name: wanted for wanted in found}
    assert OF_SENTENCES["label"] not in by_name  # a treebank has no such column
    for column in ("upos", "deprel", "head_distance"):
        name = OF_SENTENCES[column]
        wanted = by_name[name]
        rows = plan.occurrences.iloc[wanted.occurrences.numpy()]
        assert wanted.split == tuple(rows["split"])
        assert set(wanted.split) == {"train", "dev", "test"}
        said = wanted.labels if wanted.is_number else [wanted.classes[n] for n in wanted.labels]
        assert list(said) == list(rows[column])
    assert len(by_name["distance to syntactic head"].labels) == 110 * 5  # roots have no head
