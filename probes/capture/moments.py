"""Counts, means and centred co-moments of x, q, k and v in every layer, made while text streams by.

They are what measures by covariance need, so a corpus of any length can be measured without any
activation being stored. The blocks of one layer, float64:

=======  ==================================  =================================================
block    shape                               what it serves
=======  ==================================  =================================================
``k_v``  key_head value_head d_head d_value  tieability, canonical correlations, CKA, of each
                                             head and of mismatched heads
``k_k``  kv_head d_head d_head               the same
``v_v``  kv_head d_value d_value             the same
``q_q``  head d_head d_head                  the query metric S
``x_x``  d_input d_input                     random heads, slices of x, ridge from x
``x_k``  kv_head d_input d_head              ridge from x to the keys
``x_v``  kv_head d_input d_value             ridge from x, or a slice of it, to the values
=======  ==================================  =================================================

Left out is what no measure asks for: co-moments of q with anything else, of keys (or values) across
heads. What grows fastest is ``x_x``; without x, a layer of SmolLM2-135M has 0.9 MiB and not 5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from probes.errors import NonFiniteError, UsageError
from probes.stats.co_moments import Joining

BLOCKS = {
    "k_v": "kd,le->klde",
    "k_k": "kd,ke->kde",
    "v_v": "kd,ke->kde",
    "q_q": "kd,ke->kde",
    "x_x": "d,e->de",
    "x_k": "d,ke->kde",
    "x_v": "d,ke->kde",
}
"""Block -> how the axes of its two vectors make up its own, as einsum writes it."""


@dataclass(frozen=True)
class LayerMoments:
    """Moments of one layer over `count` tokens, float64.

    Attributes
    ----------
    mean
        ``x`` [d_input], ``q`` [head, d_head], ``k`` [kv_head, d_head], ``v`` [kv_head, d_value].
    co_moment
        Block -> sum over tokens of the products of the *centred* vectors; see the table above.
    """

    count: int
    mean: dict[str, Tensor]
    co_moment: dict[str, Tensor]

    @classmethod
    def of(
        cls,
        *,
        q: Float[Tensor, "token head d_head"],
        k: Float[Tensor, "token kv_head d_head"],
        v: Float[Tensor, "token kv_head d_value"],
        x: Float[Tensor, "token d_input"] | None = None,
    ) -> LayerMoments:
        """Take the moments of one block of tokens; without `x`, the blocks with x are left out.

        Raises
        ------
        UsageError
            If there is no token, or not the same number of each.
        NonFiniteError
            If a number is NaN or infinite.
        """
        rows = {"q": q, "k": k, "v": v} | ({} if x is None else {"x": x})
        counts = {name: len(part) for name, part in rows.items()}
        if len(set(counts.values())) != 1 or not len(k):
            raise UsageError(
                f"Moments need the same tokens of every vector, at least one; {counts} came."
            )
        mean, centred = {}, {}
        for name, part in rows.items():
            exact = part.double()
            mean[name] = exact.mean(0)
            if not bool(mean[name].isfinite().all()):  # a mean is finite only if all its terms are
                raise NonFiniteError(f"{name} is NaN or infinite in one of {len(k)} tokens")
            centred[name] = exact - mean[name]
        co_moment = {}
        for block, pattern in BLOCKS.items():
            left, right = block.split("_")
            if {left, right} <= rows.keys():
                over_tokens = "n" + pattern.replace(",", ",n")
                co_moment[block] = torch.einsum(over_tokens, centred[left], centred[right])
        return cls(len(k), mean, co_moment)

    def merge(self, other: LayerMoments, *, in_place: bool = False) -> LayerMoments:
        """Join the moments of two blocks that share no token (Chan et al. 1983).

        Parameters
        ----------
        in_place
            Write over this one's co-moments, which spares the memory of new ones.

        Raises
        ------
        UsageError
            If the two are of other heads or widths, or one has x and the other has not.
        """
        shapes, others = ({n: t.shape for n, t in m.mean.items()} for m in (self, other))
        if shapes != others:
            raise UsageError(
                f"Moments of vectors of shapes {_tell(shapes)} cannot be joined with moments of "
                f"shapes {_tell(others)}; both must be of the same layer of the same model."
            )
        joining = Joining(self.count, other.count)
        gap = {name: other.mean[name] - mean for name, mean in self.mean.items()}
        co_moment = {}
        for block, mine in self.co_moment.items():
            left, right = block.split("_")
            co_moment[block] = joining.co_moments(
                mine,
                other.co_moment[block],
                gap[left],
                gap[right],
                BLOCKS[block],
                in_place=in_place,
            )
        mean = {name: joining.means(mine, other.mean[name]) for name, mine in self.mean.items()}
        return LayerMoments(self.count + other.count, mean, co_moment)

    def to_tensors(self, layer: int) -> dict[str, Tensor]:
        """Name the tensors as files hold them: ``mean.k.LAYER``, ``co_moment.k_v.LAYER``."""
        named = {f"count.{layer}": torch.tensor([self.count])}
        named |= {f"mean.{name}.{layer}": mean for name, mean in self.mean.items()}
        return named | {f"co_moment.{name}.{layer}": part for name, part in self.co_moment.items()}

    @classmethod
    def from_tensors(
        cls, names: Iterable[str], read: Callable[[str], Tensor], layer: int
    ) -> LayerMoments:
        """Read a layer from a file's tensors.

        Parameters
        ----------
        names
            What the file holds.
        read
            Gives the tensor of a name.
        """
        parts: dict[str, dict[str, Tensor]] = {"mean": {}, "co_moment": {}}
        for name in sorted(names):
            kind, _, rest = name.partition(".")
            what, _, place = rest.partition(".")
            if kind in parts and place == str(layer):
                parts[kind][what] = read(name)
        return cls(int(read(f"count.{layer}")), parts["mean"], parts["co_moment"])


class Moments:
    """Moments of all layers, updated with one block of tokens of one layer at a time.

    Parameters
    ----------
    n_layers
        How many layers there are; none has been updated yet.
    """

    def __init__(self, n_layers: int) -> None:
        self._layers: list[LayerMoments | None] = [None] * n_layers

    def layer(self, layer: int) -> LayerMoments:
        """Return one layer.

        Raises
        ------
        UsageError
            If it has seen no token.
        """
        found = self._layers[layer]
        if found is None:
            raise UsageError(f"layer {layer} has no moments: it has seen no token")
        return found

    def update(
        self,
        layer: int,
        *,
        q: Float[Tensor, "token head d_head"],
        k: Float[Tensor, "token kv_head d_head"],
        v: Float[Tensor, "token kv_head d_value"],
        x: Float[Tensor, "token d_input"] | None = None,
    ) -> None:
        """Add a block of tokens to one layer; see `LayerMoments.of` for what is refused."""
        block, mine = LayerMoments.of(q=q, k=k, v=v, x=x), self._layers[layer]
        self._layers[layer] = block if mine is None else mine.merge(block, in_place=True)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything by name, on the CPU; layers without tokens have a count of 0."""
        tensors: dict[str, Tensor] = {}
        for place, layer in enumerate(self._layers):
            empty = {f"count.{place}": torch.tensor([0])}
            named = empty if layer is None else layer.to_tensors(place)
            tensors |= {name: tensor.cpu().contiguous() for name, tensor in named.items()}
        return tensors


def merge_in_order(parts: Iterable[LayerMoments]) -> LayerMoments:
    """Join the moments of all shards from the first to the last.

    Addition of floating-point numbers depends on its order. This one is fixed by the shards, which
    are fixed by the data; who made which shard, and when, changes no bit.

    Raises
    ------
    UsageError
        If there is none.
    """
    listed = list(parts)
    if not listed:
        raise UsageError("There are no moments to merge: no shard holds a token.")
    return reduce(LayerMoments.merge, listed)


def _tell(shapes: dict[str, torch.Size]) -> str:
    return ", ".join(f"{name} {tuple(shape)}" for name, shape in sorted(shapes.items()))
