"""Running text on tiny models: against plain runs and loops, batches, and changes of basis."""

import random

import pytest
import torch

from probes.capture.text_pairs import POPULATIONS, mark_documents
from probes.errors import UsageError
from probes.models import build_model
from probes.similarity.co_attended.contributions import SELECTIONS
from probes.similarity.co_attended.figures import STATISTICS
from probes.similarity.co_attended.text import contribute_documents, join_documents
from probes.similarity.co_attended.text_spaces import read_spaces
from probes.words.texts import Document
from tests.architectures import build_hf
from tests.capture.plain import run_plainly
from tests.similarity.test_invariance import change_basis
from tests.tiny import KNOWN_WORDS, tiny_model, tiny_tokenizer

LENGTH = 48
MODELS = ("llama", "gemma", "bert", "t5", "qwen3")


def make_model(name):
    if name == "t5":
        return build_model(build_hf("t5"), tiny_tokenizer(bos=False, eos=True), name="tiny-t5")
    return tiny_model(name, n_kv_heads=1) if name == "gemma" else tiny_model(name)


def make_documents(model, *, count=3, windows=1, repeats=False):
    draw = random.Random(1)
    words = [*KNOWN_WORDS, ",", "."]
    texts = [" ".join(draw.choices(words, k=90)) for _ in range(count)]
    named = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    options = {"length": LENGTH, "windows": windows, "repeats": repeats}
    return mark_documents(model.tokenizer, named, **options)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return make_model(request.param)


@pytest.fixture(scope="module")
def read(model):
    documents = make_documents(model)
    spaces = read_spaces(model, documents, key_stage="projected", seed=3)
    return documents, spaces, list(contribute_documents(model, documents, spaces))


def _percentile(figures, strata, pair):
    like = [float(f) for f, s in zip(figures, strata, strict=True) if s == strata[pair]]
    mine = float(figures[pair])
    return 100 * sum((f < mine) + (f == mine) / 2 for f in like) / len(like)


def test_own_figures_equal_a_plain_run_and_a_loop(model, read):
    documents, spaces, parts = read
    layer, causal = 1, model.geometry.causal
    how = model.geometry.layers[layer]
    found = join_documents(parts, layer)
    assert found.selections == SELECTIONS
    for number, document in enumerate(documents):
        window, pairs = document.windows[0].window, document.windows[0].pairs["all tokens"]
        plain = run_plainly(model, list(window.ids))
        keys, values = spaces.trained[layer].place(plain["k"][layer], plain["v"][layer])
        unit_k, unit_v = (torch.nn.functional.normalize(side, dim=-1) for side in (keys, values))
        place = {
            (int(i), int(j)): pair
            for pair, (i, j) in enumerate(zip(pairs.left, pairs.right, strict=True))
        }
        for head in range(how.n_heads):
            kv_head = head // how.group_size
            weights = plain["attention"][layer, head]
            s_k, s_v = (
                (unit[kv_head, pairs.left] * unit[kv_head, pairs.right]).sum(-1)
                for unit in (unit_k, unit_v)
            )
            length = len(window.ids)
            sees = {
                j: [t for t in range(length) if (t > j if causal else t != j)]
                for j in range(length)
            }
            sinks = {
                j
                for j in range(length)
                if len(sees[j]) >= 16 and float(weights[sees[j], j].mean()) > 0.3
            }
            sums, count = [0.0, 0.0, 0.0], 0
            for t in range(window.first, length):
                allowed = [
                    j for j in range(length) if pairs.token[j] and t in sees[j] and j not in sinks
                ]
                best = sorted(allowed, key=lambda j: -float(weights[t, j]))[:2]
                if len(best) < 2 or float(weights[t, best[1]]) < 0.02:
                    continue
                pair = place.get((min(best), max(best)))
                if pair is not None:
                    count += 1
                    sums[0] += _percentile(s_k.tolist(), pairs.stratum.tolist(), pair)
                    sums[1] += _percentile(s_v.tolist(), pairs.stratum.tolist(), pair)
                    gap = keys[kv_head, pairs.left[pair]] - keys[kv_head, pairs.right[pair]]
                    sums[2] += float(gap.square().sum())
            for statistic, expected in zip(
                ("key_percentile", "value_percentile", "key_gap"), sums, strict=True
            ):
                above, below = found.find("own", statistic)
                assert float(below[head, number]) == count
                assert float(above[head, number]) == pytest.approx(expected, rel=2e-3, abs=2.0)
        tensors = parts[number].tensors
        queries = range(window.first, length)
        given = sum(
            float(plain["attention"][layer, 0, t, j])
            for t in queries
            for j in range(length)
            if pairs.token[j] and j != t
        )
        assert float(tensors[f"attention.{layer}"][0]) == pytest.approx(given, rel=1e-3)
        written = plain["written"][layer, window.first :].norm(dim=-1).square().sum(0)
        torch.testing.assert_close(
            tensors[f"written_square.{layer}"].float(), written, rtol=1e-3, atol=1e-3
        )
        stream = plain["stream"][layer, window.first :].norm(dim=-1).square().sum()
        assert float(tensors[f"stream_square.{layer}"]) == pytest.approx(float(stream), rel=1e-3)
        assert float(tensors[f"queries.{layer}"]) == length - window.first


