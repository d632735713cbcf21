"""
What each measure sees and does not see
=======================================

Here the truth is known. Values are the keys turned (the same geometry), stretched (a linear map),
one half of the keys, a curve of them (not linear), or values of other directions.
Each panel is a measure. A measure sees a relation if its bar differs from that of *other*.
Measures that come in several sizes (1, 5 and 10 %; 5, 10 and 20 neighbours) are shown at one.
"""

import matplotlib.pyplot as plt
import torch

from probes.capture.located import DistinctWords
from probes.similarity import (
    Side,
    canonical_correlations,
    centre,
    divergence_curve,
    mean_squared_correlation,
    measure_sides,
    neighbour_distance_ratio,
    premise_lift,
    principal_angles,
)
from probes.similarity.catalogue import find_measure, list_side_measures

generator = torch.Generator().manual_seed(0)
x = torch.randn(200, 48, generator=generator)  # word, d_model
directions = torch.linalg.qr(torch.randn(48, 48, generator=generator))[0]
turn = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
w_k, other = directions[:16], directions[16:32]
maps = {
    "turned": turn @ w_k,
    "stretched": torch.logspace(0, -1.5, 16)[:, None] * w_k,
    "one half": torch.cat([w_k[:8], other[:8]]),
    "curved": None,  # no linear map of x
    "other": other,
}
curve = (x @ w_k.T @ turn).sign() * (x @ w_k.T @ turn).abs() ** 0.2
values = {name: curve if w_v is None else x @ w_v.T for name, w_v in maps.items()}

left, right = torch.triu_indices(200, 200, offset=1)
rows = torch.arange(200)[:, None]  # word, template: one template


def make_side(vectors: torch.Tensor) -> Side:
    """Prepare one head's keys or values."""
    return Side.of(
        centre(vectors[None], None), DistinctWords(rows, left, right), neighbour_rows=rows
    )


of_sides = [own for own in list_side_measures() if not own.name.endswith(("_1%", "_10%"))]
keys = make_side(x @ w_k.T)
shown: dict[str, dict[str, float]] = {}
for relation, vectors in values.items():
    side = make_side(vectors)
    found = measure_sides(keys, side, words=torch.arange(200), seed=0, measures=of_sides)
    found["divergence_curve"] = divergence_curve(keys.cosine, side.cosine)[..., 0]  # nearest keys
    near = side.neighbourhood, keys.neighbourhood
    found["neighbour_key_distance_ratio_10"] = neighbour_distance_ratio(*near, sizes=[10]).mean()
    pair = (centre(each.double()[None], None) for each in (x @ w_k.T, vectors))
    found["canonical_correlation"] = mean_squared_correlation(canonical_correlations(*pair))
    if maps[relation] is not None:
        angles = principal_angles(w_k[None], maps[relation][None])
        found["principal_angles"] = angles.mean_squared_cosine
    for name, number in found.items():
        shown.setdefault(name, {})[relation] = float(number)

# %%
# The premise lift compares keys with attention, not with values: does a query that
# attends to two words attend to similar keys? Here, attention is by key, or at random.
queries = 2 * torch.randn(32, 16, generator=generator)
by_key = (queries @ (x @ w_k.T).T).softmax(-1)
at_random = torch.rand(32, 200, generator=generator)
shown["premise_lift_5%"] = {
    name: float(
        premise_lift(keys.cosine[0], each[:, left], each[:, right], tops=[0.05], attended=0.1)
    )
    for name, each in (("by key", by_key), ("at random", at_random))
}

figure, panels = plt.subplots(5, 3, figsize=(6.5, 7), layout="constrained")
for ax, (name, bars) in zip(panels.flat, shown.items(), strict=False):
    ax.barh(list(bars), list(bars.values()), color=["#0072B2"] * (len(bars) - 1) + ["#999999"])
    ax.axvline(0, color="black", linewidth=0.6)
    ax.invert_yaxis()
    ax.set_title(find_measure(name).label, fontsize=7, loc="left", wrap=True)
    ax.tick_params(labelsize=6.5)
for ax in panels.flat[len(shown) :]:
    ax.set_visible(False)
