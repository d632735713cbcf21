"""The analysis of streamed moments against rows that were kept, one head at a time."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch

from analyses.running_text import QUESTION, RunningTextSettings
from analyses.running_text.compute import CONDITIONS, MEASURES, SPACES, _tabulate_means
from analyses.shared.given import Given
from kvprobes.runner import answer
from kvprobes.session import Session
from probes.capture import TextSettings, capture_text
from probes.errors import StoreError, TableError
from probes.models import build_model
from probes.similarity import tieability_from_moments
from probes.similarity.moments import CrossMoments
from tests.architectures import build_hf
from tests.capture.texts import write_texts
from tests.tiny import tiny_model, tiny_tokenizer

SETTINGS = TextSettings(window=16, rows=10**6, dtype="float32", shard_bytes=500)
FOLDS = 5


def compute(store, **settings):
    return QUESTION.compute(Given(text=store), RunningTextSettings(**settings))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def store(text, tmp_path_factory):
    """A capture that keeps the rows of all its tokens beside the moments."""
    return capture_text(
        tiny_model("llama"), text, tmp_path_factory.mktemp("out"), settings=SETTINGS
    )


@pytest.fixture(scope="module")
def tables(store):
    return compute(store, folds=FOLDS)


def read_rows(store, layer):
    """Return q, k, v of every token by fold, each [token, head, d] in float64."""
    bounds = np.linspace(0, store.n_shards, FOLDS + 1).astype(int)
    shards = [
        {name: shard.get_tensor(f"rows.{name}.{layer}").double() for name in "qkv"}
        for shard in store.open_shards(f"rows.k.{layer}")
    ]
    return [
        {name: torch.cat([shard[name] for shard in shards[first:last]]) for name in "qkv"}
        for first, last in itertools.pairwise(bounds)
    ]


def in_functional_space(store, rows, layer, key_head, value_head):
    """Turn one head's keys and values by matrix roots of scipy."""
    q = torch.cat([fold["q"] for fold in rows]).numpy()
    group = q.shape[1] // rows[0]["k"].shape[1]
    mine = q[:, key_head * group : (key_head + 1) * group].reshape(-1, q.shape[-1])
    S = mine.T @ mine / len(mine) * store.number("logit_scale", layer) ** 2
    G = store.read_constants()[f"value_metric.{layer}"][value_head].double().numpy()
    root_S, root_G = (np.real(scipy.linalg.sqrtm(metric)) for metric in (S, G))
    return [
        (fold["k"][:, key_head].numpy() @ root_S, fold["v"][:, value_head].numpy() @ root_G)
        for fold in rows
    ]


def measure(folded):
    k, v = (np.concatenate(parts) for parts in zip(*folded, strict=True))
    k, v = k - k.mean(0), v - v.mean(0)
    cka = np.linalg.norm(k.T @ v) ** 2 / np.linalg.norm(k.T @ k) / np.linalg.norm(v.T @ v)
    angles = np.cos(scipy.linalg.subspace_angles(k, v)) ** 2
    parts = [CrossMoments.of(*(torch.from_numpy(part)[None] for part in fold)) for fold in folded]
    return {
        "tieability": float(tieability_from_moments(parts)[0]),
        "linear_cka": cka,
        "canonical_correlation": angles.mean(),
    }


def read(tables, **where):
    query = " and ".join(f"{name} == {value!r}" for name, value in where.items())
    return tables["heads"].query(query).iloc[0]


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 0)])
def test_every_measure_equals_that_of_the_rows(store, tables, layer, head):
    rows = read_rows(store, layer)
    assert sum(len(fold["k"]) for fold in rows) == tables["text"]["tokens"].item()
    own = measure(in_functional_space(store, rows, layer, head, head))
    other = measure(in_functional_space(store, rows, layer, head, 1 - head))
    for name, expected in own.items():
        row = read(tables, layer=layer, kv_head=head, space="functional", measure=name)
        assert row["trained"] == pytest.approx(expected, abs=2e-4)
        assert row["mismatched_heads"] == pytest.approx(other[name], abs=2e-4)
        assert abs(own[name] - other[name]) > 2e-3  # or else the test could not tell them apart
    plain = [(fold["k"][:, head].numpy(), fold["v"][:, head].numpy()) for fold in rows]
    row = read(tables, layer=layer, kv_head=head, space="centred", measure="linear_cka")
    assert row["trained"] == pytest.approx(measure(plain)["linear_cka"], abs=1e-4)


