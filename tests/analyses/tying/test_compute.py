"""The analysis of tying: tables on planted runs, figures, the report's section, the command."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from analyses.shared.given import Given
from analyses.tying import QUESTION, TyingSettings, presets
from analyses.tying.presets import PRESETS, choose_experiments
from analyses.tying.tables import (
    tabulate_cells,
    tabulate_costs,
    tabulate_counts,
    tabulate_course,
    tabulate_curves,
    tabulate_learning,
    tabulate_runs,
    tabulate_scaling,
    tabulate_tieability,
)
from kvprobes.command.cli import app
from kvprobes.results import ResultFolder
from kvprobes.runner import answer
from kvprobes.session import Session
from kvprobes.tie import PLACE
from probes.errors import UsageError
from probes.files import hash_file
from probes.tying.shape import ModelShape
from probes.words.tables import data_folder
from probes.words.texts import load_corpus
from tests.damage import rewrite
from tests.tying.examples import write_text

SEEDS, FACTOR = 4, 1.5


def plant(experiment="scaling", variants=("separate", "tied"), noise=0.0):
    """Runs on a known curve, of which the tied model needs FACTOR times the parameters."""
    random = np.random.default_rng(0)
    rows = []
    for d_model in (16, 32, 48, 64):
        for variant in variants:
            parameters = d_model**2 * (24 if variant == "separate" else 22)
            needed = parameters / (FACTOR if variant == "tied" else 1)
            for seed in range(SEEDS):
                nats = 1.2 + 20 * needed**-0.35 + noise * random.normal()
                rows.append(
                    {
                        "experiment": experiment,
                        "task": "text",
                        "positions": "rotary",
                        "d_model": d_model,
                        "d_head": 16,
                        "variant": variant,
                        "seed": seed,
                        "learning_rate": 1e-2,
                        "chosen": True,
                        "d_feedforward": 4 * d_model,
                        "parameters": parameters + 400 * d_model,
                        "scaled_parameters": parameters,
                        "nats": nats,
                        "bits_per_byte": nats / np.log(2),
                        "accuracy": np.exp(-nats),
                    }
                )
    return pd.DataFrame(rows)


def test_the_planted_factor_is_found_with_an_interval_around_it():
    table = tabulate_scaling(plant(noise=0.002))
    row = table[table["variant"] == "tied"].iloc[0]
    assert row["ci_low"] < FACTOR < row["ci_high"]
    assert row["ci_high"] - row["ci_low"] < 0.2
    assert row["least"] <= row["value"] <= row["most"]
    assert row["exponent"] == pytest.approx(0.35, abs=0.1)
    reference = table[table["variant"] == "separate"].iloc[0]
    assert reference["value"] == reference["ci_low"] == reference["ci_high"] == 1


def test_intervals_of_the_factor_cover_the_truth():
    """The jackknife over four seeds, 15 times: 95 % intervals miss about one."""
    missed = 0
    for trial in range(15):
        runs = plant()
        runs["nats"] += np.random.default_rng(trial).normal(0, 0.01, len(runs))
        row = tabulate_scaling(runs).set_index("variant").loc["tied"]
        missed += not row["ci_low"] < FACTOR < row["ci_high"]
    assert missed <= 3


def test_rates_that_were_not_chosen_count_nowhere():
    runs = plant()
    other = runs[runs["seed"] == 0].assign(chosen=False, nats=9.0)
    both = pd.concat([runs, other], ignore_index=True)
    pd.testing.assert_frame_equal(tabulate_costs(both), tabulate_costs(runs))
    pd.testing.assert_frame_equal(tabulate_cells(both), tabulate_cells(runs))
    pd.testing.assert_frame_equal(tabulate_scaling(both), tabulate_scaling(runs))


def test_costs_are_paired_by_seed():
    runs = plant(noise=0.5)
    # the tied model of each seed is exactly 0.25 above the separate one, whatever the seed does
    separate = runs[runs["variant"] == "separate"].set_index(["d_model", "seed"])["nats"]
    tied = runs["variant"] == "tied"
    places = pd.MultiIndex.from_frame(runs.loc[tied, ["d_model", "seed"]])
    runs.loc[tied, "nats"] = separate.loc[places].to_numpy() + 0.25
    shuffled = runs.sample(frac=1, random_state=1)
    costs = tabulate_costs(shuffled)
    assert len(costs) == 4
    assert costs["value"].to_numpy() == pytest.approx(0.25)
    assert costs["ci_high"].to_numpy() == pytest.approx(0.25)
    assert set(costs["verdict"]) == {"different"}
    saved = 1 - (22 * 256 + 6400) / (24 * 256 + 6400)
    row = costs[costs["d_model"] == 16].iloc[0]
    assert row["parameters_saved"] == pytest.approx(saved)


def test_the_course_follows_each_evaluation():
    log = pd.concat(
        plant(noise=0.1).assign(step=step, validation_nats=lambda t, s=step: t["nats"] + s)
        for step in (0, 10)
    )
    log.loc[(log["variant"] == "tied") & (log["step"] == 10), "validation_nats"] += 1
    course = tabulate_course(log)
    assert course["step"].tolist() == [0, 10] * 4
    values = course.set_index(["d_model", "step"])["value"].unstack()  # noqa: PD010
    assert (values[10] - values[0]).to_numpy() == pytest.approx(1)


def test_learning_is_averaged_over_seeds_at_each_evaluation():
    log = plant(noise=0.1).assign(step=5)
    log["validation_accuracy"] = log["seed"] / 10 + (log["variant"] == "tied") / 2
    table = tabulate_learning(log)
    assert len(table) == 4 * 2
    assert table.loc[table["variant"] == "tied", "accuracy"].to_numpy() == pytest.approx(0.65)
    assert table.loc[table["variant"] == "separate", "accuracy"].to_numpy() == pytest.approx(0.15)


def test_curves_pass_through_the_points_they_were_fitted_to():
    runs = plant()
    cells = tabulate_cells(runs)
    curves = tabulate_curves(tabulate_scaling(runs), cells)
    for variant, mine in curves.groupby("variant"):
        points = cells[cells["variant"] == variant].sort_values("scaled_parameters")
        assert mine["parameters"].iloc[0] == pytest.approx(points["scaled_parameters"].iloc[0])
        assert mine["parameters"].iloc[-1] == pytest.approx(points["scaled_parameters"].iloc[-1])
        assert mine["nats"].iloc[0] == pytest.approx(points["nats"].iloc[0], abs=1e-3)
        assert mine["nats"].iloc[-1] == pytest.approx(points["nats"].iloc[-1], abs=1e-3)


def test_tieability_is_averaged_over_heads_and_its_change_is_paired():
    rows = [
        {
            **{"experiment": "variants", "task": "text", "positions": "rotary"},
            **{"d_model": 32, "d_head": 16, "variant": "separate", "seed": seed, "when": when},
            **{"kv_head": head, "r2": 0.1 * seed + 0.2 * head + (0.3 if when == "trained" else 0)},
            **{"r2_mismatched_heads": 0.1, "excess": np.nan if head else 0.5},
        }
        for seed in range(3)
        for when in ("untrained", "trained")
        for head in range(2)
    ]
    table = tabulate_tieability(pd.DataFrame(rows)).set_index(["measure", "when"])["value"]
    assert table["r2", "untrained"] == pytest.approx(0.2)
    assert table["r2", "trained"] == pytest.approx(0.5)
    assert table["r2", "trained - untrained"] == pytest.approx(0.3)
    assert table["excess", "trained"] == pytest.approx(0.5)


def test_counts_name_what_is_saved_of_what():
    shapes = {
        name: ModelShape(257, 128, 64, 2, 4, 16, 256, name, "rotary")
        for name in ("separate", "tied")
    }
    table = tabulate_counts(shapes).set_index("variant").loc["tied"]
    shares = {
        "query_key_value": 1 / 3,
        "attention": 1 / 4,
        "scaled": 1 / 12,
        "total": 2 * 64**2 / (24 * 64**2 + 257 * 64 + 5 * 64),
        "cache": 1 / 2,
    }
    for name, share in shares.items():
        assert table[f"saved_{name}"] == pytest.approx(share)


def shrink(experiment):
    training = dataclasses.replace(experiment.training, steps=2, batch_size=2, evaluations=1)
    wanted = ("separate", "tied", "tied_wide")[: 2 + (experiment.name == "scaling")]
    return dataclasses.replace(
        experiment,
        training=training,
        variants=tuple(name for name in experiment.variants if name in wanted),
        rates=experiment.rates[:1],
        d_heads=experiment.d_heads[-1:],
        n_layers=1,
    )


SMALL = tuple(map(shrink, PRESETS["smoke"]))


@pytest.fixture
def small_presets(monkeypatch):
    """The smoke preset, yet smaller."""
    monkeypatch.setitem(PRESETS, "smoke", SMALL)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return str(write_text(tmp_path_factory.mktemp("text")))


@pytest.fixture(scope="module")
def micro(text, tmp_path_factory):
    """The small preset's folder, trained once."""
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "smoke", SMALL)
        assert answer(QUESTION, Session(folder, text=text), preset="smoke").is_new
    return ResultFolder(folder)


