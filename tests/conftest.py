"""One core a torch operation, as tiny ones wait for each other; nothing of the user is changed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("kvprobes", deadline=None)  # other work on the machine is no failure
settings.load_profile("kvprobes")


@pytest.fixture(scope="session", autouse=True)
def keep_timings(tmp_path_factory):
    """Keep what tests take out of the user's list of how long questions take."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("timings")
        patch.setattr("kvprobes.timings.cache_folder", lambda: folder)
        yield


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no core is left alone with it at the end."""
    items.sort(key=lambda item: "default_model" not in item.keywords)
