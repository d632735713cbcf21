"""
Two models in one figure
========================

Two models, keys above and values below, drawn into axes of your own.
"""

import matplotlib.pyplot as plt

import kvprobes as kv

names = "neural social electric road railway trade power local wireless global secret".split()
figure, panels = plt.subplots(2, 2, figsize=(5.5, 5), layout="constrained")
for column, name in enumerate(["smollm2-135m-instruct", "minimind2-small"]):
    words = kv.read(kv.load_model(name), "They spoke of {word} networks.", names)
    table = kv.compare(words, "neural", "social")
    for row, value in enumerate(["key_percentile", "value_percentile"]):
        kv.draw_heads(table, value, space="centred", ax=panels[row, column])
    panels[0, column].set_title(name)
