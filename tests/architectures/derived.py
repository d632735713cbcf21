"""Families whose attention classes are on no list: their geometry is derived, then verified."""

from __future__ import annotations

from tests.architectures.encoders import encoder
from tests.architectures.entry import (
    GROUPED,
    GROUPED_NARROW,
    MIXED,
    UNGROUPED,
    WINDOW,
    decoder,
)
from tests.architectures.mixed import LATENT
from tests.architectures.seq2seq import BART, T5, pair

EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
MAMBA = {"mamba_n_heads": 12, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8}
SEEING = {
    "vision_config": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "image_size": 8,
        "patch_size": 4,
    },
    "image_token_index": 511,
    "boi_token_index": 510,
    "eoi_token_index": 509,
}
THREEFOLD = {  # positions in time, height and width
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "mrope_section": [1, 1, 2],
    }
}
MLA = LATENT | {"n_group": 1}
INDEXED = {"index_head_dim": 8, "index_n_heads": 2, "index_topk": 4}


def pick(sizes: dict[str, object], *names: str) -> dict[str, object]:
    """Return some of the sizes."""
    return {name: sizes[name] for name in names}


LOCAL = pick(EXPERTS, "num_local_experts", "num_experts_per_tok")
ROUTED = {name: size for name, size in EXPERTS.items() if "num_" not in name or "per" in name}
COUNTED = pick(EXPERTS, "num_experts", "num_experts_per_tok")

ENTRIES = (
    decoder("ministral3", "Ministral 3", "Ministral3", GROUPED),
    decoder("glm4_moe", "GLM-4-MoE", "Glm4Moe", GROUPED | ROUTED),
    decoder("granite_moe", "Granite-MoE", "GraniteMoe", GROUPED_NARROW | LOCAL),
    decoder(
        "granite_moe_shared", "Granite-MoE, shared", "GraniteMoeShared", GROUPED_NARROW | LOCAL
    ),
    decoder(
        "granite_moe_hybrid",
        "Granite-MoE, hybrid",
        "GraniteMoeHybrid",
        GROUPED_NARROW | LOCAL | MAMBA,
        layer_types=["mamba", "attention", "mamba"],
    ),
    decoder("phimoe", "Phi-MoE", "Phimoe", GROUPED_NARROW | LOCAL),
    decoder("dots1", "dots.llm1", "Dots1", GROUPED | ROUTED),
    decoder("flex_olmo", "FlexOlmo", "FlexOlmo", GROUPED_NARROW | COUNTED),
    decoder("jais2", "Jais 2", "Jais2", GROUPED),
    decoder("vaultgemma", "VaultGemma", "VaultGemma", GROUPED, query_pre_attn_scalar=32),
    decoder(
        "modernbert_decoder",
        "ModernBERT decoder",
        "ModernBertDecoder",
        UNGROUPED,
        layer_types=MIXED,
        local_attention=WINDOW,
    ),
    decoder(
        "minimax",
        "MiniMax",
        "MiniMax",
        GROUPED | LOCAL,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
    ),
    decoder("minimax_m2", "MiniMax M2", "MiniMaxM2", GROUPED | LOCAL),
    decoder(
        "jamba",
        "Jamba",
        "Jamba",
        GROUPED_NARROW | COUNTED,
        attn_layer_period=2,
        attn_layer_offset=1,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    decoder("bamba", "Bamba", "Bamba", GROUPED_NARROW | MAMBA, attn_layer_indices=[1]),
    decoder(
        "lfm2_moe",
        "LFM2-MoE",
        "Lfm2Moe",
        GROUPED_NARROW | COUNTED | {"moe_intermediate_size": 20},
        layer_types=["conv", "full_attention", "conv"],
        num_dense_layers=1,
    ),
    decoder("ernie4_5_moe", "ERNIE 4.5 MoE", "Ernie4_5_Moe", GROUPED_NARROW),
    decoder("exaone_moe", "EXAONE-MoE", "ExaoneMoe", GROUPED | EXPERTS),
    decoder("doge", "Doge", "Doge", GROUPED_NARROW),
    decoder("hunyuan_moe", "HunYuan-MoE", "HunYuanMoEV1", GROUPED | COUNTED, moe_topk=[2] * 3),
    decoder(
        "falcon_h1",
        "Falcon-H1",
        "FalconH1",
        GROUPED_NARROW | MAMBA,
        mamba_d_ssm=96,
    ),
    decoder("glm4_moe_lite", "GLM-4-MoE lite", "Glm4MoeLite", MLA),
    decoder("minicpm3", "MiniCPM3", "MiniCPM3", MLA),
    decoder("deepseek_v32", "DeepSeek-V3.2", "DeepseekV32", MLA | INDEXED),
    decoder("bitnet", "BitNet", "BitNet", GROUPED_NARROW),
    decoder("nanochat", "NanoChat", "NanoChat", GROUPED_NARROW),
    decoder(
        "gemma3_vision",
        "Gemma 3 with pictures (its text part)",
        "Gemma3",
        {"text_config": GROUPED | {"vocab_size": 512, "sliding_window": WINDOW}, **SEEING},
        model="Gemma3ForConditionalGeneration",
    ),
    decoder(
        "qwen3_vl",
        "Qwen3-VL (its text part)",
        "Qwen3VL",
        {"text_config": GROUPED | THREEFOLD | {"vocab_size": 512}},
        model="Qwen3VLForConditionalGeneration",
        vision_config={"depth": 1, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 24},
        image_token_id=511,
        video_token_id=510,
        vision_start_token_id=509,
    ),
    pair("switch", "Switch Transformers", "SwitchTransformers", T5, gain=1.1, focus=1.0),
    pair("longt5", "LongT5", "LongT5", T5, gain=1.1, focus=1.0),
    pair("plbart", "PLBart", "PLBart", BART),
    encoder("ernie", "ERNIE", "Ernie"),
)
