"""Runs side by side: the figures are those of each run's own tables."""

from __future__ import annotations

import pandas as pd
import pytest

from kvprobes.results import ResultFolder
from kvprobes.study.comparison import compute, write_comparison
from probes.errors import StoreError, UsageError
from tests.analyses.tables import make_tables


def finish(path, *, model, stage="normed", seed=0, n_layers=3, n_kv_heads=2):
    tables = make_tables(seed=seed, n_layers=n_layers, n_kv_heads=n_kv_heads)
    for name in ("summary", "heads", "curve"):
        tables[name] = tables[name].assign(model=model, key_stage=stage)
    folder = ResultFolder(path)
    folder.write_tables("divergence", tables, inputs={})
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        finish(tmp_path / "a", model="small", seed=1),
        finish(tmp_path / "b", model="small", stage="rotated", seed=2),
        finish(tmp_path / "c", model="x/large", seed=3, n_layers=5, n_kv_heads=1),
        finish(tmp_path / "d", model="x/large", seed=3, n_layers=5, n_kv_heads=1),
    ]


def test_gathers_each_runs_own_figures(runs):
    tables = compute(runs)
    names = ["small, normed keys", "small, rotated keys", "large, normed keys (c)"]
    assert list(tables["summary"]["run"].unique()) == [*names, "large, normed keys (d)"]
    own = runs[1].read_tables("divergence")
    row = tables["summary"].query(
        "run == @names[1] and measure == 'tieability' and condition == 'random_slice'"
    )
    expected = own["summary"].query("measure == 'tieability' and condition == 'random_slice'")
    assert row[["value", "ci_low", "ci_high"]].to_numpy().tolist() == (
        expected[["value", "ci_low", "ci_high"]].to_numpy().tolist()
    )
    layers = tables["layers"].query("run == @names[2] and measure == 'dissociation_ratio_5%'")
    assert layers["depth"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    heads = runs[2].read_tables("divergence")["heads"]
    mine = heads.query(
        "measure == 'dissociation_ratio_5%' and space == 'functional' "
        "and population == 'word pairs' and layer == 3"
    )
    assert layers["value"].iloc[3] == pytest.approx(mine["value"].mean())


def test_writes_tables_and_figures_that_other_runs_can_be_told_from(runs, tmp_path):
    out = tmp_path / "comparison"
    paths = write_comparison(runs, out)
    assert [path.name for path in paths] == ["comparison.depth.png", "comparison.runs.png"]
    manifest = ResultFolder(out).manifest_path("comparison").read_text(encoding="utf-8")
    assert '"folder": ' in manifest
    assert str(tmp_path) not in manifest  # where the runs stand is nobody else's matter
    written = pd.read_parquet(out / "tables" / "comparison.summary.parquet")
    assert len(written) == len(compute(runs)["summary"])
    before = [path.read_bytes() for path in paths]
    write_comparison(runs, out)
    assert [path.read_bytes() for path in paths] == before


def test_refuses_nothing_twice_and_unfinished(runs, tmp_path):
    with pytest.raises(UsageError, match="0 result folders"):
        compute([])
    with pytest.raises(UsageError, match="2 result folders were given, 1 of them"):
        compute([runs[0], runs[0]])
    with pytest.raises(StoreError, match="holds no tables"):
        compute([runs[0], ResultFolder(tmp_path / "nowhere")])


def test_every_null_of_the_tables_is_kept_and_no_difference(runs):
    tables, own = compute(runs[:1]), runs[0].read_tables("divergence")
    rows = own["summary"].query(
        "space == 'functional' and population == 'word pairs' "
        "and measure == 'dissociation_ratio_5%'"
    )
    expected = {name for name in rows["condition"] if " - " not in name}
    assert {"trained", "mismatched_heads", "random_heads"} <= expected
    found = tables["summary"].query("measure == 'dissociation_ratio_5%'")
    assert set(found["condition"]) == expected
    assert {"mismatched_heads_mean", "random_heads_mean"} <= set(tables["layers"])
