"""Runs on disk and sweeps: trained once, never mixed, and the same whoever trains them."""

from __future__ import annotations

import dataclasses
import os
import signal

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from probes.errors import ClusterError, UsageError
from probes.sealed import read_sealed
from probes.tying import sweep
from probes.tying.associative import HeteroAssociative
from probes.tying.counts import count_parameters
from probes.tying.runs import TaskSettings, find_run, make_task, run_once
from probes.tying.score import score
from probes.tying.sweep import Experiment, choose_rate, estimate_work, run_sweep
from probes.tying.transformer import Transformer
from tests.tying.examples import hash_folder, make_run, write_text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


def test_a_run_keeps_its_model_log_and_manifest(text, tmp_path):
    settings = make_run(text, variant="tied_wide")
    manifest = run_once(tmp_path, settings)
    folder = find_run(tmp_path, settings)
    assert manifest == read_sealed(folder.path / "manifest.json")
    model = Transformer(settings.make_shape(make_task(settings.task)[0]), seed=9)
    model.load_state_dict(load_file(folder.path / "model.safetensors"))
    task, _ = make_task(settings.task)
    assert manifest["test"]["nats"] == score(model, task.unseen("test")).nats
    log = pd.read_csv(folder.path / "log.csv")
    assert log["step"].tolist() == [0, 3, 6, 9, 12]
    assert log["validation_nats"].iloc[-1] == manifest["validation"]["nats"]
    assert score(model, task.unseen("validation")).nats == manifest["validation"]["nats"]
    assert sum(manifest["parameters"].values()) == sum(p.numel() for p in model.parameters())
    assert set(pd.read_csv(folder.path / "tieability.csv")["when"]) == {"untrained", "trained"}
    assert manifest["processor_seconds"] > 0


def test_a_finished_run_is_not_trained_again_and_a_damaged_one_is(text, tmp_path, monkeypatch):
    settings = make_run(text)
    first = run_once(tmp_path, settings)
    folder, heard = find_run(tmp_path, settings), []
    assert run_once(tmp_path, settings, on_step=heard.append) == first
    assert heard == [12]
    before = hash_folder(folder.path)
    with (folder.path / "log.csv").open("a") as stream:
        stream.write("1\n")
    again = run_once(tmp_path, settings, on_step=heard.append)
    assert heard == [12, *[1] * 12]
    assert hash_folder(folder.path) == before
    assert again["test"] == first["test"]


def test_other_settings_or_text_stand_elsewhere(text, tmp_path):
    settings = make_run(text)
    paths = {find_run(tmp_path, settings).path}
    for other in (
        make_run(text, seed=1),
        make_run(text, variant="separate"),
        settings.with_training(clip=2.0),
        dataclasses.replace(settings, n_layers=2),
        make_run(write_text(tmp_path / "other")),
    ):
        paths.add(find_run(tmp_path, other).path)
    assert len(paths) == 6


def test_the_same_text_elsewhere_has_the_same_data(text, tmp_path):
    mine, other = (
        make_task(TaskSettings(source=str(path), length=16))[1]
        for path in (text, write_text(tmp_path / "copy"))
    )
    assert mine == other != ""


def test_tasks_by_name():
    task, data = make_task(TaskSettings("recall", options=(("items", 3), ("values", 5))))
    assert task == HeteroAssociative(items=3, values=5)
    assert data == ""
    with pytest.raises(UsageError, match="no task 'recal'"):
        make_task(TaskSettings("recal"))


def test_heads_must_fill_the_width(text):
    settings = dataclasses.replace(make_run(text), d_head=3)
    with pytest.raises(UsageError, match="no multiple of d_head 3"):
        settings.make_shape(make_task(settings.task)[0])


def make_experiments(text):
    first = Experiment(
        name="a",
        task=TaskSettings(source=str(text), length=16),
        variants=("separate", "tied"),
        widths=(8, 12),
        training=make_run(text, steps=4, evaluations=1).training,
        rates=(1e-3, 1e-2),
        seeds=3,
        d_heads=(4,),
        n_layers=1,
    )
    return first, dataclasses.replace(first, name="b", widths=(12,), seeds=2)


def test_a_sweep_chooses_rates_and_trains_what_is_shared_once(text, tmp_path, monkeypatch):
    trained = []

    def count(root, settings, **options):
        trained.append(settings)
        return run_once(root, settings, **options)

    monkeypatch.setattr(sweep, "run_once", count)
    found = run_sweep(tmp_path, make_experiments(text))
    # four cells with two rates each, then two more seeds of each; "b" has nothing of its own
    assert len(trained) == len(set(trained)) == 4 * 2 + 4 * 2
    assert len(found) == 4 * (2 + 2) + 2 * (2 + 1)
    table = pd.DataFrame(
        {
            "cell": (r.experiment, r.settings.variant, r.settings.d_model),
            "rate": r.settings.training.learning_rate,
            "seed": r.settings.training.seed,
            "chosen": r.chosen,
            "nats": r.manifest["validation"]["nats"],
        }
        for r in found
    )
    for _, mine in table.groupby("cell"):
        first = mine[mine["seed"] == 0]
        best = first.loc[first["nats"].idxmin(), "rate"]
        assert set(mine.loc[mine["chosen"], "rate"]) == {best}
        assert set(mine.loc[mine["seed"] > 0, "rate"]) == {best}
    # a sweep that is cut short has whole seeds: every cell's second before any cell's third
    seeds = [settings.training.seed for settings in trained]
    assert seeds == sorted(seeds)


def test_two_processes_train_the_same_models(text, tmp_path):
    experiments = [dataclasses.replace(make_experiments(text)[1], rates=(1e-2,))]
    alone = run_sweep(tmp_path / "alone", experiments)
    both = run_sweep(tmp_path / "both", experiments, workers=2)
    assert [run.settings for run in both] == [run.settings for run in alone]
    for run in alone:
        hashes = [
            hash_folder(find_run(tmp_path / name, run.settings).path) for name in ("alone", "both")
        ]
        assert hashes[0] == hashes[1]
        assert len(hashes[0]) == 3


def test_work_counts_parameters_and_tokens(text):
    settings = make_run(text, variant="tied_wide")
    shape = settings.make_shape(make_task(settings.task)[0])
    counts = count_parameters(shape)
    scaled = sum(counts.values()) - counts["embedding"] - counts["norms"]
    assert estimate_work(settings) == scaled * 12 * 2 * 16


def test_of_equal_rates_the_lower_is_chosen():
    assert choose_rate({3e-3: 1.5, 1e-3: 1.5, 1e-2: 1.6}) == 1e-3
    assert choose_rate({1e-2: 1.2, 1e-3: 1.5}) == 1e-2


def test_an_empty_experiment_is_refused(text):
    with pytest.raises(UsageError, match="0 learning rates"):
        dataclasses.replace(make_experiments(text)[0], rates=())


def kill_this_process(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_an_error_of_ours(text, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_once", kill_this_process)  # what its processes are sent
    with pytest.raises(ClusterError, match=r"was killed.*Finished runs .* kept.*fewer --workers"):
        run_sweep(tmp_path, make_experiments(text)[1:], workers=2)


def test_threads_are_put_back(text, tmp_path):
    before = torch.get_num_threads()
    run_sweep(tmp_path, make_experiments(text)[1:])
    assert torch.get_num_threads() == before
