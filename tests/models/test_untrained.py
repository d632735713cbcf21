"""The untrained model: weights as the architecture's code draws them."""

import torch

from probes.models import untrain
from tests.tiny import tiny_model


def test_untrained_weights_follow_the_seed_and_leave_the_random_state_alone():
    model = tiny_model("gpt2", seed=1)
    state = torch.random.get_rng_state()
    once, again, other = untrain(model), untrain(model), untrain(model, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert once.weights_hash == again.weights_hash
    assert len({model.weights_hash, once.weights_hash, other.weights_hash}) == 3
    assert once.origin["config_hash"] == model.origin["config_hash"]
    assert once.geometry.n_kv_heads == model.geometry.n_kv_heads


def test_half_precision_does_not_round_the_rotary_frequencies():
    model = tiny_model("llama")
    model.hf.to(torch.bfloat16)
    exact = tiny_model("llama").hf.model.rotary_emb.inv_freq
    model.hf.model.rotary_emb.inv_freq = exact.clone()  # as from_pretrained leaves it
    hf = untrain(model).hf
    assert hf.dtype == torch.bfloat16
    assert torch.equal(hf.model.rotary_emb.inv_freq, exact)
