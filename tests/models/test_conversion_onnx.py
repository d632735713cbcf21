"""Weights out of ONNX graphs that are quantised as onnxruntime does it, against a direct sum."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, processors
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from probes.errors import UnsupportedModelError
from probes.models.conversion.llama import convert_llama
from probes.models.conversion.onnx import read_onnx_weights
from probes.models.conversion.t5 import convert_t5
from tests.models.packages import reference_model
from tests.tiny import tiny_tokenizer


class GraphWriter:
    """A graph with the nodes and names that torch's export and onnxruntime's quantisation make."""

    def __init__(self):
        self.nodes, self.stored = [], []

    def store(self, name, values):
        self.stored.append(numpy_helper.from_array(np.asarray(values), name))

    def plain(self, name, values):
        self.store(name, np.asarray(values, dtype=np.float32))

    def embedding(self, name, values):
        """Store a table in uint8 with one scale; return it as it can be read back."""
        low, high = values.min(), values.max()
        scale = np.float32((high - low) / 255)
        zero_point = np.uint8(round(float(-low / scale)))
        quantised = np.clip(np.round(values / scale) + zero_point, 0, 255).astype(np.uint8)
        self._triple(name, quantised, scale, zero_point)
        return (quantised.astype(np.float32) - np.float32(zero_point)) * scale

    def linear(self, path, values, *, zero_points=True):
        """Store a weight ``[output, input]`` in int8 by columns; return it as it is read back."""
        number = f"onnx::MatMul_{len(self.stored)}"
        n_outputs = len(values)
        scales = (np.abs(values).max(axis=1) / 120).astype(np.float32)
        points = np.arange(n_outputs) % 5 - 2 if zero_points else np.zeros(n_outputs)
        points = points.astype(np.int8)
        quantised = np.empty((values.shape[1], n_outputs), dtype=np.int8)
        expected = np.empty_like(values)
        for row in range(n_outputs):  # a row of torch's weight is a column here
            column = np.clip(np.round(values[row] / scales[row]) + points[row], -128, 127)
            quantised[:, row] = column
            expected[row] = (column.astype(np.float32) - points[row]) * scales[row]
        self._triple(number, quantised, scales, points)
        self._node("MatMulInteger", f"/{path.replace('.', '/')}/MatMul_quant", number)
        return expected

    def _triple(self, name, quantised, scale, zero_point):
        self.store(f"{name}_quantized", quantised)
        self.store(f"{name}_scale", scale)
        self.store(f"{name}_zero_point", zero_point)

    def _node(self, kind, name, weight):
        extra = ["point", f"{weight}_zero_point"]
        inputs = ["x", f"{weight}_quantized", *(extra if kind == "MatMulInteger" else [])]
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name=name))

    def write(self, path):
        activations = helper.make_node("MatMul", ["a", "b"], ["c"], name="/attention/MatMul")
        graph = helper.make_graph([*self.nodes, activations], "g", [], [], self.stored)
        path.write_bytes(helper.make_model(graph).SerializeToString())


def export(hf, names, path, *, prefix=""):
    """Write some of a model's weights as a graph, and put what can be read back in the model."""
    writer = GraphWriter()
    parameters = dict(hf.named_parameters(remove_duplicate=False))
    for name in names:
        parameter, shown = parameters[name], prefix + name
        values = parameter.detach().numpy().copy()
        if values.ndim == 1:
            writer.plain(shown, values)
            continue
        if any(part in name for part in ("embed_tokens", "shared", "relative_attention_bias")):
            values = writer.embedding(shown, values)
        else:
            values = writer.linear(shown.removesuffix(".weight"), values)
        parameter.data = torch.from_numpy(values)
    writer.write(path)


def test_every_kind_of_weight_is_read_as_it_was_stored(tmp_path):
    random = np.random.default_rng(0)
    writer = GraphWriter()
    weight, table = random.normal(size=(5, 3)), random.normal(size=(7, 4)) + 0.3
    expected = {
        "layers.1.down.weight": writer.linear("layers.1.down", weight.astype(np.float32)),
        "embed.weight": writer.embedding("embed.weight", table.astype(np.float32)),
        "norm.weight": random.normal(size=6).astype(np.float32),
    }
    writer.plain("norm.weight", expected["norm.weight"])
    writer.plain("/rotary/Constant.1", [1.0])
    writer.plain("onnx::Mul.7", [1.0])
    writer.write(tmp_path / "g.onnx")
    found = read_onnx_weights(tmp_path / "g.onnx")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == torch.float32
        assert found[name].is_contiguous()
        assert torch.equal(found[name], torch.from_numpy(values)), name


