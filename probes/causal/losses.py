"""Cross-entropy of next tokens, without holding all logits where the model allows it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.errors import UnsupportedModelError
from probes.models.model import Model

_POSITIONS, _TOKENS = 1024, 2048  # of the logits held at a time: 8 MB, which fit in the cache
_LEAST = torch.finfo(torch.float32).min  # a part whose logits are all -inf adds nothing


class Scorer:
    """Runs a causal model and gives the cross-entropy of each next token, in nats.

    Where the logits are the output embedding of the trunk's last state and nothing else (no cap, no
    scale: tried once, at the start), they are computed a part of the vocabulary at a time.

    Raises
    ------
    UnsupportedModelError
        If the model does not predict next tokens.
    """

    def __init__(self, model: Model) -> None:
        if not model.geometry.causal:
            raise UnsupportedModelError(
                f"{model.name} does not predict the next token of a text, so there is no "
                "cross-entropy to rise. Give a causal language model."
            )
        self.model = model
        self._head: Any = model.hf.get_output_embeddings()
        self._is_plain = isinstance(self._head, torch.nn.Linear) and self._try_head()

    def score(
        self, ids: Int[Tensor, "row position"], mask: Int[Tensor, "row position"]
    ) -> Float[Tensor, "row position"]:
        """Return the loss of the prediction made at each position; the last position has none (0).

        Hooks and edits that are in place have their effect.
        """
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        losses = torch.zeros(ids.shape, dtype=torch.float32)
        if not self._is_plain:
            logits = self._run(self.model.hf, ids, mask)[:, :-1].float()
            found = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), ids[:, 1:], reduction="none"
            )
            losses[:, :-1] = found.cpu()
            return losses
        states = self._run(self.model.trunk, ids, mask)[:, :-1].flatten(0, 1)
        found = next_token_losses(states, self._head, ids[:, 1:].flatten())
        losses[:, :-1] = found.reshape(len(ids), -1).cpu()
        return losses

    def last_logits(
        self, ids: Int[Tensor, "row position"], mask: Int[Tensor, "row position"]
    ) -> Float[Tensor, "row token"]:
        """Return the logits at the last position of rows without padding, float32."""
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        if not self._is_plain:
            return self._run(self.model.hf, ids, mask)[:, -1].float().cpu()
        logits: Tensor = self._head(self._run(self.model.trunk, ids, mask)[:, -1])
        return logits.float().cpu()

    def _run(self, module: Any, ids: Tensor, mask: Tensor) -> Tensor:
        output: Tensor = module(input_ids=ids, attention_mask=mask, use_cache=False)[0]
        return output

    @torch.inference_mode()
    def _try_head(self) -> bool:
        ids = torch.arange(1, 7, device=self.model.device)[None]
        mask = torch.ones_like(ids)
        logits = self._run(self.model.hf, ids, mask)
        ours = self._head(self._run(self.model.trunk, ids, mask))
        return ours.shape == logits.shape and bool(
            torch.allclose(ours, logits, rtol=1e-5, atol=1e-5 * float(logits.abs().max()))
        )


@torch.no_grad()
def next_token_losses(
    states: Float[Tensor, "prediction d_model"],
    head: torch.nn.Linear,
    targets: Int[Tensor, " prediction"],
) -> Float[Tensor, " prediction"]:
    """Compute the cross-entropy of every prediction without ever holding its logits whole.

    log sum exp(logits) - the target's logit; the sum goes on from one part of the vocabulary to the
    next, each with a maximum of its own, so that no exponential overflows. A fifth faster than
    `torch.nn.functional.cross_entropy`, which writes all logits to memory and reads them twice.

    Returns
    -------
    Float[Tensor, " prediction"]
        In nats, float32.
    """
    weights = torch.split(head.weight, _TOKENS)
    biases = [None] * len(weights) if head.bias is None else torch.split(head.bias, _TOKENS)
    found = []
    for state, target in zip(
        torch.split(states, _POSITIONS), torch.split(targets, _POSITIONS), strict=True
    ):
        own = (state.float() * head.weight[target].float()).sum(dim=1)
        if head.bias is not None:
            own += head.bias[target]
        parts = []
        for weight, bias in zip(weights, biases, strict=True):
            logits = torch.nn.functional.linear(state, weight, bias).float()
            largest = logits.amax(dim=1, keepdim=True).clamp_min_(_LEAST)
            parts.append(logits.sub_(largest).exp_().sum(dim=1).log_().add_(largest[:, 0]))
        found.append(torch.logsumexp(torch.stack(parts), dim=0) - own)
    return torch.cat(found)
