"""Reading tables strictly: every cell of text stays text, every fault is named by its row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from probes.errors import TableError, UsageError

SUFFIXES = (".tsv", ".csv", ".parquet")
MARKER = "compound_pairs.tsv"  # a folder without it is somebody else's `data`
SHOWN = 10  # problems reported in one error


Skip = Callable[[str], None]
"""Hears, in words, of rows that are left out because of their faults."""


class Problem(NamedTuple):
    """One fault of a table; rows count as in the file, the header being row 1."""

    row: int
    column: str
    value: object
    reason: str


def data_folder() -> Path:
    """Return the folder of the shipped tables, in an installed wheel or in a checkout.

    Raises
    ------
    TableError
        If neither place holds them.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "_data", package.parent / "data")
    for place in places:
        if (place / MARKER).is_file():
            return place
    raise TableError(
        f"the shipped tables ({MARKER} and others) are neither in {places[0]} nor in {places[1]}. "
        "Reinstall kvprobes, or pass the path of a table of your own."
    )


def find_table(
    source: str | Path | pd.DataFrame, shipped: Sequence[str]
) -> str | Path | pd.DataFrame:
    """Turn the name of a shipped table into its path; paths and frames pass unchanged."""
    if not isinstance(source, str):
        return source
    if source in shipped:
        return data_folder() / f"{source}.tsv"
    if not Path(source).suffix and not Path(source).exists():
        raise TableError(
            f"no table is called {source!r}: the shipped ones are {', '.join(shipped)}. "
            f"Or pass the path of a file ending in {', '.join(SUFFIXES)}."
        )
    return source


def read_table(
    source: str | Path | pd.DataFrame, *, numeric: Collection[str] = (), skip: Skip | None = None
) -> pd.DataFrame:
    """Read a table from a TSV, CSV or parquet file, or take a DataFrame.

    Cells of text are kept as they are, so that words such as "null", "nan" and "true" survive;
    tabs separate and quotes are plain characters in TSV, quotes quote in CSV. Missing cells of text
    columns become "". Row *i* of the result is row *i* + 2 of the file (the header is row 1).

    Parameters
    ----------
    source
        A path, whose suffix says the format, or a frame, which is copied.
    numeric
        Names of columns to convert to float64 where they are present; an empty cell becomes NaN.
    skip
        Leaves out rows that are ragged or hold no number where one must be, and gets them; the
        index of the others stays. Without it they are refused.

    Raises
    ------
    TableError
        If the file is missing, empty, not UTF-8 or of an unknown suffix, if rows are ragged, if
        column names repeat, or if a cell of a numeric column is not a finite number.
    """
    if isinstance(source, pd.DataFrame):
        name, frame = "the given DataFrame", source.reset_index(drop=True)
    else:
        name, frame = str(source), _read_file(Path(source), skip)
    _check_header(name, list(frame.columns))
    problems: list[Problem] = []
    columns = {
        column: _read_numbers(column, frame[column], problems)
        if column in numeric
        else frame[column]
        if is_numeric_dtype(frame[column])
        else _read_text(frame[column])
        for column in frame.columns
    }
    return leave_out(name, pd.DataFrame(columns, index=frame.index), problems, skip)


def load_table(
    source: str | Path | pd.DataFrame,
    shipped: Sequence[str],
    needed: Sequence[str],
    *,
    numeric: Collection[str] = (),
    skip: Skip | None = None,
) -> tuple[str, pd.DataFrame]:
    """Read a shipped table by its name, or any other, and see that it has what is needed.

    Parameters
    ----------
    source, numeric, skip
        See `read_table`.
    shipped
        The names of shipped tables that may be given.
    needed
        Columns that it must have.

    Returns
    -------
    What errors call the table, and the table.

    Raises
    ------
    TableError
        If the table cannot be read, lacks a column or has no rows.
    """
    table = find_table(source, shipped)
    name, frame = name_source(table), read_table(table, numeric=numeric, skip=skip)
    require_columns(name, frame, needed)
    return name, frame


def require_limit(limit: int | None) -> None:
    """Raise a UsageError unless a limit on rows is None or a whole number from 1."""
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise UsageError(f"limit is {limit!r}: a whole number of pairs, 1 or more, was expected.")


def find_repeated(column: str, names: pd.Series) -> Iterator[Problem]:
    """Find the cells of a column of names that are empty or that repeat one above."""
    first: dict[object, int] = {}
    for row, name in zip(names.index + 2, names, strict=True):
        if not str(name).strip():
            yield Problem(row, column, name, "is empty")
        elif name in first:
            yield Problem(row, column, name, f"repeats row {first[name]}")
        first.setdefault(name, row)


