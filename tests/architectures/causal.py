"""Decoders that read text from left to right."""

from __future__ import annotations

from tests.architectures.entry import (
    GPT2_SIZES,
    GROUPED,
    GROUPED_NARROW,
    MIXED,
    UNGROUPED,
    WINDOW,
    decoder,
)

HALF_ROTARY = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": 0.5,
    }
}
STRETCHED_ROTARY = {
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 10_000.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
}
# The middle layer sees everything, its neighbours `WINDOW` tokens.
SLIDING = {"sliding_window": WINDOW, "layer_types": MIXED}
# Four layers; the last takes the keys and values of the second.
SHARED_KEYS = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 1,
    "sliding_window": WINDOW,
    "layer_types": [*MIXED, "full_attention"],
    "vocab_size_per_layer_input": 512,  # not less than the tokenizer's
    "hidden_size_per_layer_input": 6,
}

PLAIN = (
    decoder("gpt2", "GPT-2", "GPT2", GPT2_SIZES, model="GPT2LMHeadModel"),
    decoder(
        "gpt2_by_layer",
        "GPT-2 with scores divided by the layer",
        "GPT2",
        GPT2_SIZES,
        model="GPT2LMHeadModel",
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
        gain=2.0,
    ),
    decoder(
        "gpt_neo",
        "GPT-Neo",
        "GPTNeo",
        {"hidden_size": 15, "num_heads": 3, "num_layers": 3, "intermediate_size": 40},
        max_position_embeddings=128,
        attention_types=[[["local", "global", "local"], 1]],
        window_size=WINDOW,
        gain=1.2,
    ),
    decoder("gptj", "GPT-J", "GPTJ", GPT2_SIZES, rotary_dim=4),
    # CodeGen's fused projection is cut in four for the TPUs it was trained on: no odd head count.
    decoder(
        "codegen", "CodeGen", "CodeGen", GPT2_SIZES | {"n_head": 4, "n_embd": 32}, rotary_dim=4
    ),
    decoder("gpt_neox", "GPT-NeoX", "GPTNeoX", UNGROUPED, **HALF_ROTARY),
    decoder(
        "gpt_neox_serial",
        "GPT-NeoX with serial blocks",
        "GPTNeoX",
        UNGROUPED,
        use_parallel_residual=False,
        attention_bias=False,
        **HALF_ROTARY,
    ),
    decoder("gpt_bigcode", "GPT-BigCode", "GPTBigCode", GPT2_SIZES, multi_query=True),
    decoder(
        "gpt_bigcode_ungrouped",
        "GPT-BigCode without multi-query",
        "GPTBigCode",
        GPT2_SIZES,
        multi_query=False,
    ),
    decoder("opt", "OPT", "OPT", UNGROUPED, ffn_dim=40, word_embed_proj_dim=24),
    decoder(
        "opt_post_norm",
        "OPT with norms after the blocks",
        "OPT",
        UNGROUPED,
        ffn_dim=40,
        word_embed_proj_dim=16,
        do_layer_norm_before=False,
        gain=1.0,
        focus=2.2,
    ),
    decoder("bloom", "BLOOM", "Bloom", {"hidden_size": 24, "n_head": 3, "n_layer": 3}, gain=1.8),
    decoder(
        "mpt",
        "MPT",
        "Mpt",
        {"d_model": 24, "n_heads": 3, "n_layers": 3, "max_seq_len": 128, "expansion_ratio": 2},
        attn_config={"alibi": True, "clip_qkv": 1.5, "softmax_scale": 0.5},
    ),
    decoder(
        "xglm",
        "XGLM",
        "XGLM",
        {"d_model": 24, "attention_heads": 3, "num_layers": 3, "ffn_dim": 40},
        max_position_embeddings=128,
    ),
    decoder("biogpt", "BioGPT", "BioGpt", UNGROUPED),
    decoder("persimmon", "Persimmon", "Persimmon", UNGROUPED, qk_layernorm=True, **HALF_ROTARY),
)

FALCON_SIZES = UNGROUPED | {"ffn_hidden_size": 40}
del FALCON_SIZES["intermediate_size"]
FALCON = (
    decoder("falcon", "Falcon", "Falcon", FALCON_SIZES, multi_query=True),
    decoder(
        "falcon_grouped",
        "Falcon with groups",
        "Falcon",
        FALCON_SIZES | {"hidden_size": 48, "num_attention_heads": 6, "num_kv_heads": 3},
        new_decoder_architecture=True,
    ),
    decoder(
        "falcon_alibi",
        "Falcon with ALiBi",
        "Falcon",
        FALCON_SIZES,
        alibi=True,
        multi_query=False,
        parallel_attn=False,
        bias=True,
    ),
)

