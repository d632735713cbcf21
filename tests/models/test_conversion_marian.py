"""A Marian out of CTranslate2's format and sentencepiece, against the model and its own pieces."""

# ruff: noqa: RUF001 (Chinese punctuation)

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import sentencepiece
import torch
from transformers import AutoTokenizer, MarianConfig, MarianMTModel

from probes.errors import UnsupportedModelError
from probes.models.conversion.ctranslate2 import read_ctranslate2_weights
from probes.models.conversion.marian import convert_marian
from probes.models.conversion.sentencepiece import read_tokenizer

SENTENCES = (
    "今天天气很好，我们去公园散步吧。",
    "我们 今天 去 北京 ， 天气 好。",
    "公园 里 的 天气 很 好 ABC 123",
    "ＡＢＣ　今天  ②号公园",
    "  前面 有 空格",
    "鵰在公园里。",
    "今天鵰",
    "公园葫芦散步",
    "今天€天气",
    "",
)
KINDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A sentencepiece model of Chinese that lacks some characters."""
    folder = tmp_path_factory.mktemp("pieces")
    text = [SENTENCES[0], SENTENCES[1], SENTENCES[2], "前面有空格吧", "号在里面"] * 40
    (folder / "text").write_text("\n".join(text), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "source"),
        vocab_size=70,
        hard_vocab_limit=False,
        minloglevel=3,
    )
    return folder / "source.model"


@pytest.fixture(scope="module")
def vocabulary(pieces):
    """Both languages' pieces in an order of their own, as Marian's vocabulary is."""
    processor = sentencepiece.SentencePieceProcessor(str(pieces))
    own = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    others = ["▁the", "▁walk", "今天天气很好", "鵰", "葫芦", "€", "ing"]
    mixed = [*own, *others]
    order = np.random.default_rng(2).permutation(len(mixed))
    return ["</s>", "<unk>", *(mixed[i] for i in order)]


def look_up(pieces, vocabulary, text):
    """Give the ids as Marian's slow tokenizer does: cut first, then look each piece up."""
    processor = sentencepiece.SentencePieceProcessor(str(pieces))
    places = {piece: place for place, piece in enumerate(vocabulary)}
    return [*(places.get(piece, 1) for piece in processor.encode(text, out_type=str)), 0]


@pytest.mark.parametrize("text", SENTENCES)
def test_ids_are_those_of_the_slow_way(text, pieces, vocabulary):
    tokenizer = read_tokenizer(pieces, [*vocabulary, "<pad>"], max_length=64)
    assert tokenizer(text)["input_ids"] == look_up(pieces, vocabulary, text)


def test_the_vocabulary_decides_the_ids_and_the_model_the_cuts(pieces, vocabulary):
    """A piece of the other language alone is never taken where the source's own pieces fit."""
    tokenizer = read_tokenizer(pieces, [*vocabulary, "<pad>"], max_length=64)
    ids = tokenizer(SENTENCES[0])["input_ids"]
    assert vocabulary.index("今天天气很好") not in ids
    assert tokenizer.convert_ids_to_tokens(len(vocabulary)) == "<pad>"
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (
        len(vocabulary),
        0,
        1,
    )
    walk = [vocabulary.index(piece) for piece in ("▁the", "▁walk", "ing")]
    assert tokenizer.decode([*walk, 0, len(vocabulary)], skip_special_tokens=True) == "the walking"


def test_offsets_are_those_of_the_text(pieces, vocabulary):
    tokenizer = read_tokenizer(pieces, [*vocabulary, "<pad>"], max_length=64)
    text = "公园ＡＢＣ今天"
    found = tokenizer(text, return_offsets_mapping=True)
    spans = found["offset_mapping"][:-1]
    assert "".join(text[start:end] for start, end in spans if end > start).endswith("今天")
    assert spans[-1][1] == len(text)


