"""The data dictionary names every column once, and the page is written from it."""

from pathlib import Path

import pandas as pd
import pytest

from analyses.shared.dictionary import describe_table, find_column, list_columns, list_tables
from docs.write_tables import PAGE, write
from probes.errors import UsageError


def test_every_column_has_a_unit_and_a_sentence():
    for column in list_columns():
        assert all((column.column, column.unit, column.tables)), column
        assert column.meaning.endswith("."), column


@pytest.mark.parametrize("table", list_tables())
def test_a_column_has_one_meaning_in_a_table(table):
    names = describe_table(table)["column"]
    assert not names.duplicated().any(), names[names.duplicated()].tolist()


def test_the_shipped_tables_are_described():
    for path in sorted(Path("data/reference/tying/tables").glob("*.parquet")):
        table = path.stem
        columns = pd.read_parquet(path).columns
        assert [name for name in columns if find_column(table, name) is None] == []


def test_an_exact_name_goes_before_a_pattern():
    assert find_column("divergence.heads", "random_heads_mean").column == "*_mean"
    assert find_column("divergence.heads", "ci_low").column == "ci_low"
    assert find_column("divergence.heads", "unheard") is None
    with pytest.raises(UsageError, match=r"no table 'divergence.head'. Did you mean"):
        describe_table("divergence.head")


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == write()
