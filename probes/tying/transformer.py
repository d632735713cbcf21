"""A decoder and an encoder-decoder: pre-norm, no biases, one embedding for input and output."""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu

from probes.errors import UsageError
from probes.tying.attention import Attention
from probes.tying.shape import ModelShape


class FeedForward(nn.Module):
    """Up, GELU, down."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.d_model, shape.d_feedforward, bias=False)
        self.down = nn.Linear(shape.d_feedforward, shape.d_model, bias=False)

    def forward(
        self, x: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position d_model"]:
        """Apply the layer at every position."""
        return self.down(gelu(self.up(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Self-attention, cross-attention if there is an encoder, feed-forward; a norm before each."""

    def __init__(self, shape: ModelShape, *, causal: bool, cross: bool) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(shape.d_model, bias=False)
        self.attention = Attention(shape, causal=causal)
        if cross:
            self.norm_cross = nn.LayerNorm(shape.d_model, bias=False)
            self.cross = Attention(shape, causal=False, cross=True)
        self.norm_feedforward = nn.LayerNorm(shape.d_model, bias=False)
        self.feedforward = FeedForward(shape)

    def forward(
        self,
        x: Float[Tensor, "batch position d_model"],
        source: Float[Tensor, "batch source_position d_model"] | None = None,
    ) -> Float[Tensor, "batch position d_model"]:
        """Add what each part has to say to the residual stream."""
        x = x + self.attention(self.norm_attention(x))
        if source is not None:
            x = x + self.cross(self.norm_cross(x), source)
        return x + self.feedforward(self.norm_feedforward(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A model of a shape, with initial weights that follow from a seed.

    Every parameter's initial values follow from the seed and the parameter's name: two variants
    start from the same numbers wherever they have a parameter of one name and shape in common.
    Matrices start normal with standard deviation 1 / sqrt(inputs); those that write to the residual
    stream also over sqrt(2 x blocks), as in GPT-2; embeddings with 0.02.
    """

    def __init__(self, shape: ModelShape, *, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        has_encoder = shape.n_encoder_layers > 0
        self.embedding = nn.Embedding(shape.vocabulary, shape.d_model)
        if shape.positions == "learned":
            self.positions = nn.Embedding(shape.length, shape.d_model)
        self.encoder = nn.ModuleList(
            Block(shape, causal=False, cross=False) for _ in range(shape.n_encoder_layers)
        )
        if has_encoder:
            self.norm_encoder = nn.LayerNorm(shape.d_model, bias=False)
        self.blocks = nn.ModuleList(
            Block(shape, causal=True, cross=has_encoder) for _ in range(shape.n_layers)
        )
        self.norm = nn.LayerNorm(shape.d_model, bias=False)
        self._draw_weights(seed)

    @torch.no_grad()
    def _draw_weights(self, seed: int) -> None:
        n_blocks = self.shape.n_layers + self.shape.n_encoder_layers
        for name, parameter in self.named_parameters():
            if parameter.ndim != 2:
                continue  # norms and maps from key to value start as the identity
            digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            if name.startswith(("embedding", "positions")):
                spread = 0.02
            else:
                spread = parameter.shape[1] ** -0.5
            if name.endswith(("output.weight", "down.weight")):
                spread /= (2 * n_blocks) ** 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)

    def forward(
        self,
        tokens: Int[Tensor, "batch position"],
        source: Int[Tensor, "batch source_position"] | None = None,
    ) -> Float[Tensor, "batch position vocabulary"]:
        """Return the logits of the token that follows each position.

        Parameters
        ----------
        source
            What the encoder reads; none of it is padding.

        Raises
        ------
        UsageError
            If an encoder has no source, a decoder alone has one, or a sequence is too long.
        """
        if (source is not None) != (self.shape.n_encoder_layers > 0):
            raise UsageError(
                f"The model has {self.shape.n_encoder_layers} encoder layers and "
                f"{'a' if source is not None else 'no'} source; give a source to an encoder only."
            )
        memory = None
        if source is not None:
            memory = self._embed(source)
            for block in self.encoder:
                memory = block(memory)
            memory = self.norm_encoder(memory)
        x = self._embed(tokens)
        for block in self.blocks:
            x = block(x, memory)
        return self.norm(x) @ self.embedding.weight.T  # type: ignore[no-any-return]

    def _embed(
        self, tokens: Int[Tensor, "batch position"]
    ) -> Float[Tensor, "batch position d_model"]:
        if tokens.shape[1] > self.shape.length:
            raise UsageError(
                f"A sequence has {tokens.shape[1]} positions and the model {self.shape.length}."
            )
        x: Tensor = self.embedding(tokens)
        if self.shape.positions == "learned":
            x = x + self.positions.weight[: tokens.shape[1]]
        return x