def test_a_float_product_is_turned(tmp_path):
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    node = helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y"], name="/enc/q/MatMul")
    stored = [numpy_helper.from_array(values, "onnx::MatMul_1")]
    model = helper.make_model(helper.make_graph([node], "g", [], [], stored))
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    found = read_onnx_weights(tmp_path / "g.onnx")
    assert found["enc.q.weight"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert len(found) == 1


def test_weights_in_another_file_are_not_read(tmp_path):
    """The place is up to the file: it could be any path on the disk."""
    tensor = TensorProto(name="a.weight", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    onnx.save_model(model, tmp_path / "g.onnx")
    with pytest.raises(UnsupportedModelError, match=r"another file \(a\.weight"):
        read_onnx_weights(tmp_path / "g.onnx")


@pytest.fixture
def llama(tmp_path):
    """A tied Llama's export, whose head was quantised apart from the embedding."""
    hf = reference_model()
    hf.save_pretrained(tmp_path / "in")
    tiny_tokenizer().save_pretrained(tmp_path / "in")
    (tmp_path / "in" / "model.safetensors").unlink()
    names = [name for name, _ in hf.named_parameters()]
    export(hf, names, tmp_path / "in" / "model.onnx")
    hf.tie_weights()
    return hf, tmp_path / "in" / "model.onnx"


def add_head(file, values):
    """Add the head that the export of a tied model has, quantised apart from the embedding."""
    writer = GraphWriter()
    writer.linear("lm_head", values)
    model = onnx.load(file)
    for tensor in writer.stored:  # the first layer's weight is called onnx::MatMul_0 already
        tensor.name = f"head_{tensor.name}"
    writer.nodes[0].input[1] = f"head_{writer.nodes[0].input[1]}"
    model.graph.initializer.extend(writer.stored)
    model.graph.node.extend(writer.nodes)
    onnx.save_model(model, file)


@pytest.mark.parametrize("has_head", [False, True])
def test_a_llama_comes_back(llama, has_head, tmp_path):
    reference, file = llama
    if has_head:
        add_head(file, reference.lm_head.weight.detach().numpy() + 1)
    converted = convert_llama([file], tmp_path / "out")
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()
    for name, expected in reference.named_parameters():
        assert torch.equal(loaded.get_parameter(name), expected), name
        assert torch.equal(converted.get_parameter(name), expected), name
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, reference(ids).logits)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert (config["architectures"], config["dtype"]) == (["LlamaForCausalLM"], "float32")
    text = "The black fox, quickly."
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]


def test_a_graph_that_lacks_a_weight_is_refused(llama, tmp_path):
    _, file = llama
    model = onnx.load(file)
    del model.graph.node[0]
    onnx.save_model(model, file)
    with pytest.raises(UnsupportedModelError, match="not those of a LlamaForCausalLM"):
        convert_llama([file], tmp_path / "out")


@pytest.fixture
def t5(tmp_path):
    """A T5 with a head of its own, exported as encoder and decoder."""
    torch.manual_seed(5)
    config = T5Config(
        vocab_size=40,
        d_model=24,
        d_kv=5,
        d_ff=36,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    hf = T5ForConditionalGeneration(config).eval()
    hf.lm_head.weight = torch.nn.Parameter(torch.randn(40, 24))
    names = [name for name, _ in hf.named_parameters()]
    encoder = [name for name in names if name.startswith("encoder.")]
    decoder = [name for name in names if not name.startswith("encoder.")]
    table = hf.shared.weight.detach().clone()
    export_encoder(hf, encoder, table, tmp_path / "encoder.onnx")
    export(hf, decoder, tmp_path / "decoder.onnx", prefix="m.")
    files = [tmp_path / name for name in ("encoder.onnx", "decoder.onnx", "tokenizer.json")]
    write_tokenizer(files[2])
    return hf, files


def export_encoder(hf, names, table, path):
    """Write the encoder as a module called ``enc``, with a copy of the embedding."""
    writer = GraphWriter()
    writer.embedding("enc.embed_tokens.weight", table.numpy())
    for name in names:
        parameter, shown = hf.get_parameter(name), f"enc.{name.removeprefix('encoder.')}"
        values = parameter.detach().numpy().copy()
        if values.ndim == 1:
            writer.plain(shown, values)
            continue
        if "relative_attention_bias" in name:
            values = writer.embedding(shown, values)
        else:
            values = writer.linear(shown.removesuffix(".weight"), values)
        parameter.data = torch.from_numpy(values)
    writer.write(path)


def write_tokenizer(path):
    """Write a tokenizer that cuts and pads by itself, as the package's does."""
    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{letter}" for letter in "abcdefghij")]
    backend = Tokenizer(models.Unigram([(piece, -2.0) for piece in pieces], unk_id=2))
    backend.add_special_tokens(pieces[:3])
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    backend.save(str(path))


def test_a_t5_comes_back_with_a_head_of_its_own(t5, tmp_path):
    """Read by `from_pretrained`, it generates the same, with logits that were not rescaled."""
    reference, files = t5
    converted = convert_t5(files, tmp_path / "out")
    loaded = T5ForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    assert not loaded.config.scale_decoder_outputs
    assert not torch.equal(loaded.lm_head.weight, loaded.shared.weight)
    expected = dict(reference.named_parameters())
    for model in (converted, loaded):
        found = dict(model.named_parameters())
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    ids, targets = torch.arange(3, 20)[None], torch.tensor([[0, 7, 9, 30]])
    with torch.no_grad():
        logits = loaded(ids, decoder_input_ids=targets, use_cache=False).logits
        by_hand = reference.decoder(
            targets,
            encoder_hidden_states=reference.encoder(ids).last_hidden_state,
            use_cache=False,
        ).last_hidden_state
        torch.testing.assert_close(logits, by_hand @ reference.lm_head.weight.T)
        # transformers' cache counts on as many decoder layers as encoder layers
        greedy = {"max_new_tokens": 12, "do_sample": False, "use_cache": False}
        assert torch.equal(loaded.generate(ids, **greedy), reference.generate(ids, **greedy))


def test_a_t5s_tokenizer_neither_cuts_nor_pads(t5, tmp_path):
    _, files = t5
    convert_t5(files, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("▁a▁b▁c▁d▁e▁f▁g")["input_ids"]
    assert ids == [3, 4, 5, 6, 7, 8, 9, 1]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("▁a")["input_ids"] == [3, 1]


def test_two_tables_of_words_are_refused(t5, tmp_path):
    reference, files = t5
    names = [name for name, _ in reference.named_parameters() if name.startswith("encoder.")]
    export_encoder(reference, names, reference.shared.weight.detach() * 2, files[0])
    with pytest.raises(UnsupportedModelError, match="embed words differently"):
        convert_t5(files, tmp_path / "out")
