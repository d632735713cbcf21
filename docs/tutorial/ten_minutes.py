"""
Ten minutes: are the keys of two words alike, and their values not?
===================================================================

We ask of two words, *neural* and *social* before *network*: how alike are their keys, and how
alike are their values, in every head of a small language model?

**The first ten lines** read twelve words and draw the answer for each head.
"""

import kvprobes as kv

model = kv.load_model("smollm2-135m-instruct")
names = "neural social road rail trade power local global secret wireless criminal royal".split()
words = kv.read(model, "They talked about {word} networks.", names)
table = kv.compare(words, "neural", "social")
kv.draw_heads(table, "key_percentile", space="functional")

# %%
# Layers go upwards, heads to the right. A *percentile* says how many of the other 65 pairs of these
# words are less alike. Red heads have keys of *neural* and *social* that are more alike than those
# of other pairs; 50 is the middle.
#
# The values of the same heads:

kv.draw_heads(table, "value_percentile", space="functional")

# %%
# What has been read
# ------------------
# `words` holds keys, values, queries and the input x of every occurrence, as tensors by layer.

print(words)
print(words.k[12].shape)  # occurrence, kv head, d_head

# %%
# What a cosine hides
# -------------------
# All keys of a layer share one large direction, so raw cosines are high for any two words. The
# space `centred` takes the mean off, which attention cannot see anyway. The space `functional`
# measures distance as the head itself does: keys by the logits they change, values by what
# the head writes.

table.groupby("space")[["s_k", "s_v", "key_percentile", "value_percentile"]].mean().round(2)

# %%
# One pair says little. All pairs, beside nulls
# ---------------------------------------------
# `kv.measure` asks over all pairs whether similar keys mean similar values. A dissociation ratio
# of 1 would mean that values know nothing about keys, and 0 that similar keys always have similar
# values. Each number has an interval, and nulls beside it: the values of another
# head, and the values of other words.

found = kv.measure(
    words, measures=["dissociation_ratio_5%", "representational_similarity"], permutations=100
)
columns = ["value", "ci_low", "ci_high", "mismatched_heads", "shuffled_words"]
found.groupby("measure")[columns].mean().round(2)

# %%
# How sure is one head? `p_max_t` is corrected for looking at all heads.

kv.draw_heads(found, "p_max_t", measure="representational_similarity", label="corrected p")

# %%
# What to do next
# ---------------
# Twelve words are few. Read a hundred, take several templates, or let ``kvprobes run`` ask fifteen
# questions over thousands of pairs and write a report.
