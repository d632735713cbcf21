"""Is what the hooks read what the model uses? Asked before every capture, answered with figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from probes.capture.batch import BatchRunner
from probes.capture.plan import TokenSequence
from probes.capture.read import AS_ATTENDED, KeyStage, Reading
from probes.capture.stems import Branches, find_stem
from probes.errors import FaithfulnessError, NoMatrixError, NonFiniteError
from probes.models.compare import accepted_difference
from probes.models.examine import read_cache
from probes.models.geometry import AttentionGeometry, Site
from probes.models.model import Model
from probes.models.observe import observe
from probes.words.align import TokenSpan


def check_faithfulness(
    model: Model,
    sequences: Sequence[TokenSequence],
    *,
    site: Site | None = None,
    key_stage: KeyStage = "normed",
    n_sequences: int = 6,
) -> pd.DataFrame:
    """Compare captured keys and values with the model's own, and batches with single sequences.

    Returns
    -------
    A row per check: ``check``, ``layer`` of the largest ``difference`` (relative to the root mean
    square), ``tolerance``, ``passed``.

    Raises
    ------
    FaithfulnessError
        If any check fails; the message holds the figures.
    NonFiniteError
        If the model itself, without any hook, gives NaN or infinite numbers.
    """
    table = measure_faithfulness(
        model, sequences, site=site, key_stage=key_stage, n_sequences=n_sequences
    )
    failed = table[~table["passed"]]
    if len(failed):
        figures = "; ".join(
            f"{row.check}: {row.difference:.2g} in layer {row.layer} (at most {row.tolerance:.0e})"
            for row in failed.itertuples()
        )
        raise FaithfulnessError(
            f"{model.name} was refused, because what the hooks read is not what the model uses: "
            f"{figures}. Its architecture ({type(model.hf).__name__}) may compute keys or values "
            "in a way that kvprobes does not know yet; please report it with this message."
        )
    return table


def measure_faithfulness(
    model: Model,
    sequences: Sequence[TokenSequence],
    *,
    site: Site | None = None,
    key_stage: KeyStage = "normed",
    n_sequences: int = 6,
) -> pd.DataFrame:
    """Return the table of `check_faithfulness` without judging it."""
    geometry = model.geometry if site is None else model.at(site)
    site = geometry.site
    chosen = [_read_attended_token(s) for s in _spread(sequences, n_sequences)]
    whole = BatchRunner(model, site=site, key_stage=key_stage, share_prefix=False)
    with whole.attached():
        alone = [whole.run([sequence]) for sequence in chosen]
        together = whole.run(chosen)  # padded to the longest
    k, v, x, attention = (_cat(alone, name) for name in ("k", "v", "x", "attention"))
    own_k, own_v = _read_own(model, geometry, chosen)
    positions = torch.tensor([s.occurrences[0][1].last for s in chosen], device=k[0].device)
    pairs = list(zip(geometry.layers, x, strict=True))
    checks = {
        "keys equal the model's own": (_rotate(geometry, k, positions, key_stage), own_k),
        "values equal the model's own": (v, own_v),
        "keys in a padded batch equal those alone": (together.k, k),
        "values in a padded batch equal those alone": (together.v, v),
        "attention in a padded batch equals that alone": (together.attention, attention),
    }
    with suppress(NoMatrixError):  # the examination of the model says so
        made_v = [how.norm("value", how.value.project(part)) for how, part in pairs]
        checks["W_V x + b_V equals the values"] = (made_v, v)
    if any(sequence.prefix_length for sequence in chosen):
        split = BatchRunner(model, site=site, key_stage=key_stage)
        with split.attached():
            parts = [_run_split(split, sequence) for sequence in chosen]
        read, asked = zip(*parts, strict=True)
        after = "after a shared prefix"
        checks[f"keys {after} equal those alone"] = (_cat(read, "k"), k)
        checks[f"values {after} equal those alone"] = (_cat(read, "v"), v)
        checks[f"attention {after} equals that alone"] = (_cat(asked, "attention"), attention)
    if key_stage == "projected":
        with suppress(NoMatrixError):
            made_k = [how.key.project(part) for how, part in pairs]
            checks["W_K x + b_K equals the keys"] = (made_k, k)
    tolerance = accepted_difference(model.hf, _bound_logits(geometry, alone))
    return pd.DataFrame(
        [_compare(name, *pair, tolerance=tolerance) for name, pair in checks.items()]
    )


def _run_split(runner: BatchRunner, sequence: TokenSequence) -> tuple[Reading, Reading]:
    """Read the word after its prefix, and what attends to it after both, where those can be apart.

    Returns
    -------
    What holds the word, and what holds the attention to it.
    """
    if runner.share_stems and find_stem(sequence):
        word, rest = runner.run_branches(Branches.of([sequence], 1))
        return word, rest
    whole = runner.run([sequence])
    return whole, whole


def _spread(sequences: Sequence[TokenSequence], count: int) -> list[TokenSequence]:
    """Pick sequences evenly from first to last, and the shortest and the longest."""
    step = max(1, (len(sequences) - 1) // max(1, count - 1))
    picked = list(sequences[::step][:count])
    ordered = sorted(sequences, key=lambda s: len(s.ids))
    return list(dict.fromkeys([*picked, ordered[0], ordered[-1]]))


def _read_attended_token(sequence: TokenSequence) -> TokenSequence:
    """Read the attended token of the sequence's query, whether or not its own plan reads it."""
    attended = sequence.queries[0][2]
    return replace(
        sequence,
        occurrences=((0, TokenSpan(attended, attended)),),
        queries=sequence.queries[:1],
    )


