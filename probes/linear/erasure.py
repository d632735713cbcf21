"""Erasing a property from all heads at once, so that no linear probe can find it any more.

LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form"): among all
affine maps after which x and the labels are uncorrelated (so that no linear classifier does better
than always saying the most frequent class), the one that moves x least in mean square. The
package concept-erasure has it for one head; this is the same map batched over heads, and the tests
compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UsageError
from probes.linear.classes import number_classes, to_tensor
from probes.stats.checks import require_finite
from probes.stats.rounding import rounding_variance


@dataclass(frozen=True)
class Eraser:
    """x -> x - left @ right @ (x - mean), for every head.

    ``left`` and ``right`` have a rank of at most the number of classes minus 1.
    """

    mean: Float[Tensor, "*head d"]
    left: Float[Tensor, "*head d rank"]
    right: Float[Tensor, "*head rank d"]

    def __call__(
        self, x: Float[Tensor, "*head occurrence d"]
    ) -> Float[Tensor, "*head occurrence d"]:
        """Erase; the result has the dtype and device of x."""
        mean, left, right = (part.to(x) for part in (self.mean, self.left, self.right))
        return x - (x - mean[..., None, :]) @ right.mT @ left.mT

    @property
    def rank(self) -> Int[Tensor, "*head"]:
        """How many directions are taken away."""
        return (self.right.abs().amax(-1) > 0).sum(-1)


def fit_eraser(
    x: Float[Tensor, "*head occurrence d"],
    labels: Any,
) -> Eraser:
    """Fit the least change of x after which no linear probe can predict the labels.

    With W = cov(x)^(-1/2) and P the projector on the columns of W cov(x, z), it is
    r(x) = x - W^+ P W (x - mean) (theorem 4.3 of the paper).

    Parameters
    ----------
    x
        The vectors to erase from. Those the erasure is to hold for: on other vectors of the same
        kind a little is left, the less the more there are here.
    labels
        Classes (see `probes.linear.classes.number_classes`), or numbers [occurrence, column] with
        which no correlation is to be left.

    Returns
    -------
    Eraser
        float64. A head in which nothing is correlated with the labels is left as it is.

    Raises
    ------
    UsageError
        If shapes disagree, there are fewer than 2 occurrences, or a label is no class.
    NonFiniteError
        If an input is NaN or infinite.
    """
    require_finite("the inputs", x)
    n, d = x.shape[-2:]
    labels = to_tensor(labels)
    if n < 2 or len(labels) != n:
        raise UsageError(f"{len(labels)} labels for {n} vectors; give one each, for 2 or more.")
    labels = labels.to(x.device)
    z = labels if labels.ndim == 2 else torch.nn.functional.one_hot(number_classes(labels).number)
    mean = x.double().mean(-2)
    centred = x.double() - mean[..., None, :]
    target = z.double() - z.double().mean(0)
    eigenvalues, axes = torch.linalg.eigh(centred.mT @ centred / n)
    # Directions in which x never varies hold nothing, and must not be blown up.
    computed = eigenvalues[..., -1:] * d * torch.finfo(torch.float64).eps
    stored = rounding_variance(x.double().square().mean(-2), x.dtype)[..., None]
    real = eigenvalues > torch.maximum(computed, stored)
    root = torch.where(real, eigenvalues.clamp(min=0).sqrt(), 0.0)
    inverse = torch.where(real, 1 / root, 0.0)
    whiten = (axes * inverse[..., None, :]) @ axes.mT
    unwhiten = (axes * root[..., None, :]) @ axes.mT
    # Correlations by column, so that a rare class counts as much as a common one.
    scale = target.square().mean(0).sqrt()
    correlation = whiten @ (centred.mT @ target / n) / torch.where(scale > 0, scale, 1.0)
    u, s, _ = torch.linalg.svd(correlation, full_matrices=False)
    kept = u * (s > 1e-9)[..., None, :]
    return Eraser(mean=mean, left=unwhiten @ kept, right=kept.mT @ whiten)
