"""A main capture and one of words with planted relations, for both analyses of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from probes.capture.store import Store
from probes.words.relations import CONTROL
from tests.analyses.stores import D_HEAD, D_VALUE, N_KV_HEADS, N_LAYERS, write_store

N_PAIRS = 60
RELATIONS = {
    # relation: how alike keys and values are, part of speech
    "alike keys": (0.9, 0.0, "n"),
    "alike both": (0.9, 0.9, "n"),
    "alike values": (0.0, 0.9, "v"),
    "alike nothing": (0.0, 0.0, "v"),
}
HEADS = ("network", "house", "tree", "dog")
TEMPLATES = pd.DataFrame(
    [(f"{pos}{n}", pos, f"{pos} {n} {{word}} [is].") for pos in "nv" for n in (0, 1)],
    columns=["template_id", "pos", "text"],
)


def spell(number: int) -> str:
    """Make a word of letters from a number; lengths are 4 to 7."""
    letters = "abcdefghij"
    return "w" + "".join(letters[int(d)] for d in f"{number:03d}") + "x" * (number % 4)


def make_relations(seed: int = 0) -> pd.DataFrame:
    """Every relation has pairs of its own words, and controls out of other pairs' words."""
    random = np.random.default_rng(seed)
    rows, number = [], 0
    for relation, (_, _, pos) in RELATIONS.items():
        words = [spell(number + n) for n in range(2 * N_PAIRS)]
        number += len(words)
        firsts, seconds = words[::2], words[1::2]
        for n in range(N_PAIRS):
            control = seconds[(n + int(random.integers(1, N_PAIRS))) % N_PAIRS]
            score = (n % 17) / 16 if pos == "n" else np.nan
            rows.append((relation, pos, firsts[n], seconds[n], control, score, score))
    columns = ["relation", "pos", "w1", "w2", CONTROL, "wup", "path"]
    return pd.DataFrame(rows, columns=columns)


def write_words(
    folder: Path,
    relations: pd.DataFrame,
    *,
    pairs: pd.DataFrame | None = None,
    seed: int = 1,
    **options,
) -> Store:
    """Write ``capture-words``; in layer 1 keys and values of all words are independent."""
    random = np.random.default_rng(seed)
    rows, keys, values = [], [], []
    vectors: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for pair in relations.itertuples():
        alike_k, alike_v, _ = RELATIONS[pair.relation]
        shared_k = random.normal(size=(N_LAYERS, N_KV_HEADS, D_HEAD))
        shared_v = random.normal(size=(N_LAYERS, N_KV_HEADS, D_VALUE))
        for word in (pair.w1, pair.w2):
            own = []
            for shared, alike in ((shared_k, alike_k), (shared_v, alike_v)):
                noise = random.normal(size=shared.shape)
                vector = np.sqrt(alike) * shared + np.sqrt(1 - alike) * noise
                vector[1] = noise[1]
                own.append(vector)
            vectors[word] = (own[0], own[1])
            rows += [(word, f"{pair.pos}{n}") for n in (0, 1)]
    for word, template in rows:
        k, v = vectors[word]
        shift = 10.0 * (1 + TEMPLATES["template_id"].tolist().index(template))
        keys.append(k + 0.1 * random.normal(size=k.shape) + shift)
        values.append(v + 0.1 * random.normal(size=v.shape) + shift)
    words = pd.DataFrame(rows, columns=["word", "template_id"])
    return write_store(
        folder / "capture-words",
        words,
        keys=np.stack(keys),
        values=np.stack(values),
        pairs=relations if pairs is None else pairs,
        templates=TEMPLATES,
        **options,
    )


def make_compounds(n_words: int = 40) -> pd.DataFrame:
    """Modifiers of four heads, with a GloVe cosine; each modifier has two heads."""
    rows = []
    for n in range(n_words):
        for step in (1, 2, 3):
            pair = (spell(700 + n), spell(700 + (n + 4 * step) % n_words))
            rows.append((f"p{len(rows)}", HEADS[n % 4], *pair, 4.0 + n % 3, 4.0 + (n + step) % 3))
    return pd.DataFrame(rows, columns=["pair_id", "head", "m1", "m2", "z_m1", "z_m2"])


def write_compounds(
    folder: Path, pairs: pd.DataFrame, *, scored: bool = True, seed: int = 2, **options
) -> Store:
    """Write ``capture`` in one template: independent keys; values that follow ``glove_cos``.

    The angle of two modifiers' values in the plane of the first two coordinates tells the score,
    which is added to the pairs if they are to be `scored`.
    """
    random = np.random.default_rng(seed)
    modifiers = sorted(set(pairs["m1"]) | set(pairs["m2"]))
    angle = dict(zip(modifiers, random.uniform(0, np.pi, len(modifiers)), strict=True))
    compounds = sorted(
        {(h, m) for side in ("m1", "m2") for h, m in zip(pairs["head"], pairs[side], strict=True)}
    )
    keys = random.normal(size=(len(compounds), N_LAYERS, N_KV_HEADS, D_HEAD))
    values = 0.05 * random.normal(size=(len(compounds), N_LAYERS, N_KV_HEADS, D_VALUE))
    for row, (_, modifier) in enumerate(compounds):
        values[row, ..., :2] += np.cos(angle[modifier]), np.sin(angle[modifier])
    # Opposites beside the words themselves, so that centring leaves the angles alone.
    if scored:
        sides = zip(pairs["m1"], pairs["m2"], strict=True)
        pairs = pairs.assign(glove_cos=[np.cos(angle[m1] - angle[m2]) for m1, m2 in sides])
    words = pd.DataFrame(compounds, columns=["head", "word"]).assign(template_id="t0")
    return write_store(
        folder / "capture",
        words,
        keys=keys,
        values=values - values.mean(0),
        pairs=pairs,
        templates=pd.DataFrame({"template_id": ["t0"], "text": ["The {modifier} {head} ran."]}),
        **options,
    )
