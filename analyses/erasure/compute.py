"""What is a property worth to the model? Its loss when no linear probe can find it any more.

A property is erased (LEACE) from the keys, or the values, of the captured words at every layer, and
the model's loss is measured on what follows them. Beside it stand controls that erase as many
directions: the words' labels dealt out to the words anew. Erasers are fitted on one half of the
words; the probes and the model are tried on the other. As a script: ``python -m analyses.erasure.compute
--help``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import torch
from torch import Tensor

from analyses.erasure.section import describe
from analyses.shared.resumable import Units
from probes.causal.edits import EditedPart, editable_layers
from probes.causal.erasure import measure_erasure_loss
from probes.errors import StoreMismatchError, TableError
from probes.linear.control import draw_control_labels
from probes.linear.erasure import Eraser, fit_eraser
from probes.linear.evaluate import probe_labels
from probes.linear.shipped_properties import list_properties
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.spaces import read_heads
from probes.stats.bootstrap import interval, resample_words
from probes.stats.folds import Splits, word_folds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kvprobes.results import ResultFolder
    from probes.capture.store import Store
    from probes.linear.properties import Property
    from probes.models.model import Model

__all__ = ["ErasureSettings", "compute", "describe", "describe_inputs", "draw", "erase_step"]

NAME = "erasure"
PARTS: dict[Literal["k", "v"], EditedPart] = {"k": "key", "v": "value"}


@dataclass(frozen=True)
class ErasureSettings:
    """How much to compute.

    ``properties``: their names, of classes; ``words``: in so many sentences, a word each, the loss
    is measured; ``controls``: how many control tasks are erased; ``resamples`` of the words.
    """

    properties: tuple[str, ...] = ("part of speech", "semantic field")
    words: int = 400
    controls: int = 5
    resamples: int = 1000
    seed: int = 0


def compute(
    model: Model,
    store: Store,
    *,
    settings: ErasureSettings | None = None,
    folder: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Erase each property from keys and from values, and measure probes and loss.

    Parameters
    ----------
    model
        The captured model, causal.
    store
        Its capture of word pairs, with keys as projected (see `probes.causal.erasure`).
    folder
        Where finished parts are kept; a run that was killed goes on from them.

    Returns
    -------
    ``losses``
        ``model, property, what (k, v), erased, rank, probe_before, probe_after, majority, clean,
        value, ci_low, ci_high, n_words, n_tokens``. `erased` is ``property``, ``control 1`` and so
        on, and ``property - controls``, the difference from the controls' mean; `value` is the rise
        of the loss, nats a token after the word; probes (accuracy, means over heads) are of the
        property, on words the erasers were not fitted on.

    Raises
    ------
    TableError
        If a property cannot be had of the captured words, or is a number.
    UnsupportedModelError
        If the model is not causal.
    """
    settings = settings or ErasureSettings()
    occurrences, queries = store.table("occurrences"), store.table("queries")
    known, left_out = list_properties(occurrences, queries, store.table("pairs"))
    by_name = {wanted.name: wanted for wanted in known if wanted.classes and not wanted.of_pairs}
    units = Units(folder, describe_inputs(store, settings))
    parts: list[pd.DataFrame] = []
    total = 2 * len(settings.properties) * (1 + settings.controls)
    with progress_bar("Erasing", total=total, unit="erasers") as advance:
        for name in settings.properties:
            if name not in by_name:
                reason = left_out.get(name, f"there are {', '.join(by_name)}")
                raise TableError(f"{name} cannot be erased: {reason}.")
            wanted = by_name[name]
            half = word_folds(wanted.units, 2, settings.seed)
            sentences = _choose_sentences(wanted, half == 1, occurrences, queries, settings)
            for what in PARTS:
                unit = f"{name.replace(' ', '-')}-{what}"
                place = (wanted, half, sentences, what)
                make = partial(_measure, model, store, *place, settings, advance)
                found = units.find_table(unit)
                if found is None:
                    found = units.table(unit, make)
                else:
                    advance(1 + settings.controls)
                parts.append(found)
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "model", store.manifest["model"])
    return {"losses": table}


