"""A study file: which models, on what words, which questions, and what is claimed beforehand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from analyses import find_question
from analyses.shared.settings import read_settings, setting
from kvprobes.captures.options import CaptureOptions, Loading
from kvprobes.runner import refuse_unknown
from kvprobes.study.numbers import find_number
from probes.errors import UsageError
from probes.files import hash_json
from probes.naming import require_known
from probes.words.tables import data_folder

PARTS = ("title", "questions", "capture", "settings", "models", "hypotheses")
QUESTIONS = ("swaps", "co_attended", "divergence")
"""Asked where the file names none."""

CONFIRMING = "test"
"""The split of the shipped pairs on which hypotheses are tried; the rest is there to explore."""


@dataclass(frozen=True)
class StudyModel:
    """One model of a study. Its groups are compared where two models or more have them."""

    name: str = setting("", "A bundled model, a local folder or a hub name.")
    label: str = setting("", "What the page calls it; its name, if empty.")
    family: str = setting("", "Models of one kind: Pythia, Llama.")
    training: str = setting("", "base, instruct, untrained.")
    parameters: float = setting(0.0, "How many parameters it has.", at_least=0)
    revision: str | None = setting(None, "Branch, tag or commit on the hub.")
    dtype: str | None = setting(None, "float32, bfloat16 or float16.")
    device_map: str | None = setting(None, "auto, or JSON, for a model on several devices.")
    attn: str | None = setting(None, "How attention is computed.")
    device: str = setting("cpu", "cpu, cuda, mps.")

    @property
    def title(self) -> str:
        """What it is called."""
        revision = f" ({self.revision})" if self.revision else ""
        return self.label or f"{self.name}{revision}"

    @property
    def place(self) -> str:
        """The name of its folder."""
        return re.sub(r"[^\w.-]+", "-", self.title).strip("-.") or "model"


@dataclass(frozen=True)
class StudyCapture:
    """What is captured of every model: the same words in the same sentences."""

    pairs: str | None = setting(None, "A shipped table of pairs, or a file.")
    templates: str | None = setting(None, "How many shipped templates, or a file.")
    limit: int | None = setting(None, "Number of pairs.", at_least=1)
    split: Literal["train", "dev", "test"] | None = setting(None, "Only pairs of this split.")
    seed: int = setting(0, "Of every random choice.")
    batch_size: int = setting(128, "Sentences in a batch.", at_least=1)
    key_stage: Literal["projected", "normed", "rotated", "attended"] = setting(
        "normed", "Which keys are read."
    )
    scheduler: str | None = setting(None, "dask, slurm or tcp://...")
    workers: int = setting(2, "Workers of the scheduler.", at_least=1)


@dataclass(frozen=True)
class Hypothesis:
    """A claim that is written down before the first capture."""

    number: str = setting("", "Which number: `kvprobes study --numbers` lists them.")
    claim: Literal["above", "below"] = setting("above", "On which side of the mark it is.")
    mark: float = setting(0.0, "The mark.")

    @property
    def told(self) -> str:
        """Write the claim as a sentence."""
        return f"{find_number(self.number).label}: mean over models {self.claim} {self.mark:g}"


@dataclass(frozen=True)
class Study:
    """A study as its file says; see `read_study`."""

    title: str
    questions: tuple[str, ...]
    capture: StudyCapture
    settings: Mapping[str, Mapping[str, Any]]
    models: tuple[StudyModel, ...]
    hypotheses: tuple[Hypothesis, ...] = field(default=())

    @property
    def digest(self) -> str:
        """The hash of all that it says: it shows what was fixed beforehand."""
        content = asdict(self)
        return hash_json({name: content[name] for name in PARTS})

    def options(self, model: StudyModel, out: Path, pairs: str | None) -> CaptureOptions:
        """Return what is captured of one model, into its own folder below `out`."""
        same = asdict(self.capture)
        del same["split"]
        loading = Loading(model.revision, model.dtype, model.device_map, model.attn)
        return CaptureOptions(
            model.name,
            **same | {"pairs": pairs},
            out=out / "models" / model.place,
            device=model.device,
            loading=loading,
        )


def read_study(path: Path) -> Study:
    """Read and check a study (a TOML file, or a shipped one by name) before anything takes time.

    Raises
    ------
    UsageError
        If the file cannot be read; a name in it is unknown; a value does not fit; no model, or two
        of one name, are given; or hypotheses are to be tried on pairs that were explored.
    """
    shipped = data_folder() / "studies"
    if not path.exists() and path.suffix == "" and path.parent == Path():
        require_known(
            "shipped study", path.name, sorted(own.stem for own in shipped.glob("*.toml"))
        )
        path = shipped / f"{path.name}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The study {path} cannot be read: {error}.") from error
    for name in content:
        require_known(f"part of the study {path.name}", name, PARTS)
    models = tuple(
        read_settings(StudyModel, table, of="models") for table in _list(content, "models", path)
    )
    if not models or not all(model.name for model in models):
        raise UsageError(
            f"{path} names no model, or one without a name. Write [[models]] and below it "
            'name = "smollm2-135m-instruct", once for each.'
        )
    places = [model.place.lower() for model in models]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(f"Two models of {path} are called {twice!r}; give each its own label.")
    questions = tuple(content.get("questions", QUESTIONS))
    for question in questions:
        find_question(str(question))
    settings = _table(content, "settings", path)
    refuse_unknown(settings)
    study = Study(
        title=str(content.get("title", path.stem)),
        questions=questions,
        capture=read_settings(StudyCapture, _table(content, "capture", path), of="capture"),
        settings=settings,
        models=models,
        hypotheses=tuple(
            read_settings(Hypothesis, table, of="hypotheses")
            for table in _list(content, "hypotheses", path)
        ),
    )
    for hypothesis in study.hypotheses:
        asked = find_number(hypothesis.number).question
        if asked not in questions:
            raise UsageError(
                f"The hypothesis on {hypothesis.number!r} needs the question {asked!r}, which the "
                "study does not ask. Add it to questions."
            )
    if study.hypotheses and study.capture.split != CONFIRMING:
        raise UsageError(
            f"{path} states hypotheses, and these are tried on pairs that nobody has explored: "
            f'write split = "{CONFIRMING}" below [capture].'
        )
    return study


def _table(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"{name} in {path} is {found!r}; write it as a table, [{name}].")
    return found


def _list(content: Mapping[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    found = content.get(name, [])
    if not isinstance(found, list) or not all(isinstance(own, dict) for own in found):
        raise UsageError(f"{name} in {path} is {found!r}; write each as a table, [[{name}]].")
    return found
