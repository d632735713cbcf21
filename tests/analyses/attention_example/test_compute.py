"""The founding example: attention as HF computes it, percentiles as a loop counts them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import QuadMesh

from analyses.attention_example import QUESTION, ExampleSettings
from analyses.attention_example.compute import percentiles
from analyses.attention_example.find import choose_language
from analyses.shared.given import Given
from probes.capture import CaptureSettings, capture, plan_capture
from probes.errors import TableError
from probes.similarity.coordinates import centre
from tests.tiny import tiny_model

TEMPLATES = pd.DataFrame(
    {
        "template_id": ["t0", "t1"],
        "text": ["The {modifier} {head} ran.", "A dog saw the {modifier} {head} of the tree."],
    }
)
MODIFIERS = ("black", "white", "small", "big", "red", "house", "neural")
HEADS = ("fox", "cat", "network")
PAIRS = pd.DataFrame(
    [
        (f"p{number}", head, *words)
        for number, (head, words) in enumerate(
            (head, words) for head in HEADS for words in combinations(MODIFIERS, 2)
        )
    ],
    columns=["pair_id", "head", "m1", "m2"],
)
# "neural" and "network" take several tokens.
EXAMPLE = ExampleSettings(head="network", first="neural", second="big", random_pairs=60, seed=3)
ARCHITECTURES = ("llama", "bert")


def compute(store, settings):
    return QUESTION.compute(Given(store=store), settings)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def captured(architecture, tmp_path_factory):
    model = tiny_model(architecture, n_layers=3, n_heads=4, n_kv_heads=2)
    plan = plan_capture(model.tokenizer, PAIRS, TEMPLATES, causal=model.geometry.causal)
    store = capture(
        model,
        plan,
        tmp_path_factory.mktemp(architecture) / "capture",
        settings=CaptureSettings(dtype="float32"),
    )
    return model, store


@pytest.fixture(scope="module")
def tables(captured):
    return compute(captured[1], EXAMPLE)


def percentile_by_counting(figure, others):
    below = sum(other < figure for other in others)
    tied = sum(other == figure for other in others)
    return 100 * (below + tied / 2) / len(others)


def test_attention_is_that_of_hugging_face(captured, tables):
    model, store = captured
    queries = store.table("queries")
    model.hf.set_attn_implementation("eager")
    seen = 0
    for row in queries[queries["head"] == "network"].itertuples():
        mine = tables["attention"].query(
            f"word == '{row.modifier}' and template_id == '{row.template_id}'"
        )
        if row.modifier not in (EXAMPLE.first, EXAMPLE.second):
            assert mine.empty
            continue
        seen += 1
        tokens = model.tokenizer(row.sentence, return_tensors="pt", return_offsets_mapping=True)
        offsets = tokens.pop("offset_mapping")[0].tolist()
        end = row.sentence.index(row.modifier) + len(row.modifier)
        word, head = (
            next(n for n, (start, stop) in enumerate(offsets) if start < at <= stop)
            for at in (end, end + 1 + len("network"))
        )
        with torch.no_grad():
            attentions = model.hf(input_ids=tokens["input_ids"], output_attentions=True).attentions
        expected = torch.stack([layer[0, :, head, word] for layer in attentions]).flatten()
        assert list(mine["layer"]) == np.repeat(range(3), 4).tolist()
        assert list(mine["head"]) == [*range(4)] * 3
        np.testing.assert_allclose(mine["weight"], expected, rtol=1e-4, atol=1e-6)
    assert seen == 4


def test_kv_heads_follow_the_groups(architecture, tables):
    expected = {"llama": [0, 0, 1, 1], "bert": [0, 1, 2, 3]}[architecture]
    attention = tables["attention"].drop_duplicates("head")
    assert list(attention["kv_head"]) == expected
    assert tables["similarity"]["kv_head"].nunique() == len(set(expected))


def test_attention_percentiles_count_the_other_compounds(captured, tables):
    _, store = captured
    queries = store.table("queries")
    for row in tables["attention"].itertuples():
        weights = store.read("attention", row.layer)[:, row.head].tolist()
        others = [
            weight
            for weight, query in zip(weights, queries.itertuples(), strict=True)
            if query.template_id == row.template_id
            and (query.head, query.modifier) != ("network", row.word)
        ]
        assert len(others) == len(HEADS) * len(MODIFIERS) - 1
        assert row.percentile == pytest.approx(percentile_by_counting(row.weight, others))
        assert row.expected == pytest.approx(np.mean(others))


def test_similarities_and_percentiles_by_loop(captured, tables):
    _, store = captured
    queries, occurrences = store.table("queries"), store.table("occurrences")
    rows = {(q.head, q.modifier, q.template_id): q.occurrence for q in queries.itertuples()}
    templates = torch.tensor((occurrences["template_id"] == "t1").to_numpy()).long()
    metric = torch.stack([store.read_sum(f"query_moment.{layer}") for layer in range(3)])
    for layer in range(3):
        for kv_head in range(store.manifest["geometry"]["n_kv_heads"]):
            for space in ("raw", "functional"):
                found = tables["similarity"].query(
                    f"layer == {layer} and kv_head == {kv_head} and space == '{space}' "
                    "and population == 'word pairs'"
                )
                for name, side, form in (
                    ("k", "key", metric[layer, kv_head]),
                    ("v", "value", store.read_constants()[f"value_metric.{layer}"][kv_head]),
                ):
                    vectors = store.read(name, layer)[:, kv_head].double()
                    form = form.double()
                    if space == "functional":
                        vectors = centre(vectors, templates)
                    else:
                        form = torch.eye(len(form)).double()

                    def cosine(head, m1, m2, vectors=vectors, form=form):
                        cosines = []
                        for template in ("t0", "t1"):
                            x = vectors[rows[head, m1, template]]
                            y = vectors[rows[head, m2, template]]
                            norms = ((x @ form @ x) * (y @ form @ y)).sqrt()
                            cosines.append(float(x @ form @ y / norms))
                        return np.mean(cosines)

                    mine = cosine("network", "neural", "big")
                    own_rows = {rows["network", word, "t0"] for word in ("neural", "big")}
                    others = [
                        cosine(p.head, p.m1, p.m2)
                        for p in PAIRS.itertuples()
                        if {rows[p.head, p.m1, "t0"], rows[p.head, p.m2, "t0"]} != own_rows
                    ]
                    assert found[f"s_{name}"].item() == pytest.approx(mine, abs=1e-4)
                    below = np.mean(np.array(others) < mine - 1e-4) * 100
                    above = np.mean(np.array(others) > mine + 1e-4) * 100
                    percentile = found[f"{side}_percentile"].item()
                    assert below - 1e-6 <= percentile <= 100 - above + 1e-6


def test_the_example_is_not_ranked_against_itself(architecture, tables):
    pairs = tables["summary"].query("population == 'word pairs'")
    # In a causal model two words have the same rows before every head word, and count once.
    distinct = len(PAIRS) // (len(HEADS) if architecture == "llama" else 1)
    assert set(pairs["others"]) == {distinct - 1}
    compounds = tables["summary"].query("population == 'compounds'")
    assert set(compounds["others"]) == {len(MODIFIERS) * len(HEADS) - 1}


def test_summary_is_the_mean_over_heads(tables):
    summary = tables["summary"]
    for word, attention in tables["attention"].groupby("word"):
        for measure, column in (("attention", "weight"), ("attention_percentile", "percentile")):
            row = summary.query(f"measure == '{measure}' and word == '{word}'")
            assert row["value"].item() == pytest.approx(attention[column].mean())
    for (space, population), heads in tables["similarity"].groupby(["space", "population"]):
        rows = summary[(summary["space"] == space) & (summary["population"] == population)]
        rows = rows.set_index("measure")
        pattern = (heads["key_percentile"] > 50) & (heads["value_percentile"] < 50)
        for measure, values in (
            ("key_similarity", heads["s_k"]),
            ("value_similarity", heads["s_v"]),
            ("key_percentile", heads["key_percentile"]),
            ("value_percentile", heads["value_percentile"]),
            ("pattern_share", pattern),
        ):
            assert rows.loc[measure, "value"] == pytest.approx(values.mean(), abs=1e-6)
        # The ranks of all pairs average to the middle, so the others do except for the example.
        n = rows.loc["key_percentile", "others"]
        example = rows.loc["key_percentile", "value"]
        assert rows.loc["key_percentile", "expected"] == pytest.approx(50 - (example - 50) / n)


def test_the_order_of_the_two_words_does_not_matter(captured, tables):
    swapped = replace(EXAMPLE, first=EXAMPLE.second, second=EXAMPLE.first)
    other = compute(captured[1], swapped)
    pd.testing.assert_frame_equal(other["similarity"], tables["similarity"])


def test_percentiles_of_ties():
    figures = np.array([[3.0, 1.0, 1.0, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    expected = [
        [percentile_by_counting(x, np.delete(row, n)) for n, x in enumerate(row)] for row in figures
    ]
    np.testing.assert_allclose(percentiles(figures), expected)
    np.testing.assert_allclose(percentiles(figures.T, axis=0).T, expected)


@pytest.mark.parametrize(
    ("changes", "compound"),
    [
        ({"first": "social"}, "social network"),
        ({"second": "social"}, "social network"),
        ({"head": "dog"}, "neural dog"),
    ],
)
def test_a_missing_compound_is_named(captured, changes, compound):
    with pytest.raises(TableError, match=f"'{compound}' in t0, t1.*for instance, head="):
        compute(captured[1], replace(EXAMPLE, **changes))


def test_a_word_is_not_compared_with_itself(captured):
    with pytest.raises(TableError, match="with itself"):
        compute(captured[1], replace(EXAMPLE, second=EXAMPLE.first))


class Heads:
    """A capture of which only the head words matter."""

    def __init__(self, *heads):
        self.heads = heads

    def table(self, name):
        return pd.DataFrame({"head": self.heads})


def test_the_chinese_pair_stands_in_where_the_capture_is_chinese():
    usual = ExampleSettings()
    assert (usual.head, usual.first, usual.second) == ("network", "neural", "social")
    assert choose_language(Heads("network", "网络"), usual) == usual
    assert choose_language(Heads("树"), usual) == usual
    found = choose_language(Heads("树", "网络"), replace(usual, seed=7))
    assert found == replace(usual, head="网络", first="神经", second="社交", seed=7)
    asked = replace(usual, second="big")
    assert choose_language(Heads("网络"), asked) == asked


def test_says_where_the_example_stands(tables):
    section = QUESTION.describe(tables, {})
    assert section.title == "The founding example: network, neural and big"
    rows = tables["similarity"].query("space == 'functional' and population == 'word pairs'")
    keys, values = rows["key_percentile"], rows["value_percentile"]
    [sentence] = section.answer
    assert f"percentile {keys.mean():.0f} of the word pairs" in sentence
    assert f"values at percentile {values.mean():.0f}" in sentence
    share = 100 * ((keys > 50) & (values < 50)).mean()
    assert f"in {share:.0f} % of the heads for this pair" in sentence


def test_draws_what_was_measured(tables, tmp_path):
    figures = QUESTION.draw(tables)
    assert set(figures) == {"attention", "similarity"}
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.pdf")


@pytest.mark.parametrize(
    ("n_layers", "n_heads", "n_kv_heads"), [(2, 1, 1), (5, 12, 12), (48, 32, 8), (3, 7, 1)]
)
def test_draws_any_shape_from_tables_alone(n_layers, n_heads, n_kv_heads, tmp_path):
    random = np.random.default_rng(0)
    attention = pd.MultiIndex.from_product(
        [["left", "right"], ["t0", "t1"], range(n_layers), range(n_heads)],
        names=["word", "template_id", "layer", "head"],
    ).to_frame(index=False)
    attention = attention.assign(
        head_word="thing", weight=random.random(len(attention)), expected=0.3
    )
    similarity = pd.MultiIndex.from_product(
        [["raw", "functional"], ["word pairs", "random pairs"], range(n_layers), range(n_kv_heads)],
        names=["space", "population", "layer", "kv_head"],
    ).to_frame(index=False)
    for kind in ("key", "value"):
        similarity[f"{kind}_percentile"] = 100 * random.random(len(similarity))
    summary = pd.DataFrame(
        {
            "measure": "pattern_share",
            "space": ["raw", "functional"],
            "population": "word pairs",
            "value": [0.1, 0.25],
            "expected": [0.1, 0.2],
            "percentile": [50.0, 80.0],
            "others": 99,
        }
    )
    figures = QUESTION.draw({"attention": attention, "similarity": similarity, "summary": summary})
    maps = [
        mesh.get_array().shape
        for figure in figures.values()
        for axes in figure.axes
        for mesh in axes.findobj(QuadMesh)
        if axes.get_label() != "<colorbar>"
    ]
    assert maps == [(n_layers, n_heads)] * 2 + [(n_layers, n_kv_heads)] * 2
    scatter = [
        len(points.get_offsets())
        for axes in figures["similarity"].axes
        if "25 %" in axes.get_title(loc="left")
        for points in axes.collections
        if len(points.get_offsets()) > 1
    ]
    assert scatter == [n_layers * n_kv_heads]
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
