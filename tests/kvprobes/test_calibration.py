"""A small calibration, from weights to verdict; and every mutant of the instrument fails it."""

import json

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from analyses import find_question
from analyses.co_attended import CoAttendedSettings
from analyses.shared.tables import select
from kvprobes.calibration.cells import ALL, CELLS, KEYS, NOTHING, Cell
from kvprobes.calibration.reading import PLANTED_SOURCE
from kvprobes.calibration.run import SHIPPED, CalibrationOptions, calibrate
from kvprobes.calibration.small import SmallRun
from kvprobes.calibration.tables import is_right, summarise, tabulate
from kvprobes.command.cli import app
from kvprobes.results import ResultFolder
from probes.files import hash_file
from probes.planted.design import GROUP, Planting
from probes.similarity.co_attended import sentences
from probes.similarity.coordinates import centre, to_coordinates
from probes.words.tables import data_folder

HEADS = 32
PLANTED = Cell("planted", Planting(1.0, common=100.0), ALL)
EMPTY = Cell("empty", Planting(0.0), NOTHING)


def make(cell, folder):
    return SmallRun.make(cell, 3, folder, heads=HEADS)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return make(PLANTED, tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def given(planted):
    return planted.session.gather(find_question("co_attended"))


def ask(run, given):
    """Answer from the captures that are there; a mutant reads them differently."""
    tables = find_question("co_attended").compute(given, CoAttendedSettings(**run.settings))
    return select(run.read(tables), source=PLANTED_SOURCE)


def list_faults(found, cell):
    """Say what is wrong: answers that are not as expected, numbers of a wrong sign or size."""
    verdicts = dict(zip(found["measure"], found["verdict"], strict=True))
    faults = [
        name
        for name, wanted in cell.expected.items()
        if (verdicts[name] == "yes") != (wanted == "yes")
    ]
    known = found[found["planted"].notna() & (found["measure"] != "key_gap")]
    return faults + [row.measure for row in known.itertuples() if not is_right(row, row.measure)]


def test_what_is_planted_is_found(planted, given):
    assert list_faults(ask(planted, given), PLANTED) == []


def test_nothing_planted_nothing_found(tmp_path):
    run = make(EMPTY, tmp_path)
    assert list_faults(ask(run, run.session.gather(find_question("co_attended"))), EMPTY) == []


def uncentred(vectors, space, *, metric, templates):
    return to_coordinates(vectors, metric)


def raw(vectors, space, *, metric, templates):
    return centre(vectors, templates)


def unconditioned(left, right, **options):
    return torch.full_like(left, 0.25)


def of_another_head(left, right, **options):
    return choose(left.roll(GROUP, 0), right.roll(GROUP, 0), **options)


choose = sentences.choose_in_sentences
MUTANTS = {
    "no centring": ("to_space", uncentred),
    "another metric": ("to_space", raw),
    "no conditioning on attention": ("choose_in_sentences", unconditioned),
    "another head's attention": ("choose_in_sentences", of_another_head),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_of_the_instrument_fails(planted, given, monkeypatch, mutant):
    monkeypatch.setattr(sentences, *MUTANTS[mutant])
    assert "key_percentile" in list_faults(ask(planted, given), PLANTED)


def rows(cell, seed, *entries):
    names = ["measure", "planted", "found", "ci_low", "ci_high", "verdict"]
    table = pd.DataFrame(entries, columns=names)
    return table.assign(source=PLANTED_SOURCE, model="small", cell=cell, seed=seed)


def test_rates_count_seeds():
    nan = float("nan")
    runs = pd.concat(
        [
            rows(
                "nothing",
                seed,
                ("key_percentile", 50.0, found, found - 1, found + 1, ""),
                ("key_gap", 1.0, found / 50, 0.1, 0.2, ""),
                (KEYS, nan, nan, nan, nan, verdict),
                ("planted heads found", nan, nan, nan, nan, ""),
                ("other heads found", nan, 0.25 * seed, nan, nan, ""),
            )
            for seed, (found, verdict) in enumerate(
                [(50.5, "no"), (52.5, "undetermined"), (60, "yes")]
            )
        ]
    )
    tables = tabulate(runs)
    numbers = tables["numbers"].set_index("measure")
    assert numbers.loc["key_percentile", ["right", "covered"]].tolist() == pytest.approx(
        [2 / 3, 1 / 3]
    )
    assert numbers.loc["key_gap", "right"] == pytest.approx(2 / 3)  # 1.2 is not within a tenth of 1
    answers = tables["answers"].iloc[0]
    assert answers[["yes", "no", "undetermined"]].tolist() == pytest.approx([1 / 3] * 3)
    assert answers["expected"] == "not yes"
    assert answers["right"] == pytest.approx(2 / 3)
    assert tables["heads"][["heads", "found"]].to_numpy().tolist() == [["other", 0.25]]
    assert "33.3% of 3 answers" in summarise(tables)[1]


@pytest.mark.parametrize(
    ("planted", "found", "right"),
    [(55, 57, True), (55, 59, False), (54, 49.9, False), (51, 49.5, True), (45, 46, True)],
)
def test_sign_and_size(planted, found, right):
    (row,) = rows("x", 0, ("difference", planted - 50, found - 50, 90, 91, "")).itertuples()
    assert is_right(row, "difference") is right


def test_a_calibration_goes_on_from_what_is_finished(tmp_path, monkeypatch):
    made = []

    def run(cell, seed, *, heads):
        made.append((cell.name, seed))
        if len(made) == 3:
            raise KeyboardInterrupt
        return rows(cell.name, seed, ("difference", 0.0, 1.0, 0.0, 2.0, "")).drop(
            columns=["model", "cell", "seed"]
        )

    monkeypatch.setattr("kvprobes.calibration.run.run_small", run)
    monkeypatch.setattr("kvprobes.calibration.run.draw_tables", lambda tables: {})
    options = CalibrationOptions(seeds=2, cells=("nothing", "classes"))
    folder = ResultFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        calibrate(folder, options, say=lambda _: None)
    calibrate(folder, options, say=lambda _: None)
    assert made == [("nothing", 0), ("classes", 0), ("nothing", 1), ("nothing", 1), ("classes", 1)]
    assert len(folder.read_tables("calibration")["numbers"]) == 2


def test_the_shipped_tables_are_whole_and_redraw_at_once(tmp_path):
    done = CliRunner().invoke(app, ["calibrate", "--shipped", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "have the right sign and size" in done.output
    shipped, folder = ResultFolder(data_folder() / SHIPPED), ResultFolder(tmp_path)
    assert folder.figure_path("calibration", "found", "png").exists()
    told = json.loads((shipped.path / "PROVENANCE.json").read_text(encoding="utf-8"))
    assert told["sha256"] == shipped.read_manifest("calibration")["files"]
    tables = shipped.read_tables("calibration")
    for name, table in tables.items():
        assert (
            hash_file(shipped.table_path("calibration", name))
            == told["sha256"][f"calibration.{name}.parquet"]
        )
        pd.testing.assert_frame_equal(tabulate(tables["runs"])[name], table)
    assert {cell.name for cell in CELLS} <= set(tables["runs"]["cell"])
