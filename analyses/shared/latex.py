"""The printed tables of a question as LaTeX, for a paper: booktabs, every word escaped."""

from __future__ import annotations

import unicodedata

from analyses.shared.section import Entry, ShownTable

_SIGNS = str.maketrans(
    {sign: f"\\{sign}" for sign in "{}$&#%_"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "[": "{[}", "]": "{]}"}
    # What pdflatex does not read as it is.
    | {"\N{MINUS SIGN}": "$-$", "\N{MULTIPLICATION SIGN}": r"$\times$", "²": "$^2$"}
    | {"±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$", "→": r"$\to$"}
    | {"\N{GREEK SMALL LETTER RHO}": r"$\rho$", "κ": r"$\kappa$", "Δ": r"$\Delta$"}
    | {
        "\N{EN DASH}": "--",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "·": r"$\cdot$",
        "…": r"\dots{}",
    }
)


def to_latex(table: ShownTable) -> str:
    r"""Write a table as the report prints it: intervals in small type, what is clear in bold.

    Examples
    --------
    >>> print(to_latex(ShownTable("A & b.", "", ("word", "n"), (("50 %", None),))))
    % Needs \usepackage{booktabs}.
    \begin{table}
    \centering
    \caption{A \& b.}
    \begin{tabular}{lr}
    \toprule
    word & n \\
    \midrule
    50 \% & -- \\
    \bottomrule
    \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    form = "l" * table.n_words + "r" * (len(table.columns) - table.n_words)
    rows = (" & ".join(map(_spell, row)) + r" \\" for row in table.rows)
    return "\n".join(
        (
            r"% Needs \usepackage{booktabs}.",
            *(r"\begin{table}", r"\centering"),
            rf"\caption{{{escape(f'{table.title} {table.note}')}}}",
            *(rf"\begin{{tabular}}{{{form}}}", r"\toprule"),
            " & ".join(map(escape, table.columns)) + r" \\",
            *(r"\midrule", *rows, r"\bottomrule"),
            *(r"\end{tabular}", r"\end{table}", ""),
        )
    )


def escape(text: str) -> str:
    r"""Return a text that LaTeX prints as it is; line breaks and control signs become spaces.

    >>> print(escape("50 % of {x}"))
    50 \% of \{x\}
    """
    plain = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    return " ".join(plain.split()).translate(_SIGNS)


def _spell(cell: Entry) -> str:
    if cell is None:
        return "--"
    if isinstance(cell, str):
        return escape(cell)
    value = rf"\textbf{{{escape(cell.value)}}}" if cell.clear else escape(cell.value)
    return rf"{value} {{\scriptsize ({escape(cell.interval)})}}" if cell.interval else value