def _read_own(
    model: Model, geometry: AttentionGeometry, sequences: Sequence[TokenSequence]
) -> tuple[list[Tensor], list[Tensor]]:
    """Take k and v from the attention of each sequence alone, run whole and without any batch.

    That these are the model's own is examined once, when it is loaded (`probes.models.examine`);
    where the model keeps a cache, they are taken from there.
    """
    keys: list[list[Tensor]] = []
    values: list[list[Tensor]] = []
    for sequence in sequences:
        position = sequence.occurrences[0][1].last
        inputs = {"input_ids": torch.tensor([sequence.ids], device=model.device)}
        if sequence.target:
            inputs["decoder_input_ids"] = torch.tensor([sequence.target], device=model.device)
        own = read_cache(model.hf, geometry, inputs) or _listen(model, geometry, inputs)
        keys.append([k[0, :, position] for k, _ in own])
        values.append([v[0, :, position] for _, v in own])
    k, v = ([torch.stack(rows) for rows in zip(*part, strict=True)] for part in (keys, values))
    if not all(torch.isfinite(part).all() for part in (*k, *v)):
        raise NonFiniteError(
            f"{model.name} gives NaN or infinite keys or values, without any hook. Check the "
            "weights, or run in float32."
        )
    return k, v


def _listen(
    model: Model, geometry: AttentionGeometry, inputs: dict[str, Tensor]
) -> list[tuple[Tensor, Tensor]]:
    of_encoder = model.has_encoder_and_decoder and geometry.site == "encoder"
    runs: Any = model.hf.get_encoder() if of_encoder else model.hf
    if of_encoder:
        inputs.pop("decoder_input_ids", None)
    seen, _ = observe(runs, geometry, inputs)
    heard = [layer.attended for layer in seen]
    return [(attended.key, attended.value) for attended in heard if attended is not None]


def _rotate(
    geometry: AttentionGeometry, k: list[Tensor], positions: Tensor, key_stage: KeyStage
) -> list[Tensor]:
    """Bring captured keys to the stage in which the cache holds them."""
    rotated = []
    with torch.inference_mode():
        for how, part in zip(geometry.layers, k, strict=True):
            if key_stage == "projected":
                part = how.norm("key", part)
            is_done = key_stage in AS_ATTENDED
            rotated.append(part if is_done else how.attend("key", part, positions))
    return rotated


def _bound_logits(geometry: AttentionGeometry, readings: Sequence[Reading]) -> float:
    """Return what no attention logit of these readings exceeds, by the norms of q and k."""
    found = 0.0
    for reading in readings:
        for how, moment, k in zip(geometry.layers, reading.query_moment, reading.k, strict=True):
            q = float(moment.diagonal(dim1=-2, dim2=-1).sum(-1).max()) ** 0.5
            found = max(found, how.logit_scale * q * float(k.float().norm(dim=-1).max()))
    return found


def _cat(readings: Sequence[Reading], name: str) -> list[Tensor]:
    return [torch.cat(parts) for parts in zip(*(getattr(r, name) for r in readings), strict=True)]


def _compare(
    check: str, ours: list[Tensor], reference: list[Tensor], *, tolerance: float
) -> dict[str, Any]:
    """Find the largest absolute difference over the root mean square, and its layer."""
    differences = []
    for mine, own in zip(ours, reference, strict=True):
        scale = own.float().square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
        differences.append((mine.float() - own.float()).abs().max() / scale)
    relative = torch.stack(differences)
    worst = int(torch.nan_to_num(relative, nan=float("inf")).argmax())
    difference = float(relative[worst])
    return {
        "check": check,
        "layer": worst,
        "difference": difference,
        "tolerance": tolerance,
        "passed": difference <= tolerance,  # a NaN does not pass
    }
