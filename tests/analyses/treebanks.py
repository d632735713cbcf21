"""A small treebank with its own split, made of words that the tiny models' tokenizer knows."""

from __future__ import annotations

import numpy as np

NOUNS = ("fox", "dog", "cat", "tree", "house")
ADJECTIVES = ("black", "white", "small", "big", "red")
VERBS = ("saw", "was")


def write_treebank(folder, *, sizes=(60, 20, 30), seed=0):
    """Write ``tiny-ud-train.conllu``, dev and test: "The red fox saw a tree ." and the like."""
    random = np.random.default_rng(seed)
    for split, size in zip(("train", "dev", "test"), sizes, strict=True):
        sentences = []
        for number in range(size):
            first, second = random.choice(NOUNS, 2)
            words = [
                *(("The", "DET", 3, "det"), (random.choice(ADJECTIVES), "ADJ", 3, "amod")),
                *((first, "NOUN", 4, "nsubj"), (random.choice(VERBS), "VERB", 0, "root")),
                *(("a", "DET", 6, "det"), (second, "NOUN", 4, "obj"), (".", "PUNCT", 4, "punct")),
            ]
            lines = [f"# sent_id = {split}-{number}", "# text = " + " ".join(w for w, *_ in words)]
            lines += [
                f"{place}\t{word}\t{word}\t{tag}\t_\t_\t{head}\t{relation}\t_\t_"
                for place, (word, tag, head, relation) in enumerate(words, 1)
            ]
            sentences.append("\n".join(lines) + "\n")
        (folder / f"tiny-ud-{split}.conllu").write_text("\n".join(sentences) + "\n")
    return folder