def test_what_is_there_is_not_trained_again(micro, small_presets, text, monkeypatch):
    assert not answer(QUESTION, Session(micro, text=text), preset="smoke").is_new
    monkeypatch.setattr("probes.tying.runs.train", None)
    session = Session(micro, text=text, device="cpu")
    again = QUESTION.compute(session.gather(QUESTION), TyingSettings("smoke"))
    for name, table in micro.read_tables("tying").items():
        pd.testing.assert_frame_equal(again[name], table)


def test_models_of_an_earlier_version_are_found(micro, small_presets, text, tmp_path, monkeypatch):
    """It kept them in runs/, and named a column of theirs otherwise."""
    shutil.copytree(micro.path / "parts" / "tying", tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*/tieability.csv"):
        path.write_text(path.read_text().replace("r2_mismatched_heads", "r2_mismatched"))
        rewrite(
            path.parent / "manifest.json",
            lambda manifest, path=path: manifest["files"].update({path.name: hash_file(path)}),
        )
    monkeypatch.setattr("probes.tying.runs.train", None)
    given = Session(tmp_path, text=text).gather(QUESTION)
    tables = QUESTION.compute(given, TyingSettings("smoke"))
    for name, table in micro.read_tables("tying").items():
        pd.testing.assert_frame_equal(tables[name], table)


def test_without_a_folder_models_are_trained_and_dropped(small_presets, text):
    settings = TyingSettings("smoke", seeds=1, widths=(16, 32, 64))
    tables = QUESTION.compute(Given(corpus=load_corpus(text)), settings)
    assert set(tables["runs"]["seed"]) == {0}
    scaling = tables["runs"].query("experiment == 'scaling'")
    assert set(scaling["d_model"]) == {16, 32, 64}


def test_tables_of_a_whole_sweep(micro):
    tables = micro.read_tables("tying")
    assert set(tables) == {
        *("runs", "cells", "costs", "course", "learning"),
        *("scaling", "curves", "tieability", "counts"),
    }
    runs = tables["runs"]
    assert np.isfinite(runs[["nats", "accuracy", "processor_seconds"]]).all(axis=None)
    assert (runs["bits_per_byte"].isna() == (runs["task"] != "text")).all()
    costs = tables["costs"]
    assert set(costs["variant"]) == {"tied", "tied_wide"}
    assert set(costs["experiment"]) == {each.name for each in PRESETS["smoke"]}
    inputs = micro.read_manifest("tying")["inputs"]
    assert inputs["experiments"]["scaling"]["seeds"] == 2
    assert inputs["settings"]["experiments"] == "smoke"


def test_the_section_says_what_the_tables_hold(micro):
    tables = micro.read_tables("tying")
    section = QUESTION.describe(tables, {})
    factor = tables["scaling"].query("variant == 'tied' and counted == 'scaled_parameters'")
    shown = f"{factor['value'].iloc[0]:.2f} times"
    assert shown in section.answer[0]
    assert set(section.captions) == set(QUESTION.draw(tables))
    for table in section.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_figures_are_drawn(micro):
    for name in ("scaling", "variants", "tasks", "tieability"):
        assert micro.figure_path("tying", name, "png").stat().st_size > 10_000
        assert micro.figure_path("tying", name, "pdf").stat().st_size > 5_000


def test_presets_are_sound():
    assert set(QUESTION.presets) == set(PRESETS)
    for name, experiments in PRESETS.items():
        by_name = {each.name: each for each in experiments}
        assert len(by_name["scaling"].widths) >= 4, name
        assert {"separate", "tied", "tied_wide"} <= set(by_name["scaling"].variants)
        assert set(by_name["variants"].variants) == set(presets.ALL)
        assert set(by_name["variants"].widths) <= set(by_name["scaling"].widths)


def test_other_text_changes_the_tasks_on_text_alone():
    settings = TyingSettings("laptop", tokenizer="gpt2", seeds=5, widths=(32, 64, 128))
    changed = choose_experiments(settings, source="mine")
    for before, after in zip(PRESETS["laptop"], changed, strict=True):
        if before.task.name == "text":
            assert (after.task.source, after.task.tokens) == ("mine", "gpt2")
        else:
            assert after == dataclasses.replace(before, seeds=5)
        assert after.seeds == 5
        assert (after.widths == (32, 64, 128)) == (before.name == "scaling")
    plain = choose_experiments(TyingSettings("laptop"), source="text")
    assert plain == PRESETS["laptop"]


@pytest.fixture(scope="module")
def shipped():
    return ResultFolder(data_folder() / PLACE)


def test_the_shipped_tables_are_whole_and_redraw_at_once(shipped, tmp_path):
    done = CliRunner().invoke(app, ["tie", "--shipped", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "For equal loss K = V needs" in done.output
    folder = ResultFolder(tmp_path)
    assert folder.figure_path("tying", "scaling", "png").exists()
    manifest = shipped.read_manifest("tying")
    for name, digest in manifest["files"].items():
        assert hash_file(shipped.path / "tables" / name) == digest
        csv = pd.read_csv((shipped.path / "tables" / name).with_suffix(".csv"))
        assert list(csv) == list(pd.read_parquet(shipped.path / "tables" / name))
    given = Given(corpus=load_corpus())
    inputs = QUESTION.identify(given, TyingSettings())
    inputs |= {"settings": dataclasses.asdict(TyingSettings())}
    assert manifest["inputs"] == json.loads(json.dumps(inputs))
    copied = {"copied": "data/reference/tying"}
    assert folder.read_manifest("tying")["inputs"] == manifest["inputs"] | copied
    for name, table in shipped.read_tables("tying").items():
        pd.testing.assert_frame_equal(table, folder.read_tables("tying")[name])


def test_shipped_names_are_those_of_new_tables(shipped, micro):
    new = micro.read_tables("tying")
    for name, table in shipped.read_tables("tying").items():
        assert list(table) == list(new[name]), name
    old, new = (
        set(folder.read_tables("tying")["tieability"]["measure"]) for folder in (shipped, micro)
    )
    assert old == new


def test_the_provenance_is_that_of_the_shipped_tables(shipped):
    told = json.loads((shipped.path / "PROVENANCE.json").read_text())
    runs = shipped.read_tables("tying")["runs"].drop(columns="experiment")
    each = runs.drop(columns="chosen").drop_duplicates()  # experiments share runs
    assert told["runs"] == len(each)
    assert told["processor_seconds"] == pytest.approx(each["processor_seconds"].sum(), abs=1)
    assert told["sha256"] == shipped.read_manifest("tying")["files"]
    assert told["processor_seconds"] < 2 * 60 * 60  # an hour on two cores


def test_costs_follow_from_the_shipped_runs(shipped):
    tables = shipped.read_tables("tying")
    again = tabulate_costs(tables["runs"])
    pd.testing.assert_frame_equal(again, tables["costs"], rtol=1e-9)
    scaling = tables["scaling"].query("counted == 'scaled_parameters'").reset_index(drop=True)
    runs = tables["runs"].query("experiment == 'scaling'")
    pd.testing.assert_frame_equal(tabulate_scaling(runs), scaling, rtol=1e-3)


def test_unknown_presets_end_with_an_error(tmp_path):
    done = CliRunner().invoke(app, ["tie", "--preset", "huge", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "there is no preset of tying 'huge'" in done.output
    with pytest.raises(UsageError, match=r"no value of tying\.experiments 'huge'"):
        answer(QUESTION, tmp_path, experiments="huge")


def test_a_table_of_runs_names_every_run():
    assert tabulate_runs([]).empty
