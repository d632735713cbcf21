"""
What each null sees and does not see
====================================

Here the truth is known: what keys and values share is nothing, the strong directions of the
input, the frequency of the words, or directions that all heads of a layer read, or one head alone.
Each panel is a null. Blue: the keys and values of a head. Grey: the same number under the null.
Where the two differ, the null sees what is shared. Where they are equal, the null
explains it.
"""

import matplotlib.pyplot as plt
import torch

from probes.similarity import centre, pair_cosines, pair_distances, representational_similarity
from probes.similarity.catalogue import find_condition
from probes.similarity.random_heads import draw_weights, random_slice

WORDS, D, WIDE, HEADS, LAYERS = 120, 8, 32, 3, 2
generator = torch.Generator().manual_seed(0)
left, right = torch.triu_indices(WORDS, WORDS, offset=1)
common = torch.arange(WORDS) % 2 == 0  # half of the words are frequent
band = common.float() * 2 - 1


def turn(n: int) -> torch.Tensor:
    """Return a random rotation."""
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]


def agree(keys: torch.Tensor, values: torch.Tensor) -> float:
    """Return the representational similarity, mean over heads."""
    k, v = (pair_distances(centre(side.double(), None), left, right) for side in (keys, values))
    return float(representational_similarity(k, v).mean())


def plant(shared: str) -> tuple[torch.Tensor, list, list, list]:
    """Return x, and weights of keys, keys and values by layer, with one thing shared."""
    x = torch.randn(WORDS, WIDE, generator=generator, dtype=torch.float64)
    if shared == "the input":
        x[:, :3] *= 5  # three strong directions, which any head reads
    weights, keys, values = [], [], []
    for _ in range(LAYERS):
        w_k, w_v = (torch.stack([turn(WIDE)[:D] for _ in range(HEADS)]) for _ in range(2))
        if shared == "one layer's directions":
            w_k = turn(WIDE)[:D].expand(HEADS, D, WIDE)
        if shared in ("one layer's directions", "one head's directions"):
            w_v = turn(D) @ w_k
        if shared == "nothing":
            w_v = torch.stack([turn(D) @ torch.linalg.svd(w)[2][D : 2 * D] for w in w_k])
        k, v = x @ w_k.mT, x @ w_v.mT
        if shared == "frequency":
            k[..., 0] += 4 * band
            v[..., 0] += 4 * band
        weights, keys, values = [*weights, w_k], [*keys, k], [*values, v]
    return x, weights, keys, values


def shuffle(words: torch.Tensor) -> torch.Tensor:
    """Return a random order of some words."""
    return words[torch.randperm(len(words), generator=generator)]


def measure(shared: str) -> dict[str, float]:
    """Return the number itself, and under every null."""
    x, (w_k, _), (k, k_2), (v, v_2) = plant(shared)
    order, within = shuffle(torch.arange(WORDS)), torch.arange(WORDS)
    for words in (common, ~common):
        within[words] = shuffle(within[words])
    found = {
        "trained": agree(k, v),
        "shuffled_words": agree(k, v[:, order]),
        "matched_words": agree(k, v[:, within]),
        "mismatched_heads": agree(k, v.roll(1, dims=0)),
        "mismatched_layers": (agree(k, v_2) + agree(k_2, v)) / 2,
    }
    kinds = {"random_heads": "gaussian", "orthonormal_heads": "orthonormal"}
    for name, kind in (kinds | {"spectrum_heads": "spectrum"}).items():
        how = {"kind": kind, "generator": generator, "singular": torch.linalg.svdvals(w_k)}
        found[name] = agree(*(x @ draw_weights(HEADS, D, WIDE, **how).mT for _ in range(2)))
    found["random_slice"] = agree(random_slice(x, n_slices=HEADS, width=D, generator=generator), v)
    untrained = torch.randn(WORDS, WIDE, generator=generator, dtype=torch.float64)
    weights = (draw_weights(HEADS, D, WIDE, kind="gaussian", generator=generator) for _ in "kv")
    found["untrained_model"] = agree(*(untrained @ each.mT for each in weights))
    return found


worlds = ["nothing", "the input", "frequency", "one layer's directions", "one head's directions"]
table = {shared: measure(shared) for shared in worlds}


def draw(panels, table: dict[str, dict[str, float]]) -> list[str]:
    """Draw a panel per null; return the nulls."""
    nulls = [name for name in table[next(iter(table))] if name != "trained"]
    for ax, name in zip(panels, nulls, strict=True):
        for place, own in enumerate(table.values()):
            ax.plot([own["trained"], own[name]], [place] * 2, color="#CCCCCC", zorder=1)
            ax.plot(own[name], place, "o", color="#666666", markerfacecolor="white", markersize=6)
            ax.plot(own["trained"], place, "o", color="#0072B2", markersize=4)
        ax.set_yticks(range(len(table)), list(table))
        ax.set_ylim(len(table) - 0.5, -0.5)
        ax.set_title(find_condition(name).label, fontsize=8, loc="left")
        ax.tick_params(labelsize=7)
    return nulls


figure, panels = plt.subplots(3, 3, figsize=(6.5, 5.4), layout="constrained", sharey=True)
shown = draw(panels.flat, table)
figure.supxlabel("representational similarity", fontsize=8)

# %%
# Two nulls ask of attention: are words that one query attends to more alike than words that two
# queries attend to, or than any words of the same frequency? The number is the percentile of
# their keys among all pairs; 50 is the middle. Attention goes to random words, to keys near
# one direction that draws all queries, or to keys that the query itself prefers.


def attend(shared: str) -> dict[str, float]:
    """Return the key percentile of pairs that one query attends to, and under both nulls."""
    keys = torch.randn(WORDS, D, generator=generator)
    queries = torch.randn(400, D, generator=generator)
    if shared == "all queries agree":
        queries = queries[:1] + 0.1 * queries
    if shared == "frequent words":
        keys[:, 0] += 3 * band
        logits = 9 * common + torch.rand(400, WORDS, generator=generator)
    else:
        logits = queries @ keys.T
    if shared == "random words":
        logits = torch.rand(400, WORDS, generator=generator)
    first, second = logits.topk(2).indices.T
    cosines = pair_cosines(keys[None], left, right)[0].sort().values

    def rank(one: torch.Tensor, two: torch.Tensor) -> float:
        apart = one != two
        own = pair_cosines(keys[None], one[apart], two[apart])[0]
        return float(100 * torch.searchsorted(cosines, own).double().mean() / len(cosines))

    same = [shuffle(torch.nonzero(common == common[word])[:, 0])[0] for word in second]
    return {
        "trained": rank(first, second),
        "shuffled_attention": rank(first, second[shuffle(torch.arange(400))]),
        "matched_pairs": rank(first, torch.stack(same)),
    }


choices = ["random words", "frequent words", "all queries agree", "the query's own"]
attended = {shared: attend(shared) for shared in choices}

figure, panels = plt.subplots(1, 2, figsize=(6.5, 1.9), layout="constrained", sharey=True)
shown += draw(panels, attended)
figure.supxlabel("percentile of keys", fontsize=8)
