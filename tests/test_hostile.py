"""Strings of files in every output: none runs, steers a terminal or leaves its cell."""

from __future__ import annotations

import csv
import re
import signal
import sys

import pandas as pd
import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from analyses.shared.latex import to_latex
from analyses.shared.section import Shown, ShownTable
from kvprobes.command.errors import CONTROL, explaining_errors, say, show, tell
from kvprobes.command.printing import Console
from kvprobes.results import FORMULA, ResultFolder, guard_cells
from probes.errors import StoreError, TableError
from probes.files import hash_json, write_json
from probes.locks import HOLDER, holding
from probes.words.pairs import load_pairs
from tests.hostile import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_a_csv_is_a_formula(text, tmp_path):
    table = pd.DataFrame({"pair_id": [text, "p1"], text or "none": ["a", text], "n": [-1.5, 2]})
    folder = ResultFolder(tmp_path)
    folder.write_tables("weights", {"table": table}, {})
    with folder.table_path("weights", "table").with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 3
    for cell in (cell for row in rows for cell in row if not cell.startswith("-1.5")):
        assert not cell.startswith(FORMULA)
        assert cell.removeprefix("'") in (text, "pair_id", "p1", "a", "n", "2")
    pd.testing.assert_frame_equal(folder.read_tables("weights")["table"], table)
    assert guard_cells(table)["n"].tolist() == [-1.5, 2]


@pytest.mark.parametrize("text", [*HOSTILE, "\udcff bytes of a path"])
def test_nothing_steers_the_terminal(text, capsys):
    say(text)
    tell(text)
    table = Table("column")
    table.add_row(text)
    Console(width=80).print(table)
    with pytest.raises(typer.Exit), explaining_errors():
        raise TableError(text)
    printed = capsys.readouterr()
    assert not CONTROL.search(printed.out + printed.err)
    assert show("plain\n\ttext 神经") == "plain\n\ttext 神经"


@pytest.mark.parametrize(
    "text", [*HOSTILE, *"\\{}$&#%_~^[]<>|", "\\input{x}", "a\nb", "\u2212²\u00d7"]
)
def test_latex_prints_every_word_as_it_is(text):
    """Out of its braces and commands, only what starts no command of its own is left."""
    table = ShownTable(text, text, (text, "n"), ((text, Shown("0.5", "0.4 to 0.6", clear=True)),))
    lines = to_latex(table).splitlines()
    assert len(lines) == 12  # no line break of the text's own
    title, cell = lines[3], lines[8].removesuffix(r" \\").partition(" & ")
    assert title == rf"\caption{{{cell[0]} {cell[0]}}}".replace("{ }", "{}")
    assert cell[2] == r"\textbf{0.5} {\scriptsize (0.4 to 0.6)}"
    ours = r"\\(textbackslash|textasciitilde|textasciicircum|dots)\{\}|\$[^$]+\$|\{[][]\}"
    rest = re.sub(rf"{ours}|\\[{{}}$&#%_]", "", cell[0])
    assert not set(rest) & set("\\{}$&#%_~^[]")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_hostile_string_is_a_word(text):
    pairs = pd.DataFrame({"head": ["net"], "m1": [text], "m2": ["tea"]})
    with pytest.raises(TableError):
        load_pairs(pairs)


def test_a_link_in_the_place_of_the_holder_is_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / HOLDER).symlink_to(target)
    with holding(tmp_path / "folder"):
        assert not (tmp_path / "folder" / HOLDER).is_symlink()
    assert target.read_text() == "mine"


def test_a_full_disk_at_the_lock_is_an_error_of_ours(tmp_path, monkeypatch):
    def fail(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr("probes.locks.write_text", fail)
    with pytest.raises(StoreError, match="disk is full"), holding(tmp_path):
        pass
    monkeypatch.undo()
    with holding(tmp_path):  # and the lock is free again
        pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "/cache/x"), "write /cache/x: Permission denied"),
        (OSError(28, "No space left on device"), "No space left"),
        (MemoryError(), "not enough memory"),
        (UnicodeEncodeError("utf-8", "out\udcff", 3, 4, "surrogates not allowed"), "another name"),
    ],
)
def test_what_the_machine_lacks_is_told_in_a_line(error, told):
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        with explaining_errors():
            raise error

    result = CliRunner().invoke(app)
    assert result.exit_code == 1
    assert told in result.output


def test_a_second_ctrl_c_changes_nothing(capsys):
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(typer.Exit) as caught, explaining_errors():
            raise KeyboardInterrupt
        assert caught.value.exit_code == 130
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "resumes" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="paths are text there")
def test_a_path_that_is_no_utf8_can_be_written_down(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"source": "\udcff"})
    assert b"\\udcff" in path.read_bytes()
    assert hash_json({"source": "\udcff"}) != hash_json({"source": ""})
