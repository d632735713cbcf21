"""Reading keys, values, queries and x at the wanted positions while a model runs.

Everything is gathered inside the hooks and copied, so that nothing pins a full activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from probes.capture.aim import Aim
from probes.errors import UnsupportedModelError, UsageError
from probes.models.geometry import AttentionGeometry, Site
from probes.models.model import Model
from probes.models.tap import Attended, Listener, listening

KeyStage = Literal["projected", "normed", "rotated", "attended"]
"""As W_K gives it, after QK-norm (where there is one), rotated, or as the logits use it.

The last two differ where a model norms keys by weights after their rotation. There, normed keys are
divided by their length alone, and rotated ones are not read.
"""

KEY_STAGES = get_args(KeyStage)
AS_ATTENDED: tuple[KeyStage, ...] = ("rotated", "attended")
"""The stages that are read where the model attends."""


def require_stage(model: Model, geometry: AttentionGeometry, key_stage: KeyStage) -> None:
    """Refuse rotated keys of a model that norms them after that.

    Raises
    ------
    UsageError
        If it does.
    """
    if key_stage == "rotated" and any(how.gain("key") is not None for how in geometry.layers):
        raise UsageError(
            f"{model.name} norms keys after it rotates them, and what lies between is not read. "
            "Give the key stage attended: keys as the logits use them."
        )


class Enough(Exception):  # noqa: N818 - not an error: it ends a forward pass whose rest is not needed
    """Raised in the last layer's attention, when all that is wanted has been read."""


@dataclass
class Reading:
    """What one batch gave, a tensor per layer.

    ``k`` [occurrence, kv_head, d_head], ``v`` [occurrence, kv_head, d_value], ``x`` [occurrence,
    d_input]; ``attention`` [query, head], the weight of the attended token; ``x_query`` [sample,
    d_model]; ``query_moment`` [kv_head, d_head, d_head], the sum over the batch's queries and the
    group's heads of q q', each query turned back by the attended position so that its product with
    the key stage stored is the logit (with QK-norm and projected keys: its product with the normed
    key, since no matrix undoes a norm). Where logits are capped, each query is scaled by the slope
    of the cap at the attended word, so that its product with a small change of the key is the
    change of the capped logit.
    """

    k: list[Tensor]
    v: list[Tensor]
    x: list[Tensor]
    attention: list[Tensor]
    x_query: list[Tensor]
    query_moment: list[Tensor]


class Reader(Listener):
    """Reads one site into a `Reading`, batch by batch, while its hooks are attached.

    Between `finish` and the next `start` the hooks stay silent.
    """

    reading: type[Reading] = Reading

    def __init__(self, model: Model, *, site: Site, key_stage: KeyStage) -> None:
        self.model = model
        self.geometry = model.at(site)
        require_stage(model, self.geometry, key_stage)
        self.key_stage = key_stage
        self.aim: Aim | None = None
        self._parts: dict[str, dict[int, Tensor]] = {}

    @contextmanager
    def attached(self) -> Iterator[Reader]:
        """Attach all hooks and the attention tap; remove them in every case."""
        with listening(self.model.hf, self.geometry, self):
            yield self

    def start(self, aim: Aim) -> None:
        """Say where the next forward pass is to be read."""
        self.aim = aim
        self._parts = {field.name: {} for field in fields(self.reading)}

    def run(self, aim: Aim, trunk: Any, **inputs: Any) -> None:
        """Run one forward pass, as far as there is something to read."""
        self.start(aim)
        try:
            with suppress(Enough):
                trunk(**inputs)
        finally:
            self.aim = None

    def finish(self) -> Reading:
        """Return what the layers gave; a layer that takes its keys from another has that one's x.

        Raises
        ------
        UnsupportedModelError
            If a layer was not heard.
        """
        self.aim = None
        parts, self._parts = self._parts, {}
        for place, layer in enumerate(self.geometry.layers):
            if layer.source is not None:
                for name in ("k", "x"):
                    if layer.source in parts[name]:
                        parts[name].setdefault(place, parts[name][layer.source])
        n_layers = self.geometry.n_layers
        for name, found in parts.items():
            if len(found) != n_layers:
                raise UnsupportedModelError(
                    f"{self.model.name} showed {name} in {len(found)} of its {n_layers} layers at "
                    f"the {self.geometry.site} site. Please report it."
                )
        return self.reading(
            **{name: [found[i] for i in range(n_layers)] for name, found in parts.items()}
        )

    def on_keys(self, layer: int, x: Tensor, output: Tensor | None) -> None:
        """Read x and, before any rotation, the keys."""
        if self.aim is None:
            return
        aim = self.aim.on(x.device)
        pieces = x[aim.row, aim.position]
        self._parts["x"][layer] = aim.average(pieces)
        if self.key_stage in AS_ATTENDED:
            return
        how = self.geometry.layers[layer]
        if output is None:
            keys = how.key.project(pieces)
        else:
            # A copy, since of a fused projection this would pin queries and values too.
            keys = how.key.split(output[aim.row, aim.position]).clone()
        if self.key_stage == "normed":
            keys = how.norm("key", keys)
        self._parts["k"][layer] = aim.average(keys)

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        """Read the x of the sampled queries."""
        if self.aim is None:
            return
        aim = self.aim.on(x.device)
        rows, positions = aim.query_row[aim.sampled], aim.query_position[aim.sampled]
        self._parts["x_query"][layer] = x[rows, positions]

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Read values, attention weights and queries as the model uses them."""
        if self.aim is None:
            return
        aim = self.aim.on(attended.key.device)
        is_cross = self.geometry.site == "cross"
        before = 0 if is_cross else attended.key.shape[2] - attended.query.shape[2]
        where = (aim.row, slice(None), aim.position + before)
        self._parts["v"][layer] = aim.average(attended.value[where])
        if self.key_stage in AS_ATTENDED:
            self._parts["k"][layer] = aim.average(attended.key[where])
        weights = attended.weigh(aim.query_row, aim.query_position, causal=self.geometry.causal)
        index = aim.attended[:, None, None].expand(-1, weights.shape[1], 1)
        self._parts["attention"][layer] = weights.gather(2, index)[..., 0]
        queries = attended.query[aim.query_row, :, aim.query_position]
        self._parts["query_moment"][layer] = self.sum_queries(layer, queries, attended, aim)
        if layer == self.geometry.n_layers - 1:
            raise Enough

    def sum_queries(self, layer: int, q: Tensor, attended: Attended, aim: Aim) -> Tensor:
        """Add up q q' over queries and the heads of a group: the query moment of `Reading`."""
        how = self.geometry.layers[layer]
        turned = self.turn_queries(layer, q, attended, aim)
        grouped = torch.unflatten(turned, 1, (how.n_kv_heads, how.group_size)).double()
        return torch.einsum("qkgd,qkge->kde", grouped, grouped)

    def turn_queries(self, layer: int, q: Tensor, attended: Attended, aim: Aim) -> Tensor:
        """Bring queries to the stage whose product with the keys stored is the logit.

        [query, head, d_head] as they attend, to the same shape; see `Reading`.
        """
        how = self.geometry.layers[layer]
        if attended.scaling != how.logit_scale:  # OPT scales its queries before it attends
            q = q * (attended.scaling / how.logit_scale)
        if self.key_stage not in AS_ATTENDED:
            q = how.turn_back(q, aim.attended)
        if attended.softcap is not None:
            q = q * attended.slopes(aim.query_row, aim.query_position, aim.attended)[..., None]
        return q
