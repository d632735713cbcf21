"""Captures of contexts against plain runs of whole sentences: every row, weight and size."""

import pytest
import torch

from probes.capture import CaptureSettings, capture, plan_coordination, plan_sentences
from probes.errors import UnsupportedModelError
from probes.words import load_sentences
from tests.capture.context_examples import MODELS, PAIRS, SENTENCES, TEMPLATES, make_model
from tests.capture.plain import run_plainly

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
SETTINGS = CaptureSettings(key_stage="projected", dtype="float32", query_sample=5)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return make_model(request.param)


def plan(model, source, **options):
    options = {"causal": model.geometry.causal, "prefix": "the ", "whole_contexts": 7, **options}
    if source == "sentences":
        return plan_sentences(model.tokenizer, load_sentences(SENTENCES), **options)
    return plan_coordination(model.tokenizer, PAIRS, TEMPLATES, **options)


@pytest.fixture(scope="module", params=["coordination", "sentences"])
def source(request):
    return request.param


@pytest.fixture(scope="module")
def store(model, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probes.capture.contexts_layout.FEWEST_SHARING", 3)
        patch.setattr("probes.capture.run.SHARD_LENGTH", 5)
        return capture(model, plan(model, source), folder, settings=SETTINGS, batch_size=3)


def test_rows_equal_plain_runs(model, store, source):
    """Whole sentences run alone, against what was shared, batched, padded and ended early."""
    occurrences, queries = store.table("occurrences"), store.table("queries")
    texts = queries.drop_duplicates("context").set_index("context")["sentence"]
    plain = {
        context: run_plainly(model, model.tokenizer(text)["input_ids"])
        for context, text in texts.items()
    }
    layers = range(model.geometry.n_layers)
    k, v, x, attention, written, stream = (
        torch.stack([store.read(name, layer) for layer in layers], dim=1)
        for name in ("k", "v", "x", "attention", "written", "stream")
    )
    assert len(k) == len(occurrences)
    assert attention.shape == written.shape == (len(queries), len(layers), model.geometry.n_heads)
    assert (occurrences["last_token"] > occurrences["first_token"]).any()
    for row in occurrences.itertuples():
        own = plain[row.context]
        for name, read in (("k", k), ("v", v), ("x", x)):
            expected = own[name][:, row.last_token]
            torch.testing.assert_close(read[row.Index], expected, **CLOSE)
    for row in queries.itertuples():
        own, at = plain[row.context], occurrences["last_token"][row.occurrence]
        weights = own["attention"][:, :, row.position, at]
        torch.testing.assert_close(attention[row.Index], weights, **CLOSE)
        norms = own["written"][:, row.position].norm(dim=-1)
        torch.testing.assert_close(written[row.Index], norms, **CLOSE)
        norms = own["stream"][:, row.position].norm(dim=-1)
        torch.testing.assert_close(stream[row.Index], norms, **CLOSE)
        assert row.distance == row.position - at


def test_both_queries_of_an_event_are_one_token(model, store, source):
    queries, pairs = store.table("queries"), store.table("pairs")
    left, right = (queries.iloc[pairs[f"{side}_query"]] for side in ("left", "right"))
    for name in ("context", "position", "head", "sentence"):
        assert list(left[name]) == list(right[name]) == list(left[name])
    for rows, side in ((left, "left"), (right, "right")):
        assert list(rows["occurrence"]) == list(pairs[side])
        assert list(rows["modifier"]) == list(pairs[f"{side}_word"])
        assert list(rows["context"]) == list(pairs["context"])
    written, stream = store.read("written", 1), store.read("stream", 1)
    for read in (written, stream):
        chosen = (read[pairs[f"{side}_query"].tolist()] for side in ("left", "right"))
        torch.testing.assert_close(*chosen)


def test_whole_contexts_let_any_head_attend(model, store, source):
    """Keys of every token, and the query's x: enough to make the model's own attention again."""
    pairs, queries = store.table("pairs"), store.table("queries")
    whole = pairs[pairs["context_rows"].map(len) > 0]
    assert len(whole) >= 5
    causal = model.geometry.causal
    x, occurrences = store.read("x", 0), store.table("occurrences")
    for row in whole.itertuples():
        rows = [int(number) for number in row.context_rows]
        ids = [int(occurrences["token_ids"][number][-1]) for number in rows]
        query = queries.iloc[row.left_query]
        expected = model.tokenizer(query["sentence"])["input_ids"]
        assert ids == (expected[: len(ids)] if causal else expected)
        assert len(ids) > query["position"]
        for side in (row.left, row.right):
            at = int(occurrences["last_token"][side])
            torch.testing.assert_close(x[rows[at]], x[side])


def test_x_of_the_query_is_among_the_whole_context(model, store):
    """Layer 0's x at the attending token, from its own hook and as a token of the context."""
    pairs, queries = store.table("pairs"), store.table("queries")
    sampled = store.read("x_query", 0)
    x, occurrences = store.read("x", 0), store.table("occurrences")
    rows = pairs[pairs["context_rows"].map(len) > 0]
    candidates = torch.stack(
        [x[int(row.context_rows[queries["position"][row.left_query]])] for row in rows.itertuples()]
    )
    assert len(sampled) == 5
    near = torch.cdist(sampled, candidates).min(dim=1).values
    assert float(near.min()) < 1e-4
    assert occurrences["slot"].min() == -1


def test_no_whole_contexts(model, source, tmp_path):
    found = plan(model, source, whole_contexts=0)
    assert (found.occurrences["slot"] >= 0).all()
    assert (found.pairs["context_rows"].map(len) == 0).all()
    store = capture(model, found, tmp_path, settings=SETTINGS, batch_size=3)
    assert not store.missing_shards()


def test_means_of_pieces(model, source, tmp_path):
    found = plan(model, source, take="mean")
    store = capture(model, found, tmp_path, settings=SETTINGS)
    row = found.occurrences[found.occurrences["word"].isin(["zest"])].iloc[0]
    text = found.queries.set_index("context")["sentence"][row["context"]].iloc[0]
    own = run_plainly(model, model.tokenizer(text)["input_ids"])["v"]
    expected = own[:, row["first_token"] : row["last_token"] + 1].mean(dim=1)
    number = int(row["occurrence"])
    found_v = torch.stack([store.read("v", layer)[number] for layer in range(len(expected))])
    torch.testing.assert_close(found_v, expected, **CLOSE)


def test_a_model_whose_blocks_are_not_heard_is_refused(tmp_path, monkeypatch):
    model = make_model("llama")
    silent = torch.nn.Linear(1, 1)
    monkeypatch.setattr("probes.capture.sizes.find_block", lambda *_: silent)
    with pytest.raises(UnsupportedModelError, match="did not show the stream"):
        capture(model, plan(model, "coordination"), tmp_path, settings=SETTINGS)


def test_other_captures_keep_their_identity(tmp_path):
    """Only what reads sizes says so, so that a capture of before is still the same."""
    from tests.capture.examples import make_plan

    model = make_model("llama")
    store = capture(model, make_plan(model), tmp_path / "pairs", settings=SETTINGS)
    assert "sizes" not in store.manifest["identity"]
    store = capture(model, plan(model, "coordination"), tmp_path / "own", settings=SETTINGS)
    assert store.manifest["identity"]["sizes"] is True
