"""More families: with latent keys and no positions, clipped keys, gates, parts that see."""

from __future__ import annotations

from tests.architectures.derived import MLA
from tests.architectures.entry import GROUPED, MIXED, WINDOW, decoder
from tests.architectures.seq2seq import pair

LINEAR = {
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 6,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
HYBRID = ["linear_attention", "full_attention", "linear_attention"]
DBRX = {
    "d_model": 48,
    "n_heads": 6,
    "n_layers": 3,
    "max_seq_len": 128,
    "ffn_config": {"hidden_size": 48, "ffn_hidden_size": 40, "moe_num_experts": 2},
}
GEMMA = GROUPED | {"sliding_window": WINDOW, "layer_types": MIXED, "query_pre_attn_scalar": 32}

ENTRIES = (
    # Without clipping, transformers' own code fails.
    decoder(
        "dbrx",
        "DBRX",
        "Dbrx",
        DBRX,
        attn_config={"kv_n_heads": 3, "rope_theta": 10_000.0, "clip_qkv": 1.0},
    ),
    decoder(
        "openai_gpt",
        "OpenAI GPT",
        "OpenAIGPT",
        {"n_embd": 24, "n_head": 3, "n_layer": 3, "n_positions": 128},
        model="OpenAIGPTLMHeadModel",
    ),
    decoder(
        "nemotron_h",
        "Nemotron-H",
        "NemotronH",
        {name: size for name, size in GROUPED.items() if name != "num_hidden_layers"},
        layers_block_type=["linear_attention", "full_attention", "mlp", "full_attention"],
        mamba_num_heads=6,
        mamba_head_dim=8,
        n_groups=1,
        ssm_state_size=8,
    ),
    decoder(
        "qwen3_5",
        "Qwen3.5",
        "Qwen3_5",
        GROUPED | LINEAR,
        config="Qwen3_5TextConfig",
        layer_types=HYBRID,
    ),
    decoder(
        "kimi_linear",
        "Kimi Linear",
        "KimiLinear",
        MLA | {"linear_head_dim": 8, "linear_num_heads": 3},
        layer_types=HYBRID,
        q_lora_rank=None,
    ),
    decoder(
        "kimi_k25",
        "Kimi K2.5 (its text part)",
        "Kimi_K25",
        {"text_config": MLA | {"model_type": "deepseek_v3", "vocab_size": 512}},
        model="Kimi_K25ForConditionalGeneration",
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 20,
        },
        image_token_id=511,
        video_token_id=510,
        vision_start_token_id=509,
        vision_end_token_id=508,
    ),
    decoder(
        "lfm3",
        "LFM3",
        "Lfm3",
        GROUPED,
        layer_types=["conv", "full_attention", "sliding_attention"],
        sliding_window=WINDOW,
        use_attention_gate=False,
    ),
    decoder(
        "lfm3_gated",
        "LFM3 with a gate",
        "Lfm3",
        GROUPED,
        layer_types=["conv", "full_attention", "sliding_attention"],
        sliding_window=WINDOW,
    ),
    pair("t5gemma", "T5Gemma", "T5Gemma", {"encoder": GEMMA, "decoder": GEMMA}),
    pair(
        "led",
        "LED",
        "LED",
        {
            "d_model": 24,
            "encoder_layers": 3,
            "decoder_layers": 2,
            "encoder_attention_heads": 3,
            "decoder_attention_heads": 3,
            "encoder_ffn_dim": 40,
            "decoder_ffn_dim": 40,
            "attention_window": 8,
            "max_encoder_position_embeddings": 128,
            "max_decoder_position_embeddings": 128,
        },
    ),
)
