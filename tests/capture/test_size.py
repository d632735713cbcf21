"""The room that a capture takes: told beforehand, and refused where there is less."""

from __future__ import annotations

import pytest

from probes.capture import CaptureSettings, capture, plan_coordination
from probes.capture.size import estimate_size
from probes.errors import StoreError
from tests.capture.context_examples import PAIRS, TEMPLATES
from tests.tiny import tiny_model


@pytest.mark.parametrize(("dtype", "x"), [("bfloat16", True), ("float32", False)])
def test_the_estimate_is_the_size_of_the_stored_rows(tmp_path, dtype, x):
    model = tiny_model("llama")
    plan = plan_coordination(model.tokenizer, PAIRS, TEMPLATES, causal=True)
    said = []
    settings = CaptureSettings(dtype=dtype, x=x, key_stage="projected")
    store = capture(model, plan, tmp_path, settings=settings, say=said.append)
    rows = len(store.read("k", 0))
    expected = sum(
        store.read(name, layer).numel() * (4 if dtype == "float32" else 2)
        for layer in range(model.geometry.n_layers)
        for name in ("k", "v", *(["x"] if x else []))
    )
    assert estimate_size(model.geometry, rows, dtype=dtype, x=x) == expected
    assert any("MB on disk" in sentence for sentence in said)


def test_a_disk_without_room_is_told_before_anything_is_made(tmp_path, monkeypatch):
    model = tiny_model("llama")
    plan = plan_coordination(model.tokenizer, PAIRS, TEMPLATES, causal=True)
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(StoreError, match=r"MB are free there.*--out"):
        capture(model, plan, tmp_path, settings=CaptureSettings(key_stage="projected"))
    assert not list(tmp_path.glob("shards/*.safetensors"))
