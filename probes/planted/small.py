"""A design as a real causal model: Llama's code, a tokenizer of whole words, weights set by hand.

A word's embedding holds its hidden figures, W_Q, W_K and W_V read the design's part of them, and
W_O writes where nothing is read. The first token holds what a sink is found by. A last coordinate
gives all embeddings one norm, so that RMSNorm divides all by the same. Every other token, such as
"the", holds nothing and has the logit 0. Keys use those pairs of coordinates that rotate by less
than a thousandth over a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from probes.models.quiet import quiet_transformers
from probes.planted.design import GROUP, JUNK, N_KV_HEADS, N_LAYERS, READ, Design

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
D_HEAD, TURNING = 48, 3
"""The width of a head, and the pairs of coordinates that rotate and so stay empty."""

ROPE_THETA = 1e60
NORM = 30.0
"""Of every embedding."""

COMMON_READ = 0.1
"""The part of a common vector that queries read: all of it would cost the logits their digits."""

WRITTEN_SIZE = 0.01
"""Of what heads write, which must not move the norm of the stream."""


def save_planted(design: Design, carriers: Iterable[str], folder: Path) -> Path:
    """Build a design's model and save it with its tokenizer, for `probes.models.load_model`.

    Parameters
    ----------
    design
        What is planted in which words.
    carriers
        Texts in which the words are to be: their other words become tokens that hold nothing.
    folder
        Where it goes; a folder that is there is written over.

    Returns
    -------
    Path
        The folder.
    """
    tokenizer = make_tokenizer(design.words, carriers)
    with quiet_transformers():
        build(design, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(words: Iterable[str], carriers: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words and marks of punctuation; other words are spelt."""
    plain = {piece for text in carriers for piece in re.findall(r"\w+|[^\w\s]+", text)}
    signs = set(map(chr, range(33, 127)))
    vocabulary = [*SPECIALS, *words, *sorted((plain | signs) - set(words))]
    vocabulary += [f"##{sign}" for sign in sorted(signs)]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    backend = Tokenizer(models.WordPiece(numbers, unk_token="<unk>"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{name}_token": f"<{short}>" for name, short in _SPECIAL_NAMES.items()},
        padding_side="right",
    )


_SPECIAL_NAMES = {"pad": "pad", "bos": "s", "eos": "/s", "unk": "unk"}


@torch.no_grad()
def build(design: Design, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the model of a design."""
    n_figures = design.hidden.shape[1]
    d_model = n_figures + READ + 2
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        intermediate_size=8,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_KV_HEADS * GROUP,
        num_key_value_heads=N_KV_HEADS,
        head_dim=D_HEAD,
        attention_bias=True,
        tie_word_embeddings=True,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        **{
            f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<{short}>")
            for name, short in _SPECIAL_NAMES.items()
            if name != "unk"
        },
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "norm" in name else 0.0)
    embeddings = model.model.embed_tokens.weight
    ids = torch.tensor(tokenizer.convert_tokens_to_ids(list(design.words)))
    embeddings[ids, :n_figures] = design.hidden
    embeddings[tokenizer.bos_token_id, -2] = 1
    embeddings[:, -1] = (NORM**2 - embeddings.square().sum(1)).sqrt()
    scale = NORM / d_model**0.5  # of x over the embedding
    own = _place_coordinates()
    shared = torch.zeros(D_HEAD)
    unit = design.planting.common * design.planting.key_scale * READ**0.5
    shared[own[:READ]] = COMMON_READ * unit / READ**0.5
    shared[own[READ:-1]] = (1 - COMMON_READ**2) ** 0.5 * unit / JUNK**0.5
    for layer, block in enumerate(model.model.layers):
        attention = block.self_attn
        queries, keys, values, written = (
            getattr(attention, f"{name}_proj").weight for name in ("q", "k", "v", "o")
        )
        for kv_head in range(N_KV_HEADS):
            head = layer * N_KV_HEADS + kv_head
            for part, read, junk in (
                (keys, design.key_map, design.key_junk),
                (values, design.value_map, design.value_junk),
            ):
                whole = torch.cat([read[head], junk[head]], 1).T * scale
                part[kv_head * D_HEAD + own[:-1], :n_figures] = whole
            keys[kv_head * D_HEAD + own[-1], -2] = scale
            attention.k_proj.bias[kv_head * D_HEAD : (kv_head + 1) * D_HEAD] = shared
            for group in range(GROUP):
                first = (kv_head * GROUP + group) * D_HEAD
                queries[first + own[:READ], :n_figures] = design.query_map[head, group].T * scale
                sink = design.sink_map[head, group] * D_HEAD**0.5
                queries[first + own[-1], :n_figures] = sink * scale
                written[n_figures : n_figures + READ, first + own[:READ]] = (
                    WRITTEN_SIZE * torch.eye(READ)
                )
    return model.eval()


def _place_coordinates() -> Tensor:
    """Return which coordinates of a head are used: those read, the junk, and the sink's last."""
    turns = torch.arange(D_HEAD) % (D_HEAD // 2) < TURNING
    return torch.nonzero(~turns)[:, 0][: READ + JUNK + 1]
