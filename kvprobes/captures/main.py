"""The main capture of a folder: word pairs, a user's own sentences, or a treebank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.cluster import IN_PROCESS, Cluster
from probes.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from kvprobes.captures.options import CaptureOptions
    from kvprobes.session import Session
    from probes.capture.store import Store


def capture_main(session: Session, options: CaptureOptions, cluster: Cluster = IN_PROCESS) -> Store:
    """Capture what the options name, or go on with or reuse the capture in the folder.

    Raises
    ------
    KvprobesError
        If anything is wrong with the model, the words, the folder or the cluster.
    """
    from kvprobes.captures.pairs import capture_pairs
    from kvprobes.captures.sentences import capture_sentences, capture_treebank

    if options.sentences is not None:
        return capture_sentences(session, options, options.sentences, cluster)
    if options.treebank is not None:
        return capture_treebank(session, options, options.treebank, cluster)
    return capture_pairs(session, options, cluster)


def refuse_mixed(options: CaptureOptions, *, text: Path | None = None) -> None:
    """Refuse to capture more than one thing in one command.

    Raises
    ------
    UsageError
        If a text, a treebank, sentences and word pairs are not given one at a time.
    """
    alone = {
        "--text": text,
        "--treebank": options.treebank,
        "--sentences": options.sentences,
    }
    named = alone | {"--pairs": options.pairs, "--templates": options.templates}
    told = [f"{name} {value}" for name, value in named.items() if value is not None]
    if len(told) > 1 and any(value is not None for value in alone.values()):
        raise UsageError(
            f"{' and '.join(told)} were given together, but a command captures one thing: word "
            "pairs in templates, your own sentences, a treebank or a text. Run it once for each, "
            "each with an --out of its own; a text may have the --out of another capture."
        )
