"""A fast tokenizer from a sentencepiece model and the vocabulary that its pieces are looked up in.

Marian's own tokenizer is slow: sentencepiece cuts a text into pieces, then a second vocabulary (of
both languages) gives their ids. A fast tokenizer has one vocabulary, in which a piece's place is
its id. So it holds every piece of the second vocabulary: those of the sentencepiece model with
their scores, the others so low that they are only ever taken for characters that the model lacks.

It differs from the slow one in two rare cases, and both times it says more: a piece of the
sentencepiece model that the second vocabulary lacks is cut into smaller ones instead of becoming
``<unk>``; in a run of characters that the model does not have, the longest parts that the second
vocabulary has are taken, instead of the whole run or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from probes.errors import UnsupportedModelError
from probes.models.conversion.saving import END, UNKNOWN, wrap_tokenizer

_SPACE = "▁"
_LAST_RESORT = -1e4  # lower than the score of any text cut into the model's own characters
_UNIGRAM = 1  # sentencepiece's TrainerSpec.ModelType


def read_tokenizer(
    file: Path, vocabulary: Sequence[str], *, max_length: int
) -> PreTrainedTokenizerFast:
    """Return the fast tokenizer of a sentencepiece model whose ids are places in `vocabulary`.

    ``</s>`` is put after every text.

    Raises
    ------
    UnsupportedModelError
        If the model is not a unigram model without bytes as a last resort.
    """
    messages: Any = sentencepiece_model_pb2  # its classes are made when it is imported
    proto = messages.ModelProto()
    proto.ParseFromString(file.read_bytes())
    trainer = proto.trainer_spec
    if trainer.model_type != _UNIGRAM or trainer.byte_fallback:
        raise UnsupportedModelError(
            f"{file.name} is a sentencepiece model of kind {trainer.model_type} (bytes as a last "
            f"resort: {trainer.byte_fallback}); kvprobes reads unigram models (kind {_UNIGRAM}) "
            "without."
        )
    scores = {piece.piece: piece.score for piece in proto.pieces}
    scored = [(piece, scores.get(piece, _LAST_RESORT)) for piece in vocabulary]
    backend = Tokenizer(Unigram(scored, unk_id=vocabulary.index(UNKNOWN), byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Strip(left=True, right=True),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {END}",
        pair=f"$A $B {END}",
        special_tokens=[(END, vocabulary.index(END))],
    )
    return wrap_tokenizer(backend, max_length=max_length)
