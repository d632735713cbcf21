"""The capture of the same sentences by the untrained model, which stands beside the trained one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from analyses.workflow import CaptureOptions, open_whole_store
from probes.errors import StoreError

if TYPE_CHECKING:
    from probes.capture.store import Store

FOLDER = "capture-untrained"


def open_untrained(trained: Store) -> Store | None:
    """Open the untrained model's capture beside the trained one's; None unless it is whole.

    It has to be of the same sentences, key stage and config.
    """
    try:
        store = open_whole_store(trained.folder.parent / FOLDER)
    except StoreError:
        return None
    same = all(
        store.manifest["identity"][name] == trained.manifest["identity"][name]
        for name in ("sequences", "key_stage", "config")
    )
    return store if same else None


def capture_untrained(options: CaptureOptions, say: Callable[[str], None]) -> None:
    """Capture the trained capture's sentences with the same architecture at random init.

    Only models with one site are captured so: what an untrained translator writes is noise.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model or the folder.
    """
    from probes.capture.plan import plan_capture
    from probes.capture.run import CaptureSettings, capture
    from probes.models.load import load_model
    from probes.models.untrained import untrain

    trained = open_whole_store(options.folder.capture)
    folder = options.folder.path / FOLDER
    if open_untrained(trained) is not None:
        say(f"Reusing the finished capture in {folder}")
        return
    if (options.folder.path / "capture-cross").exists():
        return
    model = untrain(
        load_model(options.model, device=options.device, check=False), seed=options.seed
    )
    plan = plan_capture(
        model.tokenizer,
        trained.table("pairs"),
        trained.table("templates"),
        causal=model.geometry.causal,
    )
    settings = CaptureSettings(key_stage=options.key_stage, seed=options.seed)
    capture(
        model,
        plan,
        folder,
        settings=settings,
        batch_size=options.batch_size,
        overwrite=True,
        say=say,
    )
