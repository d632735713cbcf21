"""The examination of a loaded model on a few sentences, as ``kvprobes doctor`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probes.models.examine import examine
from probes.models.model import Model

if TYPE_CHECKING:
    import pandas as pd

TEXTS = (
    "The neural network was small.",
    "They talked about the social network for a while, and nobody objected.",
    "A dog ran.",
)
TARGETS = ("It was.", "Nobody said so at the time.", "The old dog ran away again.")


def examine_model(model: Model) -> pd.DataFrame:
    """Compare what is read at every site of a model with its own tensors, on three sentences.

    An encoder-decoder's decoder is given other sentences, of other lengths.

    Returns
    -------
    The table of `probes.models.examine.examine`.
    """
    rows = []
    for text, target in zip(TEXTS, TARGETS, strict=True):
        row = {"input_ids": _tokenise(model, text)}
        if model.has_encoder_and_decoder:
            row["decoder_input_ids"] = _tokenise(model, target)
        rows.append(row)
    pad = model.tokenizer.pad_token_id
    return examine(model.hf, model.sites, rows, pad_token_id=0 if pad is None else int(pad))


def _tokenise(model: Model, text: str) -> Tensor:
    ids = model.tokenizer(text)["input_ids"]
    return torch.tensor([ids], device=model.device)
