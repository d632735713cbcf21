"""Decoders with experts, with latent keys, or with layers that are not attention."""

from __future__ import annotations

from tests.architectures.entry import GROUPED, GROUPED_NARROW, MIXED, UNGROUPED, WINDOW, decoder

SLIDING = {"sliding_window": WINDOW, "layer_types": MIXED}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
# The first layer's feed-forward is dense.
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "mlp_only_layers": [0],
}
SHARED_EXPERT = EXPERTS | {"shared_expert_intermediate_size": 20}
# Keys and values from one narrow latent (MLA); positions in a part of their own. Heads of 10 for
# queries and keys, of 7 for values.
LATENT = UNGROUPED | {
    "num_key_value_heads": 3,
    "kv_lora_rank": 12,
    "q_lora_rank": 14,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 7,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}

EXPERT = (
    decoder("mixtral", "Mixtral", "Mixtral", GROUPED | LOCAL_EXPERTS, sliding_window=WINDOW),
    decoder(
        "qwen2_moe",
        "Qwen2-MoE",
        "Qwen2Moe",
        GROUPED | SHARED_EXPERT,
        use_sliding_window=True,
        **SLIDING,
    ),
    decoder("qwen3_moe", "Qwen3-MoE", "Qwen3Moe", GROUPED | EXPERTS),
    decoder(
        "olmoe",
        "OLMoE",
        "Olmoe",
        GROUPED_NARROW | EXPERTS,
    ),
    decoder(
        "gpt_oss",
        "gpt-oss",
        "GptOss",
        GROUPED | LOCAL_EXPERTS,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
        },
        **SLIDING,
    ),
    decoder(
        "llama4",
        "Llama 4",
        "Llama4",
        GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 1},
        config="Llama4TextConfig",
        intermediate_size_mlp=36,
        moe_layers=[1],
        no_rope_layers=[1, 0, 1],
        attention_chunk_size=WINDOW,
        use_qk_norm=True,
        attn_temperature_tuning=True,
        floor_scale=4,
        attn_scale=0.5,
    ),
)

LATENT_KEYS = (
    decoder("deepseek_v2", "DeepSeek-V2", "DeepseekV2", LATENT),
    decoder(
        "deepseek_v2_lite",
        "DeepSeek-V2 without a query latent",
        "DeepseekV2",
        LATENT | {"q_lora_rank": None},
    ),
    decoder("deepseek_v3", "DeepSeek-V3", "DeepseekV3", LATENT),
)

NOT_ALL_ATTENTION = (
    decoder(
        "lfm2",
        "LFM2",
        "Lfm2",
        GROUPED,
        layer_types=["conv", "full_attention", "conv"],
        block_auto_adjust_ff_dim=False,
    ),
    decoder(
        "qwen3_next",
        "Qwen3-Next",
        "Qwen3Next",
        GROUPED | SHARED_EXPERT,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
        linear_key_head_dim=4,
        linear_value_head_dim=6,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        gain=1.2,
    ),
    decoder(
        "mamba",
        "Mamba",
        "Mamba",
        {"hidden_size": 24, "num_hidden_layers": 3, "state_size": 8, "time_step_rank": 4},
    ),
)

ENTRIES = (*EXPERT, *LATENT_KEYS, *NOT_ALL_ATTENTION)
