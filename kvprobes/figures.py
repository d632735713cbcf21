"""Figures of your own: a map of any table in your axes, and a run's figures at your width."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvprobes.finished import Results
from kvprobes.results import save_figure
from probes.errors import TableError, UsageError
from probes.naming import require_known

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_heads(
    table: pd.DataFrame,
    value: str = "value",
    *,
    ax: Axes | None = None,
    middle: float | None = None,
    label: str | None = None,
    head: str = "kv_head",
    bar: bool = True,
    **where: Any,
) -> Axes:
    """Draw a number of every layer and head as a heat map.

    Parameters
    ----------
    table
        With ``layer``, the column `head` and the column `value`: of `compare`, `measure`, `probe`,
        or of a finished run.
    value
        The column to draw.
    ax
        Where; a new figure of pyplot without it.
    middle
        The number at which the two colours meet. Without it: 50 for a percentile, 0 where there are
        numbers below it, else colours go from 0 upwards.
    label
        Of the colour bar; the name of the column without it.
    head
        The column of the heads: ``kv_head``, or ``head`` for query heads.
    bar
        Whether there is a colour bar.
    where
        Which rows: ``space="centred"``, ``part="keys"``.

    Returns
    -------
    The axes, with layers upwards and heads to the right. A head without a number stays white.

    Raises
    ------
    UsageError
        If a column is missing.
    TableError
        If no row is left, no number, or several rows per head: the message says what to choose.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, pandas as pd
    >>> table = pd.DataFrame({"layer": [0, 1], "kv_head": [0, 0], "value": [0.1, 0.9]})
    >>> draw_heads(table, ax=plt.figure().add_subplot()).get_ylabel()
    'layer'
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import Normalize

    from analyses.shared.maps import add_bar, draw_map, scale_from_zero
    from analyses.shared.style import DIVERGING, SEQUENTIAL
    from analyses.shared.tables import select

    for column in ("layer", head, value, *where):
        require_known("column of this table", column, map(str, table))
    rows = select(table, **where)
    _refuse_unclear(rows, value, head)
    numbers = rows[value].astype(float)
    if middle is None and "percentile" in value:
        middle = 50.0
    elif middle is None and numbers.min() < 0:
        middle = 0.0
    if middle is None:
        norm, colours = scale_from_zero(numbers), SEQUENTIAL
    else:
        whole = "percentile" in value and middle == 50
        reach = 50.0 if whole else float((numbers - middle).abs().max()) or 1.0
        norm, colours = Normalize(middle - reach, middle + reach), DIVERGING
    if ax is None:
        _, ax = plt.subplots(figsize=(3.5, 3.5), layout="constrained")
    image = draw_map(rows, norm, value=value, head=head, colours=colours, ax=ax)
    ax.set_ylabel("layer")
    if bar:
        place = {"location": "right", "shrink": 1.0, "aspect": 25, "pad": 0.03}
        add_bar(image, ax, value.replace("_", " ") if label is None else label, **place)
    return ax


def _refuse_unclear(rows: pd.DataFrame, value: str, head: str) -> None:
    """Refuse rows of which a map cannot be drawn, and say what would make it clear."""
    if rows.empty:
        raise TableError("no row of the table is chosen: leave out a condition, or give another.")
    if rows.duplicated(["layer", head]).any():
        varied = [
            f"{name} ({', '.join(map(str, rows[name].unique()[:4]))})"
            for name in rows.columns.difference(["layer", head, value])
            if rows[name].dtype == object or rows[name].dtype == "str"
            if 1 < rows[name].nunique() < len(rows)
        ]
        raise TableError(
            f"the table has several rows per head. Choose one of {'; '.join(varied) or 'them'}, as "
            'in draw_heads(table, space="centred").'
        )
    if not rows[value].notna().any():
        notes = [note for note in rows.get("note", []) if note]
        raise TableError(
            f"{value} has no number in these rows"
            + (f" ({notes[0]})." if notes else ".")
            + ' Another space may have some: draw_heads(table, space="raw").'
        )


def redraw(
    folders: Iterable[str | Path],
    *,
    width: str | float | None = None,
    only: Collection[str] = (),
    formats: Collection[str] = ("pdf", "png"),
    labels: Mapping[str, str] | None = None,
    style: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> list[Path]:
    """Draw the figures of finished runs again, from their tables; no model is needed.

    Parameters
    ----------
    folders
        Result folders.
    width
        ``icml-column``, ``icml-page``, ``neurips``, ``acl``, ``acl-column``, or inches.
    only
        Figures (``divergence.headline``) or questions; all of them without it.
    formats
        ``pdf``, ``png``, ``svg``.
    labels
        Name of a model, run or condition -> what figures call it.
    style
        rcParams over those of the house.
    out
        Where they go. Without it they go to ``figures/`` of their folder as they were, to
        ``figures-WIDTH/`` at another width, and to ``figures-own/`` with labels or a style of yours
        alone, so that the report keeps its own.

    Returns
    -------
    The files.

    Raises
    ------
    UsageError
        If a width, a figure or a format is unknown, or several folders go to one place.
    StoreError
        If no question has been answered in a folder.

    Examples
    --------
    >>> redraw(["results/gpt2"], width="neurips", only=["divergence.headline"])  # doctest: +SKIP
    """
    folders = list(folders)
    if out is not None and len(folders) > 1:
        raise UsageError(
            f"figures of {len(folders)} folders have the same names. Give one folder with --out."
        )
    own = "figures-own" if labels or style else "figures"
    written = []
    for folder in folders:
        results = Results(folder)
        names = [*results.questions, *results.figures]
        for name in only:
            require_known(f"figure of {folder}", name, names)
        place = results.folder.path / (own if width is None else f"figures-{width}")
        place = place if out is None else Path(out)
        for question in results.questions:
            if only and not {name for name in only if name.partition(".")[0] == question}:
                continue
            drawn = results.draw(question, width=width, labels=labels, style=style)
            for name, figure in drawn.items():
                if not only or {question, name} & set(only):
                    for ending in formats:
                        path = place / f"{name}.{ending.strip()}"
                        save_figure(figure, path)
                        written.append(path)
    return written
