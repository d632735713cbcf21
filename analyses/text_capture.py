"""``kvprobes capture --text``: options and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analyses.workflow import CaptureOptions, Say
from probes.cluster import IN_PROCESS, Cluster
from probes.errors import UsageError

if TYPE_CHECKING:
    from probes.capture.store import Store

WINDOW, BATCH = 128, 16

Text = Annotated[
    Path | None,
    typer.Option(
        help="Capture running text instead of word pairs: a .txt, .jsonl or .parquet file, or a "
        "folder of them. Streamed into moments; memory stays flat.",
        rich_help_panel="Running text",
    ),
]
Column = Annotated[
    str, typer.Option(help="Where jsonl and parquet have it.", rich_help_panel="Running text")
]
Window = Annotated[
    int, typer.Option(help="Tokens that are read together.", rich_help_panel="Running text")
]
Rows = Annotated[
    int,
    typer.Option(
        help="Also keep x, q, k, v of about so many tokens.", rich_help_panel="Running text"
    ),
]
WithoutX = Annotated[
    bool,
    typer.Option(
        "--without-x",
        help="Moments of q, k and v only: a fifth of the size.",
        rich_help_panel="Running text",
    ),
]
ShardBytes = Annotated[
    int | None,
    typer.Option(
        min=1, help="Least text a shard.  [default: 131072]", rich_help_panel="Running text"
    ),
]


@dataclass(frozen=True)
class TextOptions:
    """What the user asked of a running text; `source` is None where pairs are captured."""

    source: Path | None = None
    column: str = "text"
    window: int = WINDOW
    rows: int = 0
    without_x: bool = False
    shard_bytes: int | None = None


def refuse_mixed(
    text: Path | None, treebank: Path | None, pairs: str | None, templates: str | None
) -> None:
    """Refuse to capture more than one of a text, a treebank and word pairs in one command.

    Raises
    ------
    UsageError
        If several are given.
    """
    given = {"--text": text, "--treebank": treebank, "--pairs": pairs, "--templates": templates}
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    if len(named) > 1 and (text is not None or treebank is not None):
        raise UsageError(
            f"{' and '.join(named)} were given together, but a command captures either word pairs "
            "in templates, or a treebank, or a text. Run it once for each; all may have the same "
            "--out."
        )


def text_capture_step(
    options: CaptureOptions, text: TextOptions, say: Say, cluster: Cluster = IN_PROCESS
) -> Store:
    """Capture a text into ``capture-text/``, or go on with or reuse what is there.

    Raises
    ------
    KvprobesError
        For whatever is wrong with the model, the text, the folder or the cluster.
    """
    from probes.capture.text_run import capture_text
    from probes.capture.text_shard import SHARD_BYTES, TextSettings
    from probes.models.load import load_model

    if text.source is None:
        raise UsageError("there is no text: give --text")
    folder = options.folder.text_capture
    say(f"Loading {options.model}")
    model = load_model(options.model, device=options.device)
    settings = TextSettings(
        key_stage=options.key_stage,
        window=text.window,
        rows=text.rows,
        x=not text.without_x,
        column=text.column,
        shard_bytes=text.shard_bytes or SHARD_BYTES,
        seed=options.seed,
    )
    store = capture_text(
        model,
        text.source,
        folder,
        settings=settings,
        batch_size=min(options.batch_size, BATCH),
        cluster=cluster,
        overwrite=options.overwrite,
        say=say,
    )
    counts = [int(part.get_tensor("count.0")) for part in store.open_shards("count.0")]
    say(f"{sum(counts):,} tokens in {store.n_shards} shards")
    return store
