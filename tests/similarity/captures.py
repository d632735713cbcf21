"""Real captures of tiny random models, for the tests of everything that uses one."""

from __future__ import annotations

from pathlib import Path

from probes.capture import CaptureSettings, Store, capture, plan_capture
from probes.models import Model
from probes.words import load_pairs, load_templates


def capture_tiny(model: Model, folder: Path, *, n_pairs: int = 40, n_templates: int = 2) -> Store:
    """Capture shipped seed pairs in float32, so that the store rounds nothing."""
    pairs = load_pairs("seed_pairs").head(n_pairs)
    templates = load_templates(count=n_templates)
    plan = plan_capture(model.tokenizer, pairs, templates, causal=model.geometry.causal)
    return capture(model, plan, folder, settings=CaptureSettings(dtype="float32"))
