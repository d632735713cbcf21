import pytest

from analyses import probing
from probes.capture import CaptureSettings, capture
from probes.capture.plan_treebank import plan_treebank
from probes.linear.properties import label_occurrences
from probes.words.treebank import read_treebank_splits
from tests.analyses.treebanks import write_treebank
from tests.tiny import tiny_model

SETTINGS = probing.ProbingSettings(resamples=10, x_layers=1, code=False)


def test_a_treebank_is_probed_on_its_own_split(tmp_path):
    model = tiny_model("llama")
    words = read_treebank_splits(write_treebank(tmp_path))
    plan = plan_treebank(model.tokenizer, words)
    store = capture(model, plan, tmp_path / "capture", settings=CaptureSettings(dtype="float32"))
    occurrences = store.table("occurrences")
    properties = [
        label_occurrences(name, occurrences, occurrences[name], min_words=1)
        for name in ("upos", "deprel")
    ]
    tables = probing.compute(store, store.table("pairs"), settings=SETTINGS, properties=properties)
    rows = tables["properties"].set_index("property")
    assert list(rows["split_by"]) == ["train, dev, test"] * 2
    assert list(rows["folds"]) == [1, 1]
    assert rows.loc["upos", "n_tested"] == 30 * 6
    assert rows.loc["upos", "classes"] == "ADJ, DET, NOUN, VERB"
    keys = tables["summary"].query("what == 'k'").set_index("property")
    assert keys.loc["upos", "value"] > 0.8  # each word has one part of speech
    assert keys.loc["upos", "majority"] == pytest.approx(2 / 6)
    assert keys.loc["upos", "value"] >= keys.loc["deprel", "value"]


def test_what_a_treebank_says_is_probed_for_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("probes.linear.properties.MIN_WORDS", 1)
    from probes.linear.properties import list_properties

    model = tiny_model("llama")
    words = read_treebank_splits(write_treebank(tmp_path))
    plan = plan_treebank(model.tokenizer, words)
    found, left_out = list_properties(plan.occurrences, plan.queries, plan.pairs)
    said = {found.name for found in found} | set(left_out)
    assert {
        "part of speech in the sentence",
        "dependency relation",
        "distance to syntactic head",
    } <= said
