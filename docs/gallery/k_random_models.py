"""
Is it training, or the input?
=============================

The same architecture with random weights reads the same words. What it shows too, training did not
make.
"""

import matplotlib.pyplot as plt

import kvprobes as kv
from probes.models import untrain

names = "neural social electric road railway trade power local wireless global secret".split()
trained = kv.load_model("smollm2-135m-instruct")
figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
for label, model in (("trained", trained), ("untrained", untrain(trained, seed=0))):
    words = kv.read(model, "They spoke of {word} networks.", names)
    table = kv.compare(words, "neural", "social").query("space == 'centred'")
    for part, line in (("s_k", "-"), ("s_v", "--")):
        means = table.groupby("layer")[part].mean()
        ax.plot(means.index, means, line, label=f"{label}, {part}")
ax.set(xlabel="layer", ylabel="centred cosine of neural / social")
ax.legend(frameon=False, ncols=2)
