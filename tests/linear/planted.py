"""Vectors in which a property is planted at a known strength."""

from __future__ import annotations

import torch


def plant(strength, *, n_words=300, per_word=3, n_classes=2, d=6, heads=(4,), seed=0):
    """Return x [*heads, occurrence, d], labels and words.

    Every word has a class; the class moves the vector by `strength` along an axis of its own (for
    two classes to either side of 0), on top of unit noise that all occurrences of a word share.
    """
    random = torch.Generator().manual_seed(seed)
    words = torch.arange(n_words).repeat_interleave(per_word)
    label_of = torch.arange(n_words) % n_classes
    label_of = label_of[torch.randperm(n_words, generator=random)]
    noise = torch.randn(*heads, n_words, d, generator=random)
    if n_classes == 2:
        noise[..., 0] += strength * (label_of - 0.5)
    else:
        noise[..., torch.arange(n_words), label_of] += strength
    own = 1e-3 * torch.randn(*heads, len(words), d, generator=random)
    return noise[..., words, :] + own, label_of[words], words
