"""Encoders, of text and of pictures."""

from __future__ import annotations

from typing import Any

from tests.architectures.entry import MIXED, UNGROUPED, WINDOW, Architecture, Kind


def encoder(
    name: str,
    shown: str,
    prefix: str,
    *,
    model: str = "ForMaskedLM",
    kind: Kind = "encoder",
    gain: float = 1.0,
    focus: float = 2.2,
    **settings: Any,
) -> Architecture:
    """Return the entry of an encoder whose classes begin with a prefix.

    Most have their norms after the blocks, which makes tokens alike; this explains the small gain
    outside queries and keys.
    """
    settings = UNGROUPED | settings
    classes = f"{prefix}Config", f"{prefix}{model}"
    return Architecture(name, shown, *classes, settings, kind, gain, focus)


ENTRIES = (
    encoder("bert", "BERT", "Bert"),
    encoder("roberta", "RoBERTa", "Roberta"),
    encoder("xlm_roberta", "XLM-R", "XLMRoberta"),
    encoder(
        "distilbert",
        "DistilBERT",
        "DistilBert",
        dim=24,
        n_layers=3,
        n_heads=3,
        hidden_dim=40,
    ),
    encoder("electra", "ELECTRA", "Electra", embedding_size=16),
    # One set of weights for all layers.
    encoder("albert", "ALBERT", "Albert", embedding_size=16, num_hidden_groups=1),
    encoder(
        "esm",
        "ESM",
        "Esm",
        position_embedding_type="rotary",
        emb_layer_norm_before=True,
        token_dropout=False,
        mask_token_id=2,
    ),
    encoder(
        "deberta_v2",
        "DeBERTa-v2",
        "DebertaV2",
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        position_biased_input=False,
        position_buckets=8,
        max_relative_positions=-1,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        type_vocab_size=0,
    ),
    encoder(
        "modernbert",
        "ModernBERT",
        "ModernBert",
        gain=1.4,
        focus=1.0,
        layer_types=MIXED,
        local_attention=WINDOW,
        cls_token_id=1,
        sep_token_id=2,
    ),
    encoder(
        "vit",
        "ViT",
        "ViT",
        model="Model",
        kind="vision",
        image_size=12,
        patch_size=4,
    ),
    encoder("clip_text", "CLIP's text encoder", "CLIPText", model="Model", projection_dim=24),
)
