"""The tokenizer that runs is whole, and cuts text as its file says; its words are themselves."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from probes.capture.plan import plan_capture
from probes.capture.plan_contexts import plan_coordination
from probes.errors import UnsupportedModelError
from probes.models import load_model
from probes.models.hub import _PATTERNS
from probes.models.tokenizers import examine_tokenizer, load_tokenizer
from tests.tiny import tiny_model, tiny_tokenizer

TEMPLATES = pd.DataFrame({"template_id": ["t"], "text": ["the {modifier} {head} ran"]})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    model = tiny_model()
    model.hf.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def name_class(folder: Path, name: str) -> None:
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"tokenizer_class": name}), encoding="utf-8")


def find_faults(tokenizer: PreTrainedTokenizerFast, n_embeddings: int = 10_000) -> list[str]:
    return [found.told for found in examine_tokenizer(tokenizer, n_embeddings) if not found.passed]


@pytest.mark.parametrize("named", ["T5Tokenizer", "LlamaTokenizer", "BertTokenizer"])
def test_a_tokenizer_without_its_vocabulary_is_refused(folder, named):
    for file in folder.glob("tokenizer.json"):
        file.unlink()
    name_class(folder, named)
    with pytest.raises(UnsupportedModelError, match=r"knows no words|Loading the tokenizer"):
        load_model(folder)


def test_a_tokenizer_without_its_merges_is_refused(folder):
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["model"]["merges"] = []
    file.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=r"merges\.txt.*are missing"):
        load_model(folder)


def test_a_tokenizer_of_another_model_is_refused():
    [told] = find_faults(tiny_tokenizer(), n_embeddings=100)
    assert "another model's" in told


def lower(**options: bool) -> PreTrainedTokenizerFast:
    """Return a tokenizer that folds case and accents, as an uncased BERT does."""
    backend = Tokenizer.from_str(tiny_tokenizer(bos=False).backend_tokenizer.to_str())
    backend.normalizer = normalizers.BertNormalizer(**options)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")  # noqa: S106


def test_normalising_is_no_fault():
    assert not find_faults(tiny_tokenizer())
    assert not find_faults(lower(lowercase=True))


def test_the_file_wins_over_a_class_that_cuts_otherwise(folder):
    """GPT-2's class splits at hyphens before it merges; this file does not."""
    file = folder / "tokenizer.json"
    backend = Tokenizer.from_file(str(file))
    told = json.loads(backend.to_str())
    told["model"]["vocab"]["a-"] = len(told["model"]["vocab"])
    told["model"]["merges"].insert(0, ["a", "-"])
    told["pre_tokenizer"]["use_regex"] = False
    file.write_text(json.dumps(told), encoding="utf-8")
    name_class(folder, "GPT2Tokenizer")
    own = Tokenizer.from_file(str(file))
    named = transformers.AutoTokenizer.from_pretrained(folder)
    text = "a sea-a-term"
    assert named(text, add_special_tokens=False)["input_ids"] != own.encode(text).ids[1:]
    tokenizer, [found] = load_tokenizer(folder)
    assert tokenizer(text)["input_ids"] == own.encode(text).ids
    assert found.passed
    assert "the file is used" in found.told


def test_every_file_of_every_tokenizer_is_fetched():
    rooms = Path(transformers.__file__).parent / "models"
    named = set()
    for source in rooms.glob("*/tokenization_*.py"):
        found = re.search(r"VOCAB_FILES_NAMES = \{(.*?)\}", source.read_text("utf-8"), re.DOTALL)
        named |= set(re.findall(r':\s*"([\w.]+)"', found.group(1))) if found else set()
    assert {"spiece.model", "sentencepiece.bpe.model", "source.spm", "merges.txt"} <= named
    assert not [name for name in named if not any(fnmatch(name, known) for known in _PATTERNS)]


def whole_words(*words: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: place for place, word in enumerate(("<unk>", "<pad>", *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
    )


def test_a_word_that_its_tokens_do_not_spell_is_lost_with_the_reason():
    pairs = pd.DataFrame({"head": ["dog"] * 2, "m1": ["big", "big"], "m2": ["red", "odd"]})
    plan = plan_capture(whole_words("the", "big", "red", "dog", "ran"), pairs, TEMPLATES)
    assert plan.queries["modifier"].tolist() == ["big", "red"]
    [loss] = plan.losses.to_dict("records")
    assert loss["modifier"] == "odd"
    assert loss["reason"] == "the tokens of 'odd' do not spell it, but '<unk>'"


def test_two_words_with_the_same_ids_are_named():
    pairs = pd.DataFrame({"head": ["dog"], "m1": ["resume"], "m2": ["résumé"]})
    tokenizer = lower(lowercase=True, strip_accents=True)
    plan = plan_capture(tokenizer, pairs, TEMPLATES)
    assert len(plan.queries) == 1
    assert plan.losses["reason"].tolist() == ["'resume' and 'résumé' have the same token ids"]
    templates = pd.DataFrame({"template_id": ["t"], "text": ["the {first} and {second} {head}"]})
    pairs = pd.concat([pairs, pd.DataFrame({"head": ["dog"], "m1": ["big"], "m2": ["red"]})])
    plan = plan_coordination(tokenizer, pairs.assign(pair_id=["a", "b"]), templates)
    assert len(plan.losses) == 2
    assert plan.losses["reason"].str.contains("same token ids").all()
