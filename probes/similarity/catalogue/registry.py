"""One kind of thing by name: found, listed in order, and added to; an unknown name is refused."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Generic, Protocol, TypeVar, runtime_checkable

from probes.errors import UsageError
from probes.naming import require_known


@runtime_checkable
class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """As in result tables."""


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Records by name, in the order in which they were added.

    Parameters
    ----------
    kind
        What a record is, in the singular: "measure".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def load(self, files: Iterable[str], attribute: str) -> None:
        """Add the records that modules hold in a tuple of this name."""
        for file in files:
            for entry in getattr(import_module(file), attribute):
                self.register(entry)

    def register(self, entry: Entry) -> Entry:
        """Add a record; it then is in every table, figure and text.

        Raises
        ------
        UsageError
            If there is one of that name.
        """
        if entry.name in self._entries:
            raise UsageError(
                f"there is a {self.kind} {entry.name!r} already; give the new one another name."
            )
        self._entries[entry.name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Take a record off the list.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        require_known(self.kind, name, self._entries)
        del self._entries[name]

    def entries(self) -> tuple[Entry, ...]:
        """Return all records, in order."""
        return tuple(self._entries.values())

    def find(self, name: str) -> Entry:
        """Return a record by name.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        require_known(self.kind, name, self._entries)
        return self._entries[name]

    def sort(self, names: Iterable[str]) -> list[str]:
        """Put names in the order of the list, each once.

        Raises
        ------
        UsageError
            If one is not in the list: it must not vanish from a table or a figure.
        """
        present = set(names)
        for name in sorted(present):
            require_known(self.kind, name, self._entries)
        return [name for name in self._entries if name in present]
