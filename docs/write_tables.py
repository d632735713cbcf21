"""Write docs/tables.md from the data dictionary: ``python -m docs.write_tables``."""

from __future__ import annotations

from pathlib import Path

from analyses import NAMES, find_question
from analyses.shared.dictionary import describe_table, list_tables

PAGE = Path(__file__).parent / "tables.md"
HEAD = """# Columns of the tables

Written by `python -m docs.write_tables` from the data dictionary, not by hand; `kvprobes describe
TABLE` prints the same. A star stands for the name of a null or of another column. A table may lack
a column of a null that its model does not allow.
"""


def write() -> str:
    """Return the page."""
    parts = [HEAD]
    for question in NAMES:
        record = find_question(question)
        parts.append(f"## {record.title}\n")
        for table in list_tables():
            if table.partition(".")[0] == question:
                rows = describe_table(table).itertuples(index=False)
                parts.append(f"### `{table}`\n\n| column | unit | meaning |\n|---|---|---|")
                parts.extend(f"| `{row.column}` | {row.unit} | {row.meaning} |" for row in rows)
                parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
