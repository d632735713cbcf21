"""
What each measure sees and does not see
=======================================

Keys and values with a known relation: values are the keys turned (the same geometry), one
half of the keys (a part), a curve of them (not linear), or noise.
A column a relation, a bar a measure.
"""

import matplotlib.pyplot as plt
import pandas as pd
import torch

from probes.similarity import (
    centre,
    debiased_cka,
    dissociation_ratio,
    find_neighbours,
    mutual_neighbours,
    pair_cosines,
    pair_distances,
    representational_similarity,
)

torch.manual_seed(0)
keys = torch.randn(1, 200, 16)  # head, word, d
turned = keys @ torch.linalg.qr(torch.randn(16, 16))[0]
relations = {
    "turned": turned,
    "one half": torch.cat([keys[..., :8], torch.randn(1, 200, 8)], dim=-1),
    "curved": turned.sign() * turned.abs() ** 0.2,
    "noise": torch.randn(1, 200, 16),
}
left, right = torch.triu_indices(200, 200, offset=1)


def look(values: torch.Tensor) -> dict[str, float]:
    """Return what each measure says of the keys and these values."""
    k, v = centre(keys, None), centre(values, None)
    s_k, s_v = (pair_cosines(side, left, right) for side in (k, v))
    d_k, d_v = (pair_distances(side, left, right) for side in (k, v))
    rows = torch.arange(200)[:, None]  # word, template: one template
    nearest = [find_neighbours(side, rows) for side in (k, v)]
    return {
        "1 - dissociation ratio": 1 - float(dissociation_ratio(s_k, s_v, top=0.05)[0]),
        "representational similarity": float(representational_similarity(d_k, d_v)[0]),
        "debiased CKA": float(debiased_cka(k, v)[0]),
        "mutual neighbours": float(mutual_neighbours(*nearest, sizes=(10,)).mean()),
    }


table = pd.DataFrame({name: look(values) for name, values in relations.items()})
ax = table.T.plot.bar(figsize=(6, 2.8), width=0.8, rot=0)
ax.axhline(0, color="black", linewidth=0.6)
ax.set_ylim(-0.1, 1.4)
ax.legend(frameon=False, fontsize=7, ncols=2)
plt.tight_layout()
