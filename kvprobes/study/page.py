"""The page of a study: one HTML file, with nothing that is fetched."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd

from kvprobes.report.page import make_environment
from kvprobes.report.parts import Picture, flatten
from kvprobes.results import ResultFolder
from kvprobes.study.plan import Study
from kvprobes.study.section import describe
from probes.files import write_text


def write_page(
    study: Study, target: ResultFolder, tables: dict[str, pd.DataFrame], *, missing: int
) -> Path:
    """Write ``study.html``; see `kvprobes.study.section.describe`."""
    section = describe(study, tables, missing=missing)
    pictures = [
        Picture(
            place,
            name,
            base64.b64encode(target.figure_path("study", name, "png").read_bytes()).decode(),
            *told,
        )
        for place, (name, told) in enumerate(section.captions.items(), start=1)
    ]
    path = target.path / "study.html"
    page = make_environment().get_template("study.html.j2")
    write_text(
        path,
        page.render(
            section=section,
            pictures=pictures,
            manifest=list(flatten(target.read_manifest("study"))),
        ),
    )
    return path
