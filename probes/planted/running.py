"""Plants in a real model: keys and values of words are replaced while it runs, in chosen heads.

Nothing upstream of a head is changed, and the weights stay. In a planted head words have one of two
classes. Their keys are the head's mean key, moved to one side or the other along the direction in
which its queries differ most from nothing, so that the words of one class are attended to and their
keys are alike; a little of each word's own key is left. Values are shuffled among the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probes.capture.store import Store
from probes.causal.edits import Edit, EditedPart, Made, intervening
from probes.similarity.spaces import read_heads, read_metrics

if TYPE_CHECKING:
    from probes.models.model import Model

CLASS_LOGIT = 3.0
"""By this many nats a class is above or below the mean, root mean square over queries."""

OWN_PART = 0.25
"""How much is left of what a word's key is apart from the mean."""


@dataclass(frozen=True)
class Plant:
    """What is in the planted heads of one layer, for each token that is planted.

    Attributes
    ----------
    tokens
        Their numbers in the vocabulary.
    keys, values
        Before any rotation.
    """

    layer: int
    kv_heads: tuple[int, ...]
    tokens: Int[Tensor, " token"]
    keys: Float[Tensor, "token kv_head d_key"]
    values: Float[Tensor, "token kv_head d_value"]


def plant_heads(
    store: Store, model: Model, heads: Sequence[tuple[int, int]], *, seed: int
) -> list[Plant]:
    """Draw what to plant, from the keys and values that a capture of the same model has.

    Parameters
    ----------
    store
        A capture of coordinations by the model as it is.
    heads
        (layer, kv head) of those that are planted.
    seed
        Of the classes and of the values' dealing; each head has its own.
    """
    random = torch.Generator().manual_seed(seed)
    occurrences = store.table("occurrences")
    marked = (occurrences["slot"] >= 0).to_numpy()  # the others are contexts read whole
    occurrences = occurrences[marked]
    words = sorted(occurrences["word"].unique())
    pieces = [model.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    token_of = {word: own[-1] for word, own in zip(words, pieces, strict=True)}
    tokens, number = torch.unique(
        torch.tensor([token_of[word] for word in occurrences["word"]]), return_inverse=True
    )
    metrics, rows = read_metrics(store), torch.from_numpy(np.flatnonzero(marked))
    plants = []
    for layer in sorted({layer for layer, _ in heads}):
        mine = tuple(head for place, head in heads if place == layer)
        k, v = (
            _average(read_heads(store, name, layer)[list(mine)][:, rows], number)
            for name in ("k", "v")
        )
        keys, values = [], []
        for place, head in enumerate(mine):
            spread, directions = torch.linalg.eigh(metrics[layer].key[head])
            step = CLASS_LOGIT * directions[:, -1] / spread[-1].sqrt()
            side = torch.randperm(len(tokens), generator=random) % 2 * 2.0 - 1
            mean = k[place].mean(0)
            keys.append(mean + OWN_PART * (k[place] - mean) + side[:, None] * step.float())
            values.append(v[place][torch.randperm(len(tokens), generator=random)])
        plants.append(Plant(layer, mine, tokens, torch.stack(keys, 1), torch.stack(values, 1)))
    return plants


def _average(
    vectors: Float[Tensor, "kv_head occurrence d"], number: Int[Tensor, " occurrence"]
) -> Float[Tensor, "kv_head token d"]:
    count = torch.bincount(number)
    sums = vectors.new_zeros(len(vectors), len(count), vectors.shape[-1])
    return sums.index_add_(1, number, vectors) / count[:, None]


@contextmanager
def planting(model: Model, plants: Sequence[Plant]) -> Iterator[None]:
    """Let a model run with plants wherever their tokens are; hooks are removed in every case.

    Raises
    ------
    UsageError
        If a layer or kv head does not exist.
    """
    heard: list[Tensor] = []

    def hear(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        heard[:] = [args[0]]

    def change(made: Made, plant: Plant, part: EditedPart) -> Tensor:
        new: Tensor = getattr(made, part).clone()
        number = torch.full((int(heard[0].max()) + 1,), -1).to(new.device)
        within = plant.tokens[plant.tokens < len(number)]
        number[within] = torch.arange(len(within)).to(new.device)  # tokens rise
        found = number[heard[0]]
        new[found >= 0] = getattr(plant, part).to(new)[found[found >= 0]]
        return new

    parts: tuple[EditedPart, ...] = ("keys", "values")
    edits = [
        Edit(
            part,
            partial(change, plant=plant, part=part),
            layer=plant.layer,
            kv_heads=plant.kv_heads,
        )
        for plant in plants
        for part in parts
    ]
    embeddings: nn.Module = model.hf.get_input_embeddings()
    handle = embeddings.register_forward_pre_hook(hear)
    try:
        with intervening(model.geometry, edits):
            yield
    finally:
        handle.remove()