def test_means_and_their_differences(tables):
    summary = tables["summary"].query("space == 'functional' and measure == 'tieability'")
    value = summary.set_index("condition")["value"]
    heads = tables["heads"].query("space == 'functional' and measure == 'tieability'")
    assert value["trained"] == pytest.approx(heads["trained"].mean())
    assert value["random_slice"] == pytest.approx(heads["random_slice"].mean())
    assert value["trained - random_slice"] == pytest.approx(
        value["trained"] - value["random_slice"]
    )
    assert (summary["ci_low"] < summary["value"]).all()
    assert (summary["ci_high"] > summary["value"]).all()


def test_no_interval_leaves_the_possible_range():
    folds = np.array([[0.97], [0.9], [1.0], [1.0], [0.99]])  # the whole, then without each fold
    layer = {
        (space, measure, condition): 1 - folds if condition == "random_slice" else folds
        for space in SPACES
        for measure in MEASURES
        for condition in CONDITIONS
    }
    found = _tabulate_means([layer])
    of = found.set_index(["measure", "condition"])
    assert (of.loc[("linear_cka", "trained"), "ci_high"] == 1).all()
    assert (of.loc[("canonical_correlation", "random_slice"), "ci_low"] == 0).all()
    assert (of.loc[("tieability", "trained"), "ci_high"] == 1).all()
    assert (of.loc[("tieability", "random_slice"), "ci_low"] < 0).all()  # R2 has no least value
    assert (of.loc[("linear_cka", "trained - random_slice"), "ci_high"] == 1).all()


def test_keys_that_are_the_values_tell_everything(text, tmp_path):
    model = tiny_model("gpt2", seed=3)
    for layer in model.geometry.layers:
        module, k, v = layer.key.module, layer.key.columns, layer.value.columns
        with torch.no_grad():
            module.weight[:, v] = module.weight[:, k]
            module.bias[v] = module.bias[k]
    store = capture_text(model, text, tmp_path, settings=SETTINGS)
    tables = compute(store, folds=4)
    summary = tables["summary"].set_index(["space", "measure", "condition"])
    assert summary.loc["centred", "tieability", "trained"]["value"] > 0.999
    assert summary.loc["centred", "linear_cka", "trained"]["value"] == pytest.approx(1)
    assert summary.loc["centred", "linear_cka", "mismatched_heads"]["value"] < 0.9
    [first, second] = QUESTION.describe(tables, {}).answer
    assert (
        "explains 1.00 of the variance of its values, more than the keys of another head" in first
    )
    assert "more than a random slice of x" in second


def test_nothing_stands_beside_one_head_without_x(text, tmp_path):
    model = build_model(build_hf("gpt_bigcode"), tiny_tokenizer(), name="one")
    settings = TextSettings(window=16, shard_bytes=500, x=False)
    tables = compute(capture_text(model, text, tmp_path, settings=settings))
    assert set(tables["summary"]["condition"]) == {"trained"}
    assert "nothing to compare this with" in QUESTION.describe(tables, {}).answer[0]
    assert set(QUESTION.draw(tables)) == {"layers"}
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.1, 0.3, "more than"), (-0.3, -0.1, "less than"), (-0.1, 0.1, "neither clearly more nor")],
)
def test_the_answer_follows_the_interval(tables, low, high, told):
    summary = tables["summary"].copy()
    rows = summary["condition"] == "trained - mismatched_heads"
    summary.loc[rows, ["ci_low", "ci_high"]] = low, high
    assert told in QUESTION.describe(tables | {"summary": summary}, {}).answer[0]


def test_too_few_shards(text, tmp_path):
    settings = TextSettings(window=16, shard_bytes=10**6)
    store = capture_text(tiny_model("llama"), text, tmp_path, settings=settings)
    with pytest.raises(TableError, match=r"in \d shards, and intervals need at least 4"):
        compute(store)


def test_it_is_answered_once_in_a_folder(store, tables, tmp_path):
    with pytest.raises(StoreError, match="kvprobes capture --text"):
        answer(QUESTION, tmp_path)
    (tmp_path / "capture-text").symlink_to(store.folder, target_is_directory=True)
    said: list[str] = []
    found = [answer(QUESTION, Session(tmp_path, say=said.append), folds=FOLDS) for _ in range(2)]
    assert said == ["Computing: running_text", "Reusing the tables of running_text"]
    folder = Session(tmp_path).folder
    assert folder.figure_path("running_text", "layers", "png").stat().st_size > 10_000
    inputs = folder.read_manifest("running_text")["inputs"]
    assert inputs == {"text": store.identity_hash, "settings": {"folds": FOLDS, "seed": 0}}
    for one in found:
        pd.testing.assert_frame_equal(one.tables["heads"], tables["heads"])
