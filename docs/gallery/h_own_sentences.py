"""
Sentences of your own: one word, two senses
===========================================

A table has a row per occurrence. Here *bank* has two senses, and we ask in which layers the
keys, or the values, of one sense are closer to each other than to those of the other sense.
"""

import matplotlib.pyplot as plt
import pandas as pd
import torch

import kvprobes as kv

river = ["The bank of the river was wet.", "They sat on the bank of the stream."]
money = ["The bank lent us money.", "She took the loan to the bank."]
table = pd.DataFrame({"sentence": river + money, "word": "bank", "sense": [0, 0, 1, 1]})
words = kv.read(kv.load_model("smollm2-135m-instruct"), table)
same = torch.tensor(words.table["sense"].to_numpy())
same = same[:, None] == same[None, :]
other = ~torch.eye(4, dtype=torch.bool)

figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
for name, layers in (("keys", words.k), ("values", words.v)):
    gaps = []
    for vectors in layers:  # occurrence, kv head, d_head
        unit = torch.nn.functional.normalize(vectors - vectors.mean(0), dim=-1)
        cosines = torch.einsum("ahd,bhd->abh", unit, unit).mean(-1)
        gaps.append(float(cosines[same & other].mean() - cosines[~same].mean()))
    ax.plot(gaps, label=name)
ax.axhline(0, color="grey", linestyle="--", linewidth=0.8)
ax.set(xlabel="layer", ylabel="cosine, same sense less other")
ax.legend(frameon=False)