LLAMA_LIKE = (
    decoder("llama", "Llama", "Llama", GROUPED),
    decoder(
        "llama_biased",
        "Llama with biases and scaled rotary",
        "Llama",
        GROUPED,
        attention_bias=True,
        mlp_bias=True,
        **STRETCHED_ROTARY,
    ),
    decoder("mistral", "Mistral", "Mistral", GROUPED, sliding_window=WINDOW),
    decoder("ministral", "Ministral", "Ministral", GROUPED, **SLIDING),
    decoder("qwen2", "Qwen2", "Qwen2", GROUPED, use_sliding_window=True, **SLIDING),
    decoder("qwen3", "Qwen3", "Qwen3", GROUPED, use_sliding_window=True, **SLIDING),
    decoder("olmo", "OLMo", "Olmo", GROUPED),
    decoder("olmo_clipped", "OLMo with clipping", "Olmo", GROUPED, clip_qkv=1.0, gain=1.8),
    decoder("olmo2", "OLMo 2", "Olmo2", GROUPED),
    decoder("olmo3", "OLMo 3", "Olmo3", GROUPED, **SLIDING),
    decoder("starcoder2", "StarCoder2", "Starcoder2", GROUPED, sliding_window=WINDOW),
    decoder("helium", "Helium", "Helium", GROUPED | {"hidden_size": 48}),
    decoder("apertus", "Apertus", "Apertus", GROUPED, **STRETCHED_ROTARY),
    decoder("arcee", "Arcee", "Arcee", GROUPED),
    decoder("nemotron", "Nemotron", "Nemotron", GROUPED, gain=1.0, **HALF_ROTARY),
    decoder("ernie4_5", "ERNIE 4.5", "Ernie4_5", GROUPED, use_bias=True),
    decoder("seed_oss", "Seed-OSS", "SeedOss", GROUPED),
    decoder("hunyuan_dense", "HunYuan dense", "HunYuanDenseV1", GROUPED),
    decoder(
        "granite",
        "Granite",
        "Granite",
        GROUPED,
        attention_multiplier=0.5,
        embedding_multiplier=2.0,
        residual_multiplier=0.7,
        logits_scaling=3.0,
    ),
    decoder("diffllama", "DiffLlama", "DiffLlama", GROUPED | {"num_key_value_heads": 2}),
    decoder("phi3", "Phi-3", "Phi3", GROUPED, sliding_window=WINDOW),
    decoder("phi", "Phi", "Phi", GROUPED_NARROW, qk_layernorm=True, **HALF_ROTARY),
    decoder("glm", "GLM", "Glm", GROUPED, **HALF_ROTARY),
    decoder("glm4", "GLM-4", "Glm4", GROUPED, **HALF_ROTARY),
    decoder(
        "stablelm",
        "StableLM",
        "StableLm",
        GROUPED_NARROW,
        qk_layernorm=True,
        use_qkv_bias=True,
        **HALF_ROTARY,
    ),
    decoder("cohere", "Cohere", "Cohere", GROUPED, use_qk_norm=True),
    decoder("cohere2", "Cohere 2", "Cohere2", GROUPED, **SLIDING),
    decoder("exaone4", "EXAONE 4", "Exaone4", GROUPED, **SLIDING),
    decoder(
        "smollm3",
        "SmolLM3",
        "SmolLM3",
        GROUPED,
        no_rope_layers=[1, 0, 1],
        use_sliding_window=True,
        **SLIDING,
    ),
)

GEMMA = (
    decoder("gemma", "Gemma", "Gemma", GROUPED, gain=1.0),
    decoder(
        "gemma2",
        "Gemma 2",
        "Gemma2",
        GROUPED,
        query_pre_attn_scalar=32,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0,
        **SLIDING,
    ),
    decoder(
        "gemma3",
        "Gemma 3",
        "Gemma3",
        GROUPED,
        config="Gemma3TextConfig",
        query_pre_attn_scalar=32,
        **SLIDING,
    ),
    decoder(
        "gemma3n",
        "Gemma 3n",
        "Gemma3n",
        GROUPED | SHARED_KEYS,
        config="Gemma3nTextConfig",
        laurel_rank=5,
        altup_num_inputs=2,
        activation_sparsity_pattern=[0.5, 0.0, 0.5, 0.0],
    ),
    decoder(
        "gemma4",
        "Gemma 4",
        "Gemma4",
        GROUPED | SHARED_KEYS,
        config="Gemma4TextConfig",
        attention_k_eq_v=True,
        global_head_dim=12,
        num_global_key_value_heads=2,
    ),
)

ENTRIES = (*PLAIN, *FALCON, *LLAMA_LIKE, *GEMMA)
