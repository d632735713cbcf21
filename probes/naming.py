"""Names that a user gives, checked against the names that there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from probes.errors import UsageError


def require_known(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones.

    Parameters
    ----------
    kind
        What the name stands for, in the singular: "measure".
    name
        What the user gave.
    known
        All names of that kind, in the order in which they are listed.

    Raises
    ------
    UsageError
        If the name is unknown. The message gives the nearest known name, and all of them.

    Examples
    --------
    >>> require_known("space", "raw", ["raw", "centred"])
    >>> require_known("space", "centered", ["raw", "centred"])
    Traceback (most recent call last):
    ...
    probes.errors.UsageError: there is no space 'centered'. Did you mean 'centred'? There are: \
raw, centred.
    """
    names = list(known)
    if name in names:
        return
    near = get_close_matches(name, names, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"there is no {kind} {name!r}.{meant} There are: {', '.join(names)}.")
