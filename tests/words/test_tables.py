"""Tables are read as they are, and every fault is named."""

from pathlib import Path

import pandas as pd
import pytest

from probes.errors import TableError
from probes.words import tables
from probes.words.tables import data_folder, read_table

ODD = ["null", "nan", "None", "true", "NA", "", "1e5", "007"]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".TSV"])
def test_text_survives_as_written(tmp_path: Path, suffix: str) -> None:
    separator = "," if suffix == ".csv" else "\t"
    rows = [f"{word}{separator}x" for word in ODD]
    path = write(tmp_path, f"t{suffix}", "\n".join([f"head{separator}m1", *rows]) + "\n")
    frame = read_table(path)
    assert list(frame["head"]) == ODD
    assert all(type(cell) is str for cell in frame["head"])


def test_parquet_and_frames_give_the_same_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"head": ["null", None, "nan"], "z": [1.5, 2.0, None]}, index=[7, 3, 5])
    frame.to_parquet(tmp_path / "t.parquet")
    text = write(tmp_path, "t.tsv", "head\tz\nnull\t1.5\n\t2\nnan\t\n")
    expected = pd.DataFrame({"head": ["null", "", "nan"], "z": [1.5, 2.0, None]}, dtype=object)
    expected["z"] = expected["z"].astype("float64")
    for source in (frame, tmp_path / "t.parquet", text, str(text)):
        pd.testing.assert_frame_equal(read_table(source, numeric=["z"]), expected)
    assert frame["head"].isna().sum() == 1  # the caller's frame is left alone


def test_tsv_quotes_are_plain_and_csv_quotes_quote(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "t.tsv", 'a\tb\n"x\ty"\n')).loc[0, "a"] == '"x'
    assert read_table(write(tmp_path, "t.csv", 'a,b\n"x,y",z\n')).loc[0, "a"] == "x,y"


def test_a_quoted_comma_keeps_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'word,near,count,score\n"new, old",cup,7,1.5\n')
    [row] = read_table(path, numeric=["score"]).to_dict("records")
    assert row == {"word": "new, old", "near": "cup", "count": "7", "score": 1.5}
    path = write(tmp_path, "u.csv", "word,near,count,score\nnew, old,cup,7,1.5\n")
    with pytest.raises(TableError, match="row 2: 5 cells, but the header has 4"):
        read_table(path)


def test_windows_files_read_alike(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "t.tsv", b"\xef\xbb\xbfhead\tm1\r\nnet\tnew\r\n"))
    assert frame.to_dict("list") == {"head": ["net"], "m1": ["new"]}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.xlsx", "a\n1\n", "ends in .xlsx"),
        ("t", "a\n1\n", "ends in nothing"),
        ("t.tsv", "", "is empty"),
        ("t.csv", " \n\n", "is empty"),
        ("t.tsv", b"a\tb\nx\ty\nq\t\xff\n", r"0xff at offset 10 \(line 3\)"),
        ("t.tsv", "a\tb\nx\ty\nx\n", "row 3: 1 cells, but the header has 2"),
        ("t.tsv", "a\tb\nx\ty\tz\n", "row 2: 3 cells, but the header has 2"),
        ("t.csv", "a,b\nx,y\n\nx,y\n", "row 3: 0 cells"),
        ("t.csv", 'a,b\n"x,y\n', "malformed near line 2"),
        ("t.tsv", "a\ta\nx\ty\n", "more than one column called 'a'"),
        ("t.tsv", "a\t\nx\ty\n", "column called ''"),
        ("t.parquet", "not parquet", "is not a parquet file"),
    ],
)
def test_faults_name_the_file_and_the_reason(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(TableError, match=told) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no file .*gone\.tsv"):
        read_table(tmp_path / "gone.tsv")
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(TableError, match=r"folder\.tsv cannot be read"):
        read_table(tmp_path / "folder.tsv")


def test_numbers_that_are_none_are_named_by_row_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", "a\tz\nx\t1\ny\thigh\nw\tnan\nv\tinf\n")
    with pytest.raises(TableError, match="3 problems") as caught:
        read_table(path, numeric=["z", "absent"])
    assert "row 3, column z: 'high'" in str(caught.value)
    assert "row 4, column z: 'nan'" in str(caught.value)


def test_at_most_ten_problems_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", "z\n" + "x\n" * 25)
    with pytest.raises(TableError, match="and 15 more") as caught:
        read_table(path, numeric=["z"])
    assert str(caught.value).count("is not a finite number") == 10


def test_shipped_tables_are_found_in_a_checkout_and_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (data_folder() / "templates.tsv").is_file()
    package = tmp_path / "probes"
    for place in (tmp_path / "data", package / "_data"):
        place.mkdir(parents=True)
    monkeypatch.setattr(tables, "__file__", str(package / "words" / "tables.py"))
    with pytest.raises(TableError, match="neither in"):  # a `data` of somebody else
        data_folder()
    (tmp_path / "data" / tables.MARKER).touch()
    assert data_folder() == tmp_path / "data"
    (package / "_data" / tables.MARKER).touch()
    assert data_folder() == package / "_data"
