"""How long a training step of ours takes, beside an equally sized nanoGPT-style step.

``python -m benchmarks.tying`` trains the model of `probes.tying` (separate projections, learned
positions) and a plain one written here after Karpathy's nanoGPT: fused query-key-value projection,
scaled dot-product attention, GELU, shared embeddings, no biases, AdamW, clipped gradients. The two
have the same parameters and read the same batches; they take turns, and the fastest step of each
counts. On a busy machine, run it with OMP_NUM_THREADS=1: processor time is compared.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.capture import describe_machine
from probes.tying.batch import Batch
from probes.tying.packing import PackedText
from probes.tying.shape import ModelShape
from probes.tying.training import TrainingSettings, make_optimiser, take_step
from probes.tying.transformer import Transformer
from probes.words import load_corpus

TARGET = 1.3
SIZES = ((64, 2, 4), (128, 4, 4), (256, 4, 8))
"""d_model, layers, heads."""


class PlainBlock(nn.Module):
    """nanoGPT's block."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(d_model, bias=False)
        self.attend = nn.Linear(d_model, 3 * d_model, bias=False)
        self.project = nn.Linear(d_model, d_model, bias=False)
        self.norm_2 = nn.LayerNorm(d_model, bias=False)
        self.up = nn.Linear(d_model, 4 * d_model, bias=False)
        self.down = nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, then feed forward."""
        batch, position, d_model = x.shape
        q, k, v = (
            part.view(batch, position, self.heads, d_model // self.heads).transpose(1, 2)
            for part in self.attend(self.norm_1(x)).split(d_model, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).contiguous().view(batch, position, d_model))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class PlainModel(nn.Module):
    """nanoGPT's model."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.d_model)
        self.places = nn.Embedding(shape.length, shape.d_model)
        self.blocks = nn.ModuleList(
            PlainBlock(shape.d_model, shape.n_heads) for _ in range(shape.n_layers)
        )
        self.norm = nn.LayerNorm(shape.d_model, bias=False)
        self.head = nn.Linear(shape.d_model, shape.vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def make_ours(shape: ModelShape, settings: TrainingSettings) -> Callable[[Batch], Tensor]:
    """Return our step."""
    model = Transformer(shape)
    optimiser = make_optimiser(model, settings)
    return lambda batch: take_step(model, model, optimiser, batch, settings)


def make_plain(shape: ModelShape, settings: TrainingSettings) -> Callable[[Batch], Tensor]:
    """Return the plain step, with the optimiser as nanoGPT makes it."""
    model = PlainModel(shape)
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(p.numel() for p in Transformer(shape).parameters())
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)

    def step(batch: Batch) -> Tensor:
        logits = model(batch.tokens)
        loss = functional.cross_entropy(logits.view(-1, logits.size(-1)), batch.targets.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def measure(shape: ModelShape, *, size: int, rounds: int) -> list[float]:
    """Return the fewest processor seconds of a step: ours, plain, ours with K = V, ours rotary."""
    settings = TrainingSettings(steps=10_000, batch_size=size, learning_rate=1e-3)
    task = PackedText(load_corpus(), length=shape.length)
    others = (replace(shape, variant="tied"), replace(shape, positions="rotary"))
    steps = [
        make_ours(shape, settings),
        make_plain(shape, settings),
        *(make_ours(other, settings) for other in others),
    ]
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 3):
        batch = task.batch(turn, size=size, seed=0)
        for way in random.Random(turn).sample(range(len(steps)), len(steps)):
            began = time.process_time()
            steps[way](batch)
            if turn >= 3:
                seconds[way].append(time.process_time() - began)
    return [min(spent) for spent in seconds]


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--size", type=int, default=8, help="sequences per batch")
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    print(
        f"{asked.size} x {asked.length} bytes per step, fastest of {asked.rounds}; "
        f"{describe_machine()}\n"
    )
    print(
        "| d_model, layers, heads | parameters | plain, ms | ours, ms | ratio | K = V, ms | "
        "rotary, ms |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for d_model, layers, heads in SIZES:
        shape = ModelShape(257, asked.length, d_model, layers, heads, d_model // heads, 4 * d_model)
        count = sum(p.numel() for p in Transformer(shape).parameters())
        ours, plain, tied, rotary = (
            1000 * s for s in measure(shape, size=asked.size, rounds=asked.rounds)
        )
        print(
            f"| {d_model}, {layers}, {heads} | {count:,} | {plain:.1f} | {ours:.1f} | "
            f"{ours / plain:.2f} | {tied:.1f} | {rotary:.1f} |"
        )
    print(f"\nThe target is {TARGET}.")


if __name__ == "__main__":
    main()