def draw(tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the rise of the loss."""
    from analyses.erasure.figures import draw_losses

    return {"losses": draw_losses(tables["losses"])}


def _choose_sentences(
    wanted: Property,
    mine: Tensor,
    occurrences: pd.DataFrame,
    queries: pd.DataFrame,
    settings: ErasureSettings,
) -> pd.DataFrame:
    """Draw one sentence for each of the words that no eraser is fitted on, with the word's span."""
    spans = occurrences.set_index("occurrence")[["word", "first_token", "last_token"]]
    rows = queries[queries["occurrence"].isin(wanted.occurrences[mine].tolist())]
    rows = rows.join(spans, on="occurrence").sample(frac=1, random_state=settings.seed)
    return rows.drop_duplicates("word").head(settings.words)


def _measure(
    model: Model,
    store: Store,
    wanted: Property,
    half: Tensor,
    sentences: pd.DataFrame,
    what: Literal["k", "v"],
    settings: ErasureSettings,
    advance: Callable[[int], None],
) -> pd.DataFrame:
    """Erase the property and its controls from keys, or from values."""
    fitted, tried = half == 0, half == 1
    controls = draw_control_labels(
        wanted.labels[fitted], wanted.units[fitted], count=settings.controls, seed=settings.seed
    )
    weights = resample_words(len(sentences), resamples=settings.resamples, seed=settings.seed)
    spans = list(zip(sentences["first_token"], sentences["last_token"], strict=True))
    before = _probe(store, what, wanted, tried, None)
    rows: list[dict[str, Any]] = []
    rises: list[Tensor] = []
    samples: list[Tensor] = []
    clean = None
    for number, labels in enumerate([wanted.labels[fitted], *controls]):
        erasers = _fit(store, what, wanted.occurrences[fitted], labels)
        loss = measure_erasure_loss(
            model,
            list(sentences["sentence"]),
            {layer: erasers[layer] for layer in editable_layers(model.geometry)},
            part=PARTS[what],
            spans=spans,
            clean_sums=clean,
        )
        clean = loss.clean_sums
        rises.append(torch.tensor(loss.rise))
        samples.append(loss.resample(weights))
        after = _probe(store, what, wanted, tried, erasers)
        rows.append(
            {
                **{"property": wanted.name, "what": what},
                "erased": f"control {number}" if number else "property",
                "rank": max(int(eraser.rank.max()) for eraser in erasers.values()),
                **{"probe_before": before[0], "probe_after": after[0], "majority": before[1]},
                "clean": loss.clean,
                **_summarise(rises[-1], samples[-1]),
                **{"n_words": len(sentences), "n_tokens": loss.n_tokens},
            }
        )
        advance(1)
    if len(rows) > 1:
        gap = rises[0] - torch.stack(rises[1:]).mean()
        sampled = samples[0] - torch.stack(samples[1:]).mean(0)
        rows.append(
            {
                **{"property": wanted.name, "what": what, "erased": "property - controls"},
                **_summarise(gap, sampled),
                **{"n_words": len(sentences), "n_tokens": rows[0]["n_tokens"]},
            }
        )
    return pd.DataFrame(rows)


def _fit(store: Store, what: Literal["k", "v"], rows: Tensor, labels: Tensor) -> dict[int, Eraser]:
    layers = range(store.n_layers)
    fits = map_threads(lambda n: fit_eraser(read_heads(store, what, n)[:, rows], labels), layers)
    return dict(zip(layers, fits, strict=True))


def _probe(
    store: Store,
    what: Literal["k", "v"],
    wanted: Property,
    tried: Tensor,
    erasers: dict[int, Eraser] | None,
) -> tuple[float, float]:
    """Return accuracy and majority, means over heads, of probes for the property."""
    units = torch.unique(wanted.units[tried], return_inverse=True)[1]
    splits = Splits.of(word_folds(units, 5, seed=0), 5)

    def measure(layer: int) -> tuple[float, float]:
        x = read_heads(store, what, layer)[:, wanted.occurrences[tried]]
        x = x if erasers is None else erasers[layer](x)
        found = probe_labels(x, wanted.labels[tried], splits=splits, units=units)
        return float(found.score.observed.mean()), float(found.majority.observed.mean())

    found = torch.tensor(map_threads(measure, range(store.n_layers)))
    accuracy, majority = found.mean(0).tolist()
    return accuracy, majority


def _summarise(value: Tensor, samples: Tensor) -> dict[str, float]:
    low, high = interval(samples)
    return {"value": float(value), "ci_low": float(low), "ci_high": float(high)}


def describe_inputs(store: Store, settings: ErasureSettings | None = None) -> dict[str, Any]:
    """Name everything the tables follow from, for their manifest."""
    return {
        "capture": store.identity_hash,
        "settings": asdict(settings or ErasureSettings()),
    }


def erase_step(
    folder: ResultFolder, *, settings: ErasureSettings | None = None, device: str = "cpu"
) -> bool:
    """Compute and draw into the result folder of a capture, unless it is there.

    Returns
    -------
    Whether anything had to be computed.

    Raises
    ------
    StoreError
        If there is no whole capture.
    StoreMismatchError
        If the capture's model has other weights now.
    """
    from kvprobes.captures.pairs import open_whole_store
    from probes.models.load import load_model

    settings = settings or ErasureSettings()
    store = open_whole_store(folder.capture)
    inputs = describe_inputs(store, settings)
    is_new = not folder.holds(NAME, inputs)
    if is_new:
        model = load_model(store.manifest["model"], device=device)
        captured = store.manifest["identity"]["weights"]
        if model.weights_hash != captured:
            raise StoreMismatchError(
                f"{model.name} has other weights ({model.weights_hash[:12]}) than when it was "
                f"captured into {folder.capture} ({captured[:12]}). Capture it again, with --out."
            )
        units = folder.path / "units" / NAME
        folder.write_tables(NAME, compute(model, store, settings=settings, folder=units), inputs)
    folder.write_figures(NAME, draw(folder.read_tables(NAME)))
    return is_new


if __name__ == "__main__":
    import typer

    from kvprobes.command.cli import erase

    typer.run(erase)
