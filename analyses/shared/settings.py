"""The settings of a question: fields that explain themselves, read from words and from files."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from probes.errors import UsageError
from probes.naming import require_known

Settings = TypeVar("Settings")


def setting(default: Any, told: str, *, at_least: float | None = None) -> Any:
    """Declare a field of a settings class.

    Parameters
    ----------
    default
        Its value where the user asks for nothing.
    told
        What it is, in one plain sentence: the help of its option.
    at_least
        The smallest number that is accepted.
    """
    return field(default=default, metadata={"told": told, "at_least": at_least})


@dataclass(frozen=True)
class SettingField:
    """One setting as the command line and the docs show it."""

    name: str
    hint: Any
    default: Any
    told: str
    at_least: float | None

    @property
    def option(self) -> str:
        """The name of its option: ``--neighbour-words``."""
        return f"--{self.name.replace('_', '-')}"


@cache
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
        Name -> value: a number, a word, or text such as ``"1000"`` or ``"k,v"``.
    of
        The name of the question, for the messages.

    Raises
    ------
    UsageError
        If a name is unknown or a value does not fit.
    """
    known = list_settings(settings)
    values = {}
    for name, value in asked.items():
        key = name.replace("-", "_")
        require_known(f"setting of {of}", key, known)
        values[key] = _convert(known[key], value, of)
    return settings(**values)


def _describe(own: Field[Any], hint: Any) -> SettingField:
    default = own.default_factory() if own.default_factory is not MISSING else own.default
    told, at_least = own.metadata["told"], own.metadata["at_least"]
    return SettingField(own.name, hint, default, told, at_least)


def _convert(known: SettingField, value: Any, of: str) -> Any:
    """Bring a value to the type of its setting."""
    from pydantic import TypeAdapter, ValidationError

    given = value
    if isinstance(value, str):
        if value.lower() == "none" and type(None) in get_args(known.hint):
            return None
        if _holds_several(known.hint):
            value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        found = TypeAdapter(known.hint).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UsageError(
            f"{of}.{known.name} cannot be {given!r}: {reason}. Its default is {known.default!r}."
        ) from error
    if known.at_least is not None and found is not None and found < known.at_least:
        raise UsageError(
            f"{of}.{known.name} is {given!r}; give at least {known.at_least:g}. Its default is "
            f"{known.default!r}."
        )
    return found


def _holds_several(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(map(_holds_several, get_args(hint)))
    return get_origin(hint) is tuple
