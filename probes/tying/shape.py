"""The shape of a model: everything that decides which parameters it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.errors import UsageError
from probes.tying.variants import Variant, find_variant

Positions = Literal["learned", "none", "rotary"]


@dataclass(frozen=True)
class ModelShape:
    """A decoder, or, with encoder layers, an encoder-decoder.

    Attributes
    ----------
    vocabulary, length
        Tokens there are, and the most positions of a sequence.
    n_layers, n_encoder_layers
        Decoder blocks, and encoder blocks (0: a decoder alone). With an encoder, every decoder
        block also attends to the encoder's output.
    variant
        A name of `VARIANTS`; it holds for all attention of the model.
    positions
        ``learned`` vectors added to the embeddings; ``none``; or ``rotary``: queries and keys are
        rotated, values are taken before the rotation, and cross-attention has no positions.
    """

    vocabulary: int
    length: int
    d_model: int
    n_layers: int
    n_heads: int
    d_head: int
    d_feedforward: int
    variant: str = "separate"
    positions: Positions = "learned"
    n_encoder_layers: int = 0

    def __post_init__(self) -> None:
        sizes = {
            name: getattr(self, name)
            for name in (
                *("vocabulary", "length", "d_model", "n_layers", "n_heads"),
                *("d_head", "d_feedforward"),
            )
        }
        for name, size in sizes.items():
            if size < 1:
                raise UsageError(f"{name} is {size}; give 1 or more.")
        if self.n_encoder_layers < 0:
            raise UsageError(f"n_encoder_layers is {self.n_encoder_layers}; give 0 or more.")
        divisor = (2 if self.kind.value == "half" else 1) * (2 if self.positions == "rotary" else 1)
        if self.d_head % divisor:
            raise UsageError(
                f"d_head is {self.d_head}; {self.variant} with {self.positions} positions needs a "
                f"multiple of {divisor}, since channels are halved or rotated in pairs."
            )
        if self.n_heads % self.n_kv_heads:
            raise UsageError(
                f"{self.n_heads} query heads cannot share {self.n_kv_heads} kv heads evenly; give "
                "an even number of heads."
            )

    @property
    def kind(self) -> Variant:
        """What the variant shares."""
        return find_variant(self.variant)

    @property
    def n_kv_heads(self) -> int:
        """Key and value heads of a layer."""
        return self.kind.count_kv_heads(self.n_heads)

    @property
    def d_rotated(self) -> int:
        """How many of a head's channels, its last ones, rotary positions rotate."""
        if self.positions != "rotary":
            return 0
        return self.d_head // 2 if self.kind.value == "half" else self.d_head
