"""
The key-value cache of a transformers model
===========================================

Keys of a key-value cache are rotated by their position. The table says so, and the map beside it
shows what the rotation changes between the first and the last word of a sentence.
"""

import matplotlib.pyplot as plt

import kvprobes as kv

model = kv.load_model("smollm2-135m-instruct")
text = "The neural network and the social network grew."
past = model.hf(**model.tokenizer(text, return_tensors="pt"), use_cache=True).past_key_values
rotated = kv.from_past_key_values(past, model, text, ["neural", "social"])
projected = kv.read(model, [text], ["neural", "social"])
print(rotated.about["key_stage"], projected.about["key_stage"])

figure, panels = plt.subplots(1, 2, figsize=(5.5, 3), layout="constrained")
for ax, words in zip(panels, (projected, rotated), strict=True):
    kv.draw_heads(kv.compare(words, "neural", "social"), "s_k", space="raw", ax=ax)
    ax.set_title(words.about["key_stage"])
