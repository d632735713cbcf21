"""
What a linear probe reads from keys and from values
===================================================

The label is the length of the word. Selectivity is the score less that of random labels. A random
slice of the input is as wide as a key: what it knows, a key need not have chosen.
"""

import matplotlib.pyplot as plt

import kvprobes as kv
from probes.words import load_pairs

names = sorted({*load_pairs(limit=120)["m1"]})[:60]
words = kv.read(kv.load_model("smollm2-135m-instruct"), "They spoke of {word} networks.", names)
labels = {name: "long" if len(name) > 6 else "short" for name in names}
table = kv.probe(words, labels, min_words=10, resamples=50)

figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
for part, rows in table.groupby("part"):
    means = rows.groupby("layer")["selectivity"].mean()
    ax.plot(means.index, means, label=part.replace("_", " "))
ax.axhline(0, color="grey", linestyle="--", linewidth=0.8)
ax.set(xlabel="layer", ylabel="selectivity (accuracy)")
ax.legend(frameon=False)