def name_source(source: str | Path | pd.DataFrame) -> str:
    """Return what errors call a source."""
    return "the given DataFrame" if isinstance(source, pd.DataFrame) else str(source)


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text, with or without a byte order mark; all ends of lines become LF.

    Raises
    ------
    TableError
        If the file is missing, cannot be read or is not UTF-8.
    """
    return io.StringIO(_decode(path, _read_bytes(path)), newline=None).read()


def require_columns(name: str, frame: pd.DataFrame, needed: Sequence[str]) -> None:
    """Raise a TableError unless `frame` has the `needed` columns and at least one row."""
    missing = [column for column in needed if column not in frame.columns]
    if missing:
        raise TableError(
            f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: it has "
            f"{', '.join(map(str, frame.columns)) or 'none'}, and needs {', '.join(needed)}."
        )
    if frame.empty:
        raise TableError(f"{name} has no rows below its header. Give it at least one.")


def raise_problems(name: str, problems: Iterable[Problem]) -> None:
    """Raise one TableError that names the first problems by row; return if there are none."""
    found = sorted(problems, key=lambda problem: problem.row)
    if found:
        count = f"{len(found)} problem{'s' * (len(found) > 1)}"
        raise TableError(
            f"{name} has {count} (row 1 is the header):\n{_list_problems(found, SHOWN)}\n"
            "Correct the table."
        )


def leave_out(
    name: str, frame: pd.DataFrame, problems: Iterable[Problem], skip: Skip | None
) -> pd.DataFrame:
    """Return `frame` without the rows that have problems, and tell `skip` how many and which.

    Rows are known by their index, which counts from 0 as in the file. Without `skip`, problems are
    raised.
    """
    if skip is None:
        raise_problems(name, problems)
        return frame
    found = sorted(problems, key=lambda problem: problem.row)
    rows = {problem.row - 2 for problem in found}
    if rows:
        skip(
            f"{name}: {len(rows)} row{'s' * (len(rows) > 1)} left out (row 1 is the header):\n"
            f"{_list_problems(found, len(found))}"
        )
    kept = frame[~frame.index.isin(rows)]
    if rows and kept.empty:
        raise TableError(f"{name} has no row without a fault. Correct the table.")
    return kept


def _list_problems(found: Sequence[Problem], shown: int) -> str:
    lines = [f"  row {p.row}, column {p.column}: {p.value!r} {p.reason}" for p in found[:shown]]
    return "\n".join(lines + [f"  and {len(found) - shown} more"] * (len(found) > shown))


def _read_file(path: Path, skip: Skip | None) -> pd.DataFrame:
    if path.suffix.lower() not in SUFFIXES:
        raise TableError(
            f"{path} ends in {path.suffix or 'nothing'}: a table ends in {', '.join(SUFFIXES)}."
        )
    content = _read_bytes(path)
    if not content.strip():
        raise TableError(f"{path} is empty: a header and at least one row were expected.")
    if path.suffix.lower() == ".parquet":
        try:
            return pd.read_parquet(io.BytesIO(content)).reset_index(drop=True)
        except Exception as error:  # pyarrow raises many kinds
            raise TableError(f"{path} is not a parquet file that can be read: {error}") from error
    return _parse(path, content, skip)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TableError(f"there is no file {path}. Check the path.") from error
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}.") from error


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start} "
            f"(line {line}). Save it as UTF-8."
        ) from error


def _parse(path: Path, content: bytes, skip: Skip | None) -> pd.DataFrame:
    lines = io.StringIO(_decode(path, content), newline="")
    reader = (
        csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if path.suffix.lower() == ".tsv"
        else csv.reader(lines, strict=True)
    )
    try:
        header, *rows = [*reader] or [[]]
    except csv.Error as error:
        raise TableError(f"{path} is malformed near line {reader.line_num}: {error}.") from error
    while rows and not rows[-1]:
        rows.pop()
    width = len(header)
    for number, row in enumerate(rows, start=2):
        if skip is None and len(row) != width:
            raise TableError(
                f"{path}, row {number}: {len(row)} cells, but the header has {width}. "
                "Give every row as many cells as the header."
            )
    problems = [
        Problem(number, "all", "\t".join(row), f"has {len(row)} cells, not {width} as the header")
        for number, row in enumerate(rows, start=2)
        if len(row) != width
    ]
    cells = [(row + [""] * width)[:width] for row in rows]
    frame = pd.DataFrame(cells, columns=range(width), dtype=object)
    frame = frame.set_axis(pd.Index(header, dtype=object), axis="columns")
    return leave_out(str(path), frame, problems, skip)


def _check_header(name: str, columns: list[object]) -> None:
    for column in columns:
        if not isinstance(column, str) or not column.strip():
            raise TableError(f"{name} has a column called {column!r}: columns need a name of text.")
        if columns.count(column) > 1:
            raise TableError(f"{name} has more than one column called {column!r}. Rename one.")


def _read_text(cells: pd.Series) -> pd.Series:
    return pd.Series(
        ["" if pd.isna(cell) else str(cell) for cell in cells], index=cells.index, dtype=object
    )


def _read_numbers(column: str, cells: pd.Series, problems: list[Problem]) -> pd.Series:
    numbers = []
    for row, cell in zip(cells.index + 2, cells, strict=True):
        if pd.isna(cell) or cell == "":
            numbers.append(math.nan)
            continue
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            problems.append(Problem(row, column, cell, "is not a finite number"))
        numbers.append(number)
    return pd.Series(numbers, index=cells.index, dtype="float64")
