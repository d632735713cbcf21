"""A plain run of one whole sentence: what HF itself says of it, with hooks on its own modules."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from probes.models import Model


def run_plainly(model: Model, ids: list[int]) -> dict[str, Tensor]:
    """Run one sequence with eager attention at the model's main site; all by layer.

    ``x`` [layer, position, d_input]; ``k`` (as projected) and ``v`` [layer, position, kv_head, d];
    ``attention`` [layer, head, position, position]; ``stream`` [layer, position, d_model], what
    enters the layer; ``written`` [layer, position, head, d_model], by head, without the bias.
    """
    seen: dict[str, list[Tensor]] = defaultdict(list)
    handles = []
    for how in model.geometry.layers:

        def keep_keys(_module, args, output, how=how):
            seen["x"].append(args[0][0])
            seen["k"].append(how.key.split(output)[0])

        def keep_values(_module, _args, output, how=how):
            seen["v"].append(how.value.split(output)[0])

        def keep_written(_module, args, how=how):
            heads = torch.unflatten(args[0][0], -1, (how.n_heads, how.d_value))
            weight = how.output_module.weight.T.reshape(how.n_heads, how.d_value, -1)
            seen["written"].append(torch.einsum("phd,hdm->phm", heads, weight))

        handles += [
            how.key.module.register_forward_hook(keep_keys),
            how.value.module.register_forward_hook(keep_values),
            how.output_module.register_forward_pre_hook(keep_written),
        ]
    trunk = model.hf.get_encoder() if model.has_encoder_and_decoder else model.trunk
    model.hf.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            output = trunk(
                input_ids=torch.tensor([ids]), output_attentions=True, output_hidden_states=True
            )
    finally:
        model.hf.set_attn_implementation("sdpa")
        for handle in handles:
            handle.remove()
    found = {name: torch.stack(parts) for name, parts in seen.items()}
    found["attention"] = torch.cat(output.attentions)
    found["stream"] = torch.cat(output.hidden_states[: len(output.attentions)])
    return found
