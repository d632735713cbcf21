"""The settings of a question: fields that explain themselves, read from words and from files."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from probes.errors import UsageError
from probes.naming import require_known

Settings = TypeVar("Settings")


def setting(
    default: Any,
    told: str,
    *,
    at_least: int | float | None = None,
    at_most: int | float | None = None,
) -> Any:
    """Declare a field of a settings class.

    Parameters
    ----------
    default
        Its value where the user asks for nothing.
    told
        What it is, in one plain sentence: the help of its option.
    at_least, at_most
        The smallest and the largest number that are accepted; of several numbers, each.
    """
    return field(default=default, metadata={"told": told, "bounds": (at_least, at_most)})


@dataclass(frozen=True)
class SettingField:
    """One setting as the command line and the docs show it.

    Attributes
    ----------
    hint
        Its type: a number, text, a choice (``Literal``), a tuple of them, or one of these and None.
    bounds
        The smallest and the largest number; None where there is no bound.
    """

    name: str
    hint: Any
    default: Any
    told: str
    bounds: tuple[int | float | None, int | float | None]

    @property
    def option(self) -> str:
        """The name of its option: ``--neighbour-words``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it can be; empty where it is no choice among words."""
        return tuple(
            word
            for part in _split_hint(self.hint)
            if get_origin(part) is Literal
            for word in map(str, get_args(part))
        )

    @property
    def form(self) -> str:
        """What its option takes, as help texts have it: ``INTEGER``, ``ridge|logistic``."""
        names = {int: "INTEGER", float: "NUMBER", bool: "yes|no"}
        parts = _split_hint(self.hint)
        form = "|".join(self.choices) or next((names[p] for p in parts if p in names), "TEXT")
        return f"{form},..." if _holds_several(self.hint) else form


def list_settings(settings: type[Any]) -> dict[str, SettingField]:
    """Return the fields of a settings class by name, in their order."""
    hints = get_type_hints(settings)
    return {own.name: _describe(own, hints[own.name]) for own in fields(settings)}


def read_settings(settings: type[Settings], asked: Mapping[str, Any], *, of: str) -> Settings:
    """Make settings from what was asked for; text is converted, everything else has its default.

    Parameters
    ----------
    settings
        A frozen dataclass whose fields are made by `setting`.
    asked
        Name -> value: a number, a word, or text such as ``"1000"``, ``"yes"``, ``"none"`` or
        ``"k,v"``.
    of
        The name of the question, for the messages.

    Raises
    ------
    UsageError
        If a name is unknown or a value does not fit.
    """
    known = list_settings(settings)
    if asked and not known:
        raise UsageError(f"{of} has no settings, so none can be {next(iter(asked))!r}.")
    values = {}
    for name, value in asked.items():
        key = name.replace("-", "_")
        require_known(f"setting of {of}", key, known)
        values[key] = _convert(known[key], value, of)
    return settings(**values)


def _describe(own: Field[Any], hint: Any) -> SettingField:
    default = own.default_factory() if own.default_factory is not MISSING else own.default
    return SettingField(own.name, hint, default, own.metadata["told"], own.metadata["bounds"])


def _convert(known: SettingField, value: Any, of: str) -> Any:
    """Bring a value to the type of its setting, and check that it is within its bounds."""
    from pydantic import TypeAdapter, ValidationError

    place, default = f"{of}.{known.name}", f"Its default is {known.default!r}."
    is_text, given = isinstance(value, str), value
    if isinstance(value, str):
        if value.strip().lower() == "none" and type(None) in get_args(known.hint):
            return None
        if _holds_several(known.hint):
            value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        value = tuple(value)
    if known.choices:
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str):
                require_known(f"value of {place}", word, known.choices)
    try:
        # What is no text has a type of its own, and True is no number.
        found = TypeAdapter(known.hint).validate_python(value, strict=not is_text)
    except ValidationError as error:
        raise UsageError(
            f"{place} cannot be {given!r}: {error.errors()[0]['msg']}. {default}"
        ) from error
    least, most = known.bounds
    for number in _list_numbers(found):
        if not math.isfinite(number):
            raise UsageError(f"{place} cannot be {given!r}; give a finite number. {default}")
        if least is not None and number < least:
            raise UsageError(f"{place} is {given!r}; give at least {least:g}. {default}")
        if most is not None and number > most:
            raise UsageError(f"{place} is {given!r}; give at most {most:g}. {default}")
    return found


def _list_numbers(value: Any) -> Iterable[int | float]:
    parts = value if isinstance(value, tuple) else (value,)
    return [part for part in parts if isinstance(part, int | float) and not isinstance(part, bool)]


def _split_hint(hint: Any) -> tuple[Any, ...]:
    """Take a hint apart: what may be alone, or in a tuple."""
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return tuple(part for own in get_args(hint) for part in _split_hint(own))
    return (hint,)


def _holds_several(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(map(_holds_several, get_args(hint)))
    return get_origin(hint) is tuple
