"""The three spaces in which keys and values are compared, as coordinates read from a capture.

``raw``: the vectors as they are. ``centred``: minus their mean over the occurrences of the same
template. ``functional``: centred, in the metric in which the model itself tells vectors apart: for
keys the mean squared gap in attention logits, for values the length of what the head writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float, Int
from torch import Tensor

from probes.naming import require_known
from probes.similarity.catalogue.places import SPACES, Space
from probes.similarity.coordinates import centre, to_coordinates

if TYPE_CHECKING:
    from probes.capture.store import Store

__all__ = [
    "SPACES",
    "HeadMetrics",
    "Space",
    "describe_functional_space",
    "read_heads",
    "read_metrics",
    "to_space",
]


@dataclass(frozen=True)
class HeadMetrics:
    """The functional metrics of one layer's kv heads.

    ``key`` is S = E[q q'] * logit_scale^2 over the group's queries at the attending words (with
    rotary positions, each turned back by the attended position, which averages over the relative
    positions seen); ``value`` is G, the sum of W_O W_O' over the group's heads. Then
    d_K(i,j)^2 = (k_i - k_j)' S (k_i - k_j) and d_V(i,j)^2 = (v_i - v_j)' G (v_i - v_j).
    """

    key: Float[Tensor, "kv_head d_head d_head"]
    value: Float[Tensor, "kv_head d_value d_value"]


def read_metrics(store: Store) -> list[HeadMetrics]:
    """Return the functional metrics of every layer of a capture."""
    count, constants = store.read_sum("query_count"), store.read_constants()
    metrics = []
    for layer in range(store.n_layers):
        group_size = store.number("n_heads", layer) / store.number("n_kv_heads", layer)
        moment = store.read_sum(f"query_moment.{layer}") / (count * group_size)
        key = moment * store.number("logit_scale", layer) ** 2
        metrics.append(HeadMetrics(key=key, value=constants[f"value_metric.{layer}"]))
    return metrics


def describe_functional_space(store: Store) -> list[str]:
    """Say in sentences how the functional space of a capture was made, as far as it may differ."""
    geometry = store.manifest["geometry"]
    stage = store.manifest["identity"]["key_stage"]
    numbers = [
        (store.number("n_heads", layer), store.number("n_kv_heads", layer))
        for layer in range(store.n_layers)
    ]
    groups = sorted({heads // kv_heads for heads, kv_heads in numbers})
    said = []
    if groups != [1]:
        sizes = " to ".join(str(size) for size in dict.fromkeys((groups[0], groups[-1])))
        said.append(
            f"The queries of the {sizes} heads that share a key are pooled, and what these heads "
            "write is added up."
        )
    if "rotary" in geometry["positions"]:
        how = (
            "queries and keys are compared as rotated to their positions"
            if stage in ("rotated", "attended")
            else "each query is turned back by the position it attends to, which averages over the "
            "relative positions seen"
        )
        said.append(f"Positions are {geometry['positions']}: {how}.")
    elif geometry["positions"] in ("ALiBi", "relative bias"):
        said.append(
            f"Positions are a bias of the logits ({geometry['positions']}), which depends on no "
            "key and is left out."
        )
    if geometry["qk_norm"]:
        said.append(
            "Keys are taken before QK-norm, which no metric can follow: distances are not those of "
            "the logits."
            if stage == "projected"
            else "Keys are taken after QK-norm, as the logits see them."
        )
    if any(store.number("softcap", layer) for layer in range(store.n_layers)):
        said.append(
            "Logits are capped: each query counts by the slope of the cap at the attended word."
        )
    return said


def read_heads(store: Store, name: Literal["k", "v"], layer: int) -> Float[Tensor, "kv_head n d"]:
    """Read one layer's keys or values with the heads in front."""
    return store.read(name, layer).transpose(0, 1).contiguous()


def to_space(
    vectors: Float[Tensor, "*head occurrence d_head"],
    space: str,
    *,
    metric: Float[Tensor, "*head d_head d_head"],
    templates: Int[Tensor, " occurrence"],
) -> Float[Tensor, "*head occurrence d_head"]:
    """Give the vectors' coordinates in a space; Euclidean geometry there is that space's geometry.

    The mean is taken within each template, because only words of the same sentence frame are in
    for each other before the same query.

    Raises
    ------
    UsageError
        If the space is unknown.
    """
    if space == "raw":
        return vectors
    if space == "centred":
        return centre(vectors, templates)
    require_known("space", space, SPACES)
    return to_coordinates(centre(vectors, templates), metric)
