"""Write docs/models.md from the test matrix: ``python -m docs.write_models``.

Every architecture is built tiny and random, read and examined; nothing on the page is typed by
hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from probes.errors import UnsupportedModelError
from probes.models.examine import examine
from probes.models.geometry import AttentionGeometry
from probes.models.layer import AttentionLayer
from probes.models.sites import read_sites
from tests.architectures import MATRIX, build_hf, example_inputs

PAGE = Path(__file__).parent / "models.md"
HEAD = """# Which models are read exactly

Written by `python -m docs.write_models` from the test matrix (`tests/architectures/`), not by hand.
Each architecture is built from its own transformers class, tiny and with random weights (without a
model hub, pretrained weights of most are not available), and examined as `kvprobes doctor` examines
a real model: every site and stage against HF's own tensors, to 1e-5 in float32. A real model is
examined again whenever it is loaded, and refused if it fails. An architecture that is not here is
tried: its geometry is derived from its structure and from what it attends with, and it is read if
the same checks pass. Every stage is exact of those that are read: `projected`, `normed` (without
QK-norm the same as `projected`), `rotated`, and `attended` (keys as the logits use them; the same
as `rotated` but for the models whose norm comes after the rotation and has weights, where
`rotated` keys are not read).

Quantised layers (bitsandbytes, GPTQ, AWQ, HQQ, torchao, compressed-tensors) and adapters are read
where their package runs: keys and values are what the layers compute, and a layer's matrix is what
it makes of the unit vectors. Where that is no matrix, `kvprobes doctor` says so, and only what
needs one is left out. Layers without attention are skipped; `kvprobes doctor` lists them.

The bundled models (`kvprobes models`) are checked with their real weights.

## Read exactly

| architecture | sites | positions | also |
| --- | --- | --- | --- |
"""
REFUSED = """
## Refused

| architecture | because |
| --- | --- |
"""


def write_page() -> str:
    """Examine the whole matrix and return the page."""
    read, refused = [], []
    for name, entry in MATRIX.items():
        hf = build_hf(name)
        try:
            sites = read_sites(hf)
        except UnsupportedModelError as error:
            reason = str(error).split("exactly: ")[1].split(". Families")[0].split("tried: ")[-1]
            refused.append(f"| {entry.shown} | {reason} |\n")
            continue
        rows = [example_inputs(hf, seed=seed, length=5 + 4 * seed) for seed in range(3)]
        table = examine(hf, sites, rows)
        if not table["passed"].all() or table["difference"].max() > 1e-5:
            raise SystemExit(f"{name} is not read exactly:\n{table.to_string()}")
        shown = [geometry.positions for geometry in sites.values() if geometry.positions != "none"]
        also = dict.fromkeys(word for geometry in sites.values() for word in _describe(geometry))
        notes = [note for note in dict.fromkeys(table["note"]) if note]
        if notes:
            also["padded on the right only"] = None
        cells = (entry.shown, ", ".join(sites), shown[0] if shown else "none", ", ".join(also))
        read.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(read) + REFUSED + "".join(refused)


def _describe(geometry: AttentionGeometry) -> list[str]:
    """Say what is special about a site's attention."""
    numbers: dict[str, Any] = geometry.describe()
    layers = geometry.layers
    told = {
        "grouped queries": any(layer.group_size > 1 for layer in layers),
        "QK-norm": any(_is_normed(layer) for layer in layers),
        "norm after the rotation": any(layer.late_norm and layer.key_norm for layer in layers),
        "clipped keys and values": any(_is_clipped(layer) for layer in layers),
        "V-norm": numbers["v_norm"] and not any(_is_clipped(layer) for layer in layers),
        "sliding windows": geometry.window is not None,
        "chunks": any(layer.chunk is not None for layer in layers),
        "soft cap": any(layer.softcap is not None for layer in layers),
        "layers that share keys": any(layer.source is not None for layer in layers),
        "keys reused as values": numbers["keys_as_values"],
        "latent attention": any(layer.latent_modules is not None for layer in layers),
        "layers without attention": bool(geometry.skipped),
        "layers without rotation": "rotary" in geometry.positions
        and any(layer.rotation is None for layer in layers),
        "head widths that differ by layer": len({layer.d_head for layer in layers}) > 1,
    }
    return [what for what, holds in told.items() if holds]


def _is_clipped(layer: AttentionLayer) -> bool:
    norm = layer.value_norm
    return norm is not None and any(isinstance(m, nn.Hardtanh) for m in norm.module.modules())


def _is_normed(layer: AttentionLayer) -> bool:
    norm = layer.key_norm
    plain = (nn.Sequential, nn.Identity, nn.Hardtanh)
    return norm is not None and any(not isinstance(m, plain) for m in norm.module.modules())


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