def test_a_piece_that_the_vocabulary_lacks_is_cut_smaller(pieces, vocabulary):
    """The slow way gives <unk> here."""
    tokenizer = read_tokenizer(pieces, [*vocabulary, "<pad>"], max_length=64)
    longest = max(
        (piece for piece in tokenizer.tokenize(SENTENCES[0]) if "▁" not in piece), key=len
    )
    assert len(longest) > 1
    rest = [piece for piece in vocabulary if piece != longest]
    smaller = read_tokenizer(pieces, [*rest, "<pad>"], max_length=64)
    cut = smaller.tokenize(SENTENCES[0])
    assert longest not in cut
    assert "<unk>" not in cut


def test_another_kind_of_pieces_is_refused(pieces, tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        input=str(pieces.parent / "text"),
        model_prefix=str(tmp_path / "bpe"),
        model_type="bpe",
        vocab_size=60,
        minloglevel=3,
    )
    with pytest.raises(UnsupportedModelError, match="kind 2"):
        read_tokenizer(tmp_path / "bpe.model", ["</s>", "<unk>", "<pad>"], max_length=8)


def write_ctranslate2(path, variables, aliases, *, version=6):
    """Write variables in CTranslate2's binary format."""

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", version), text("TransformerSpec"), struct.pack("<I", 7)]
    parts.append(struct.pack("<I", len(variables)))
    for name, values in variables.items():
        parts += [text(name), struct.pack("<B", values.ndim)]
        parts += [struct.pack("<I", length) for length in values.shape]
        parts.append(struct.pack("<BI", KINDS[values.dtype.name], values.nbytes))
        parts.append(values.tobytes())
    parts.append(struct.pack("<I", len(aliases)))
    for alias, name in aliases.items():
        parts += [text(alias), text(name)]
    path.write_bytes(b"".join(parts))


def test_variables_are_read_as_they_were_stored(tmp_path):
    random = np.random.default_rng(1)
    values = random.integers(-127, 128, (3, 4)).astype(np.int8)
    scale = np.array([10.0, 3.0, 0.5], dtype=np.float32)
    half = random.normal(size=(2, 2)).astype(np.float16)
    variables = {
        "a/weight": values,
        "a/weight_scale": scale,
        "b": half,
        "heads": np.array(8, np.int16),
    }
    write_ctranslate2(tmp_path / "m", variables, {"c/weight": "a/weight"})
    found = read_ctranslate2_weights(tmp_path / "m")
    assert found.keys() == {"a/weight", "b", "heads", "c/weight"}
    for row in range(3):
        for column in range(4):
            expected = np.float32(values[row, column]) / scale[row]
            assert found["a/weight"][row, column] == expected
    assert torch.equal(found["c/weight"], found["a/weight"])
    assert torch.equal(found["b"], torch.from_numpy(half).float())
    assert int(found["heads"]) == 8


def test_another_version_is_refused(tmp_path):
    write_ctranslate2(tmp_path / "m", {}, {}, version=3)
    with pytest.raises(UnsupportedModelError, match="version 3"):
        read_ctranslate2_weights(tmp_path / "m")


@pytest.fixture
def marian(vocabulary):
    """A tiny Marian whose pad has an embedding of zeros and no bias, as CTranslate2 assumes."""
    torch.manual_seed(4)
    pad = len(vocabulary)
    config = MarianConfig(
        vocab_size=pad + 1,
        d_model=24,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=3,
        decoder_attention_heads=4,
        encoder_ffn_dim=40,
        decoder_ffn_dim=56,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        init_std=0.3,
    )
    hf = MarianMTModel(config).eval()
    for parameter in hf.parameters():
        if parameter.requires_grad and parameter.ndim == 1:
            parameter.data = torch.randn_like(parameter)
    hf.final_logits_bias.copy_(torch.randn(1, pad + 1))
    hf.final_logits_bias[0, pad] = 0
    hf.model.shared.weight.data[pad] = 0
    return hf


