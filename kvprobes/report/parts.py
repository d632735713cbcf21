"""What the page shows of each question: its section, figures and settings; or why it is absent."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses import list_questions
from analyses.shared.question import Question
from analyses.shared.section import Section
from analyses.shared.settings import list_settings
from kvprobes.captures.find import read_capture_manifest
from kvprobes.report.interactive import Drawing, lay_out_map, lay_out_scatter
from kvprobes.results import ResultFolder
from probes.errors import StoreError, StoreMismatchError
from probes.files import hash_json


@dataclass(frozen=True)
class Picture:
    """A figure to inline: its number and name, its PNG as base64, its caption, its other text."""

    number: int
    name: str
    data: str
    caption: str
    alt: str


@dataclass(frozen=True)
class ShownSetting:
    """A setting as it was used, and whether that was asked for or is the default."""

    name: str
    told: str
    value: str
    default: str

    @property
    def is_asked(self) -> bool:
        """Whether it is another value than the default."""
        return self.value != self.default


@dataclass(frozen=True)
class Part:
    """One answered question."""

    question: Question
    section: Section
    pictures: tuple[Picture, ...]
    drawings: tuple[Drawing, ...]
    settings: tuple[ShownSetting, ...]
    manifest: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Absence:
    """A question of which the page says nothing, and why; `is_due` if it should have."""

    question: Question
    reason: str
    is_due: bool = True


def gather_parts(
    folder: ResultFolder, pending: Collection[str] = ()
) -> tuple[list[Part], list[Absence]]:
    """Let every question that has been answered say its part, and say why others do not.

    Raises
    ------
    StoreError
        If nothing can be shown, or what is there cannot be read.
    """
    parts: list[Part] = []
    absences = []
    for question in list_questions().values():
        if question.name in pending:  # whatever is there is made again, damaged or not
            absence: Absence | None = Absence(
                question, "Still to come: this run has not finished.", is_due=False
            )
        else:
            absence = find_absence(folder, question)
        if absence is None:
            count = sum(len(part.pictures) for part in parts)
            parts.append(_read_part(folder, question, first=count + 1))
        else:
            absences.append(absence)
    if not parts:
        for question in list_questions().values():
            if folder.has_answer(question.name):
                folder.read_manifest(question.name)  # which says what is wrong with it
        raise StoreError(
            f"{folder.path} holds no tables that the report could show. Run `kvprobes run` first."
        )
    return parts, absences


def find_absence(folder: ResultFolder, question: Question) -> Absence | None:
    """Say why the page cannot show a question's tables; None if it can."""
    name = question.name
    again = f"`kvprobes analyse {name}` computes them again."
    if not folder.has_answer(name):
        reason = folder.read_left_out(name)
        if reason is None:
            return Absence(question, f"Not asked. `kvprobes analyse {name}` asks it.", is_due=False)
        return Absence(question, reason)
    try:
        manifest = folder.read_manifest(name)
    except StoreMismatchError:
        return Absence(question, f"Its tables are of another version of kvprobes. {again}")
    used, captured = manifest["inputs"].get("capture"), read_capture_manifest(folder)
    if used is not None and captured and used != hash_json(captured["identity"]):
        return Absence(question, f"Its tables are of another capture than this folder's. {again}")
    return None


def flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested settings into sorted (name, value) rows."""
    for name, value in sorted(content.items()):
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name} · ")
        else:
            yield f"{prefix}{name}", _spell(value)


def _read_part(folder: ResultFolder, question: Question, *, first: int) -> Part:
    manifest = folder.read_manifest(question.name)
    used = manifest["inputs"]["settings"]
    tables = folder.read_tables(question.name)
    section = question.describe(tables, used)
    rest = {name: value for name, value in manifest["inputs"].items() if name != "settings"}
    return Part(
        question,
        section,
        tuple(_read_pictures(folder.find_figures(question), question, section, first)),
        (*map(lay_out_map, section.maps), *map(lay_out_scatter, section.scatters)),
        tuple(
            ShownSetting(name, own.told, _spell(used[name]), _spell(own.default))
            for name, own in list_settings(question.settings).items()
            if name in used
        ),
        tuple(flatten(manifest | {"inputs": rest})),
    )


def _read_pictures(
    paths: Sequence[Path], question: Question, section: Section, first: int
) -> Iterator[Picture]:
    """Yield every figure that a question has drawn, those with a caption first and in its order."""
    prefix, order = f"{question.name}.", list(section.captions)
    found = {path.name.removeprefix(prefix).removesuffix(".png"): path for path in paths}
    names = sorted(
        found, key=lambda name: (order.index(name) if name in order else len(order), name)
    )
    for number, name in enumerate(names, start=first):
        caption, alt = section.captions.get(
            name, (f"{question.title}: {name}.", f"Figure {name} of {question.title}.")
        )
        data = found[name].read_bytes()
        yield Picture(number, name, base64.b64encode(data).decode(), caption, alt)


def _spell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_spell, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
