"""One core a torch operation, as tiny ones wait for each other; nothing of the user is changed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from analyses import NAMES
from analyses.shared.dictionary import find_column, list_tables
from analyses.shared.question import Question

torch.set_num_threads(1)
settings.register_profile("kvprobes", deadline=None)  # other work on the machine is no failure
settings.load_profile("kvprobes")


@pytest.fixture(scope="session", autouse=True)
def look_up_columns():
    """Hold every table that any test has a question compute against the data dictionary."""
    compute = Question.compute

    def compute_and_look_up(question, given, settings):
        tables = compute(question, given, settings)
        unknown = [
            f"{question.name}.{name}: {column}"
            for name, table in tables.items()
            for column in table
            if f"{question.name}.{name}" not in list_tables()
            or find_column(f"{question.name}.{name}", column) is None
        ]
        if question.name in NAMES:  # not the tests' own question
            assert not unknown, "say what these are in analyses/shared/columns.tsv"
        return tables

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Question, "compute", compute_and_look_up)
        yield


@pytest.fixture(scope="session", autouse=True)
def keep_timings(tmp_path_factory):
    """Keep tests out of the user's lists of how long questions take, and of where models stand."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("timings")
        patch.setattr("kvprobes.timings.cache_folder", lambda: folder)
        patch.setattr("probes.models.cache.FOLDERS", folder / "folders.json")
        yield


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no core is left alone with it at the end."""
    items.sort(key=lambda item: "default_model" not in item.keywords)
