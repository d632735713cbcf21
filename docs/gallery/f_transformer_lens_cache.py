"""
A TransformerLens cache
=======================

An `ActivationCache` that you have already is read like the model itself, and gives the same
numbers.
"""

import kvprobes as kv

model = kv.load_model("smollm2-135m-instruct")
sentences = ["The neural network learned.", "A social network grew.", "The road network broke."]
names = ["neural", "social", "road"]

inputs = model.tokenizer(sentences, return_tensors="pt", padding=True)
_, cache = model.bridge.run_with_cache(inputs["input_ids"], attention_mask=inputs["attention_mask"])
cached = kv.from_cache(cache, model.bridge, sentences, names)
read = kv.read(model, sentences, names)

print("largest difference:", float((cached.k[3] - read.k[3]).abs().max()))
kv.draw_heads(kv.compare(cached, "neural", "social"), "s_k", space="raw")
