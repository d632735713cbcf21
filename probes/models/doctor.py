"""The examination of a loaded model on a few sentences, as ``kvprobes doctor`` prints it."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from probes.models.checks import tabulate_checks
from probes.models.examine import examine
from probes.models.failures import failing_as_ours
from probes.models.model import Model
from probes.models.tokenizers import examine_tokenizer

TEXTS = (
    "The neural network was small.",
    "They talked about the social network for a while, and nobody objected.",
    "A dog ran.",
)
TARGETS = ("It was.", "Nobody said so at the time.", "The old dog ran away again.")


def examine_model(model: Model) -> pd.DataFrame:
    """Examine a model: its tokenizer, the checkpoint it was loaded from, and its attention.

    What is read at every site is compared with the model's own tensors, on three sentences; an
    encoder-decoder's decoder is given other ones, of other lengths.

    Returns
    -------
    The table of `probes.models.examine.examine`; the rows of ``part`` "tokenizer" and "checkpoint"
    come first, with what was found, or what to do, in ``note``.

    Raises
    ------
    UnsupportedModelError
        If the model cannot run on a sentence at all.
    """
    embeddings = model.hf.get_input_embeddings()
    found = [*model.checks, *examine_tokenizer(model.tokenizer, embeddings.weight.shape[0])]
    table = tabulate_checks(sorted(found, key=lambda check: check.part, reverse=True))
    if not table["passed"].all():
        return table
    rows = []
    for text, target in zip(TEXTS, TARGETS, strict=True):
        row = {"input_ids": _tokenise(model, text)}
        if model.has_encoder_and_decoder:
            row["decoder_input_ids"] = _tokenise(model, target)
        rows.append(row)
    pad = model.tokenizer.pad_token_id
    with failing_as_ours(
        f"Running {model.name} on a short sentence",
        "Check that config.json is the weights' own, or try --attn eager or --device cpu.",
    ):
        attention = examine(model.hf, model.sites, rows, pad_token_id=0 if pad is None else pad)
    return pd.concat([table, attention], ignore_index=True)


def _tokenise(model: Model, text: str) -> Tensor:
    ids = model.tokenizer(text)["input_ids"]
    return torch.tensor([ids], device=model.device)