def store(hf):
    """Give a Marian as CTranslate2's variables, and put what can be read back in the model."""
    pad = hf.config.pad_token_id
    variables = {
        "encoder/num_heads": np.array(hf.config.encoder_attention_heads, np.int16),
        "decoder/num_heads": np.array(hf.config.decoder_attention_heads, np.int16),
        "encoder/scale_embeddings": np.array(1, np.int8),
        "decoder/projection/bias": hf.final_logits_bias[0, :pad].numpy().copy(),
    }

    def matrix(name, modules):
        rows = []
        for module in modules:
            weight = module.weight.detach().numpy().copy()
            weight = weight[:pad] if name == "decoder/embeddings" else weight
            scale = (127 / np.abs(weight).max(axis=1)).astype(np.float32)
            rounded = np.round(weight * scale[:, None]).astype(np.int8)
            module.weight.data[: len(weight)] = torch.from_numpy(rounded / scale[:, None])
            bias = getattr(module, "bias", None)
            rows.append((rounded, scale, bias))
        variables[f"{name}/weight"] = np.concatenate([row[0] for row in rows])
        variables[f"{name}/weight_scale"] = np.concatenate([row[1] for row in rows])
        if rows[0][2] is not None:
            biases = [row[2].detach().numpy() for row in rows]
            variables[f"{name}/bias"] = np.concatenate(biases)

    def norm(name, module):
        variables[f"{name}/layer_norm/gamma"] = module.weight.detach().numpy().copy()
        variables[f"{name}/layer_norm/beta"] = module.bias.detach().numpy().copy()

    matrix("decoder/embeddings", [hf.model.shared])
    for side in ("encoder", "decoder"):
        for number, layer in enumerate(getattr(hf.model, side).layers):
            place, own = f"{side}/layer_{number}", layer.self_attn
            matrix(f"{place}/self_attention/linear_0", [own.q_proj, own.k_proj, own.v_proj])
            matrix(f"{place}/self_attention/linear_1", [own.out_proj])
            norm(f"{place}/self_attention", layer.self_attn_layer_norm)
            if side == "decoder":
                across = layer.encoder_attn
                matrix(f"{place}/attention/linear_0", [across.q_proj])
                matrix(f"{place}/attention/linear_1", [across.k_proj, across.v_proj])
                matrix(f"{place}/attention/linear_2", [across.out_proj])
                norm(f"{place}/attention", layer.encoder_attn_layer_norm)
            matrix(f"{place}/ffn/linear_0", [layer.fc1])
            matrix(f"{place}/ffn/linear_1", [layer.fc2])
            norm(f"{place}/ffn", layer.final_layer_norm)
    hf.tie_weights()
    return variables


def test_a_marian_comes_back(marian, pieces, vocabulary, tmp_path):
    """Weights, logits and a whole translation, from the folder alone."""
    aliases = {
        "encoder/embeddings_0/weight": "decoder/embeddings/weight",
        "decoder/projection/weight": "decoder/embeddings/weight",
    }
    write_ctranslate2(tmp_path / "model.bin", store(marian), aliases)
    (tmp_path / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    files = [tmp_path / "model.bin", tmp_path / "vocabulary.json", pieces]
    convert_marian(files, tmp_path / "out")
    loaded, report = MarianMTModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    loaded.eval()
    assert not report["missing_keys"]
    expected = dict(marian.named_parameters())
    assert dict(loaded.named_parameters()).keys() == expected.keys()
    for name, parameter in loaded.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-6, atol=0)
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")(SENTENCES[0], return_tensors="pt")
    start = torch.tensor([[marian.config.pad_token_id, 5, 9]])
    with torch.no_grad():
        logits = [hf(ids["input_ids"], decoder_input_ids=start).logits for hf in (loaded, marian)]
    torch.testing.assert_close(*logits)
    generated = loaded.generate(ids["input_ids"], max_new_tokens=20)[0, 1:].tolist()
    assert loaded.config.pad_token_id not in generated[: generated.index(0)]
