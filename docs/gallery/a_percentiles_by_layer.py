"""
Keys and values of one pair by layer
====================================

Each dot is a head, each line the mean of a layer. Dashed: the middle of all pairs.
"""

import matplotlib.pyplot as plt

import kvprobes as kv

names = "neural social electric road railway trade power local wireless global secret".split()
words = kv.read(kv.load_model("smollm2-135m-instruct"), "They spoke of {word} networks.", names)
table = kv.compare(words, "neural", "social").query("space == 'functional'")

figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
for column, colour in (("key_percentile", "#0072B2"), ("value_percentile", "#D55E00")):
    ax.scatter(table["layer"], table[column], s=6, color=colour, alpha=0.4)
    means = table.groupby("layer")[column].mean()
    ax.plot(means.index, means, color=colour, label=column.replace("_", " "))
ax.axhline(50, color="grey", linestyle="--", linewidth=0.8)
ax.set(xlabel="layer", ylabel="percentile among all pairs", ylim=(0, 100))
ax.legend(frameon=False)
