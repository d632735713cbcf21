import numpy as np
import pandas as pd
import pytest
import torch

from probes.errors import TableError
from probes.reading import probe, read
from tests.tiny import tiny_model

NAMES = tuple(a + b for a in "abcdefgh" for b in "klmnopqr")


@pytest.fixture(scope="module")
def words():
    return read(tiny_model("llama", d_head=4), "A dog saw {word} and was red", NAMES)


def test_a_planted_label_is_read_from_the_head_that_holds_it(words):
    planted = words.k[1][:, 0] @ torch.tensor([1.0, -1.0, 0.5, 2.0])
    labels = np.where(planted > planted.median(), "above", "below")
    table = probe(words, labels.tolist(), resamples=50)
    keys = table[table["part"] == "keys"].set_index(["layer", "kv_head"])
    assert keys["value"].idxmax() == (1, 0)
    assert keys.loc[(1, 0), "value"] > 0.85
    assert keys.loc[(1, 0), "selectivity"] > 0.2
    assert (keys["ci_low"] <= keys["value"]).all()
    assert set(table["part"]) == {"keys", "values", "random_slice"}
    assert set(table["score"]) == {"accuracy"}


def test_a_number_is_predicted_as_one(words):
    planted = dict(zip(words.table["word"], words.v[0][:, 1].sum(1).tolist(), strict=True))
    table = probe(words, planted, resamples=20)
    values = table[table["part"] == "values"].set_index(["layer", "kv_head"])
    assert values.loc[(0, 1), "value"] > 0.95
    assert set(table["score"]) == {"r2"}
    assert table["balanced"].isna().all()


def test_labels_may_be_a_mapping_a_series_or_a_column(words):
    labels = pd.Series(["x" if word < "e" else "y" for word in words.table["word"]])
    words.table["label"] = labels.to_numpy()
    tables = [
        probe(words, form, resamples=5)
        for form in (labels, dict(zip(words.table["word"], labels, strict=True)), "label")
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_labels_that_do_not_fit_are_refused(words):
    with pytest.raises(TableError, match=r"2 labels for 64 occurrences"):
        probe(words, ["x", "y"])
    with pytest.raises(TableError, match=r"no column 'colour'"):
        probe(words, "colour")
    with pytest.raises(TableError, match=r"none of the 1 labelled words was read"):
        probe(words, {"zebra": "x"})
    with pytest.raises(TableError, match=r"classes have at least 20 words"):
        probe(words, ["x"] * 64)
