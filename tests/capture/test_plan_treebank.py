from pathlib import Path

import pytest
import torch

from probes.capture import CaptureSettings, capture
from probes.capture.plan_treebank import plan_treebank
from probes.errors import AlignmentError, TableError
from probes.words.treebank import read_treebank
from tests.tiny import tiny_model

FILE = Path(__file__).parents[1] / "data" / "tiny.conllu"


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_every_word_is_captured_as_the_model_has_it(architecture, tmp_path):
    model = tiny_model(architecture)
    words = read_treebank(FILE)
    plan = plan_treebank(model.tokenizer, words, causal=model.geometry.causal)
    assert list(plan.occurrences["word"]) == list(words["word"])
    assert list(plan.occurrences["upos"]) == list(words["upos"])
    store = capture(model, plan, tmp_path, settings=CaptureSettings(dtype="float32"))
    assert list(store.table("occurrences")["deprel"]) == list(words["deprel"])
    layer = model.geometry.layers[1]
    seen = {}
    hook = layer.value.module.register_forward_hook(lambda _m, _i, out: seen.update(v=out))
    for sentence, rows in plan.occurrences.groupby("sentence"):
        ids = torch.tensor(
            [model.tokenizer(words["text"][words["sentence"] == sentence].iloc[0])["input_ids"]]
        )
        model.hf(ids)
        wanted = layer.value.split(seen["v"])[0, rows["last_token"].tolist()]
        torch.testing.assert_close(store.read("v", 1)[rows.index], wanted, atol=1e-5, rtol=1e-4)
    hook.remove()


def test_refuses():
    tokenizer = tiny_model().tokenizer
    words = read_treebank(FILE)
    with pytest.raises(TableError, match="lacks the column"):
        plan_treebank(tokenizer, words.drop(columns="start"))
    with pytest.raises(AlignmentError, match="none of the 9 words"):
        plan_treebank(tokenizer, words.assign(start=0, end=0))
