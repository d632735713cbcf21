"""From a layer's streamed moments to what the measures take: no stored activation is needed.

`CrossMoments` made here go into `closed_form_r2_from_moments`,
`canonical_correlations_from_moments`, `linear_cka_from_moments` and `tieability_from_moments`, as
they are, or through `CrossMoments.transform` in another space (`to_functional_space`).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from probes.capture.moments import LayerMoments
from probes.errors import UsageError
from probes.similarity.coordinates import metric_root
from probes.similarity.moments import CrossMoments
from probes.similarity.spaces import HeadMetrics


def head_moments(layer: LayerMoments, *, shift: int = 0) -> CrossMoments:
    """Return keys and values of each kv head; with `shift`, the values of a later head (cyclic).

    Head h's keys are beside the values of head ``(h + shift) % n_kv_heads``: any shift but 0 is
    the null of mismatched heads.
    """
    n_heads = len(layer.mean["k"])
    key_heads = torch.arange(n_heads)
    value_heads = (key_heads + shift) % n_heads
    return CrossMoments(
        layer.count,
        layer.mean["k"],
        layer.mean["v"][value_heads],
        layer.co_moment["k_k"],
        layer.co_moment["k_v"][key_heads, value_heads],
        layer.co_moment["v_v"][value_heads],
    )


def input_moments(layer: LayerMoments, of: Literal["k", "v"] = "v") -> CrossMoments:
    """Return x, in the place of the keys, beside the keys or the values of each kv head.

    A slice ``x @ A`` of it is ``input_moments(layer).transform(A, torch.eye(d_value))``.

    Raises
    ------
    UsageError
        If the moments were made without x.
    """
    if "x" not in layer.mean:
        raise UsageError("These moments hold no x. Capture them again, without --without-x.")
    n_heads = len(layer.mean[of])
    return CrossMoments(
        layer.count,
        layer.mean["x"].expand(n_heads, -1),
        layer.mean[of],
        layer.co_moment["x_x"].expand(n_heads, -1, -1),
        layer.co_moment[f"x_{of}"],
        layer.co_moment[f"{of}_{of}"],
    )


def query_metric(layer: LayerMoments, *, logit_scale: float) -> Float[Tensor, "kv_head d d"]:
    """Return S = E[q q'] * logit_scale^2 over the tokens and the heads of each group, float64.

    The queries are those of all tokens, where a capture of word pairs has those of head nouns.
    """
    mean = layer.mean["q"]
    second = layer.co_moment["q_q"] / layer.count + mean[..., :, None] * mean[..., None, :]
    by_group = torch.unflatten(second, 0, (len(layer.mean["k"]), -1))
    return by_group.mean(1) * logit_scale**2


def to_functional_space(moments: CrossMoments, metrics: HeadMetrics) -> CrossMoments:
    """Return the moments of the coordinates in which distances are those the model sees."""
    return moments.transform(metric_root(metrics.key), metric_root(metrics.value))