def test_the_space_is_centred_and_in_the_metric_of_the_queries(model, read):
    """Coordinates average to 0 over the tokens that count; S is the mean square of their queries.

    Without rotation queries need not be turned back, so S follows from plain queries alone.
    """
    documents, spaces, _ = read
    layer = model.geometry.n_layers - 1
    how = model.geometry.layers[layer]
    windows = [document.windows[0].window for document in documents]
    plain = [run_plainly(model, list(window.ids)) for window in windows]
    k, v, x = (
        torch.cat([own[name][layer, w.first :] for own, w in zip(plain, windows, strict=True)])
        for name in ("k", "v", "x")
    )
    space = spaces.trained[layer]
    keys, values = space.place(k, v)
    for side in (keys, values):
        assert float(side.mean(1).abs().max()) < 1e-3 * float(side.abs().max())
    gram = space.value_root @ space.value_root
    torch.testing.assert_close(
        gram, model.geometry.value_metric(layer).float(), rtol=1e-2, atol=1e-2
    )
    if how.rotation is None:
        q = how.query.project(x).unflatten(1, (how.n_kv_heads, how.group_size))
        moment = torch.einsum("tkgd,tkge->kde", q, q) / (len(q) * how.group_size)
        metric = space.key_root @ space.key_root
        expected = (moment * how.logit_scale**2).detach()
        torch.testing.assert_close(metric, expected, rtol=1e-2, atol=1e-3 * float(expected.max()))


def test_a_document_does_not_depend_on_the_others(model, read):
    documents, spaces, parts = read
    [alone] = contribute_documents(model, documents[1:2], spaces, batch_size=1)
    assert alone.name == "d1"
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(tensor, parts[1].tensors[name], rtol=1e-3, atol=5.0)


def test_windows_of_a_document_add_up(model):
    documents = make_documents(model, count=2, windows=2)
    spaces = read_spaces(model, documents, random=False)
    whole = list(contribute_documents(model, documents, spaces, batch_size=3))
    assert [part.name for part in whole] == ["d0", "d1"]
    assert join_documents(whole, 0).selections == SELECTIONS[:-1]
    for number, document in enumerate(documents):
        assert len(document.windows) == 2
        single = [type(document)(document.name, (window,)) for window in document.windows]
        parts = list(contribute_documents(model, single, spaces, batch_size=1))
        sums = parts[0].tensors["denominator.0"] + parts[1].tensors["denominator.0"]
        torch.testing.assert_close(whole[number].tensors["denominator.0"], sums)


def test_all_selections_choose_and_a_single_kv_head_has_no_other(model, read):
    _, _, parts = read
    found = join_documents(parts, 0, rule="top quarter")
    chosen = dict(zip(found.selections, found.denominator.sum((1, 2)).tolist(), strict=True))
    assert chosen["own"] == pytest.approx(chosen["matched"])
    assert (chosen["mismatched_heads"] == 0) == (model.geometry.n_kv_heads == 1)
    assert min(chosen["own"], chosen["shuffled_attention"], chosen["random_heads"]) > 0
    percentile = found.ratios()[:, STATISTICS.index("key_percentile")]
    matched = percentile[SELECTIONS.index("matched")]
    torch.testing.assert_close(matched, torch.full_like(matched, 50), atol=1e-3, rtol=0)
    content = join_documents(parts, 0, population=POPULATIONS[1])
    assert float(content.denominator.sum()) < float(join_documents(parts, 0).denominator.sum())


@pytest.mark.parametrize(("architecture", "rotary"), [("llama", True), ("gpt2", False)])
def test_a_change_of_basis_moves_no_statistic(architecture, rotary):
    plain = tiny_model(architecture, seed=5)
    found = []
    for one in (plain, change_basis(plain, rotary=rotary)):
        documents = make_documents(one, count=2)
        spaces = read_spaces(one, documents, random=False)
        found.append(list(contribute_documents(one, documents, spaces)))
    for layer in range(plain.geometry.n_layers):
        before, after = (join_documents(parts, layer) for parts in found)
        torch.testing.assert_close(before.denominator, after.denominator)
        torch.testing.assert_close(before.numerator, after.numerator, rtol=0.01, atol=30.0)


def test_no_document_is_refused():
    model = tiny_model()
    with pytest.raises(UsageError, match="no window"):
        read_spaces(model, [])
    with pytest.raises(UsageError, match="no documents"):
        join_documents([], 0)
