"""
A number beside its nulls
=========================

Over all pairs of thirty words: does the order of key distances agree with that of value distances?
The nulls say what the words of another head, or other words, would give.
"""

import matplotlib.pyplot as plt

import kvprobes as kv
from probes.words import load_pairs

names = sorted({*load_pairs(limit=60)["m1"]})[:30]
words = kv.read(kv.load_model("smollm2-135m-instruct"), "They spoke of {word} networks.", names)
found = kv.measure(words, measures=["representational_similarity"], permutations=100, resamples=100)

figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
looks = {"value": "#0072B2", "mismatched_heads": "#E69F00", "shuffled_words": "#999999"}
for column, colour in looks.items():
    means = found.groupby("layer")[column].mean()
    ax.plot(means.index, means, color=colour, label=column.replace("_", " "))
ax.set(xlabel="layer", ylabel="representational similarity")
ax.legend(frameon=False)
