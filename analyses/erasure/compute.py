"""Erase a property from keys or from values at every layer, and measure probes and loss.

The erasure is LEACE. The loss is measured on what follows the erased words. Controls erase as many
directions: they are fitted on labels that are shuffled among the words. Erasers are fitted on one
half of the words; the probes and the model are tried on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import torch
from torch import Tensor

from analyses.shared.given import Given
from analyses.shared.resumable import FinishedParts
from analyses.shared.significance import tabulate_samples
from probes.causal.edits import EditedPart, editable_layers
from probes.causal.erasure import measure_erasure_loss
from probes.errors import StoreMismatchError, TableError
from probes.linear.control import draw_control_labels
from probes.linear.erasure import Eraser, fit_eraser
from probes.linear.evaluate import probe_labels
from probes.linear.shipped_properties import list_properties
from probes.naming import require_known
from probes.parallel import map_threads
from probes.progress import progress_bar
from probes.similarity.spaces import read_heads
from probes.stats.bootstrap import resample_words
from probes.stats.folds import Splits, word_folds

if TYPE_CHECKING:
    from analyses.erasure import ErasureSettings
    from probes.capture.store import Store
    from probes.linear.properties import Property

CAPTURED: dict[EditedPart, Literal["k", "v"]] = {"keys": "k", "values": "v"}
"""Part -> its name in a capture."""


def compute(given: Given, settings: ErasureSettings) -> dict[str, pd.DataFrame]:
    """Erase each property from keys and from values, and measure probes and loss.

    Parameters
    ----------
    given
        A capture of words in sentences, with keys as projected (see `probes.causal.erasure`), and
        the captured model, which must be causal. Finished parts are kept; a run that was killed
        resumes from them.

    Returns
    -------
    ``losses``
        ``model, property, part (keys, values), erased, rank, probe_before, probe_after, majority,
        clean, value, ci_low, ci_high, n_words, n_tokens``. `erased` is ``property``, ``control 1``
        and so on, and ``property - controls``, the difference from the controls' mean; `value` is
        the rise of the loss, nats per token after the word; probes (accuracy, means over heads) are
        of the property, on words the erasers were not fitted on.

    Raises
    ------
    UsageError
        If a property is unknown, or is a number.
    TableError
        If the captured words do not allow a property.
    StoreMismatchError
        If the keys were captured at another stage than that at which they are edited.
    UnsupportedModelError
        If the model is not causal.
    """
    store = given.store
    _require_projected_keys(given)
    properties = list(_find_properties(store, settings.properties))
    parts = FinishedParts.of(given, settings)
    tables: list[pd.DataFrame] = []
    total = 2 * len(properties) * (1 + settings.controls)
    with progress_bar("Erasing", total=total, unit="erasers") as advance:
        for wanted in properties:
            half = word_folds(wanted.units, 2, settings.seed)
            sentences = choose_sentences(store, wanted, half == 1, settings)
            for part in CAPTURED:
                name = f"{wanted.name.replace(' ', '-')}-{part}"
                found = parts.find_table(name)
                if found is None:
                    place = (wanted, half, sentences, part)
                    make = partial(_measure, given, *place, settings, advance)
                    found = parts.table(name, make)
                else:
                    advance(1 + settings.controls)
                tables.append(found)
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "model", store.manifest["model"])
    return {"losses": table}


def _require_projected_keys(given: Given) -> None:
    """Refuse erasers of normed or rotated keys: keys are edited as they are projected."""
    stage = given.store.manifest["identity"]["key_stage"]
    has_norm = any(layer.key_norm is not None for layer in given.model.geometry.layers)
    if stage != "projected" and (stage != "normed" or has_norm):
        raise StoreMismatchError(
            f"the keys in {given.store.folder} were captured as {stage}, but {given.model.name} "
            "has them erased as they are projected. Capture them with --key-stage projected and "
            "another --out, and erase there."
        )


def _find_properties(store: Store, names: Iterable[str]) -> Iterator[Property]:
    """Label the captured words with properties that have classes."""
    known, left_out = list_properties(store)
    by_name = {wanted.name: wanted for wanted in known if wanted.classes and not wanted.of_pairs}
    for name in names:
        if name in left_out:
            raise TableError(f"{left_out[name]} Give more pairs, or other properties to erase.")
        require_known("property with classes", name, by_name)
        yield by_name[name]


def choose_sentences(
    store: Store, wanted: Property, mine: Tensor, settings: ErasureSettings
) -> pd.DataFrame:
    """Draw one sentence for each of the words that no eraser is fitted on, with the word's span.

    Parameters
    ----------
    mine
        Which of the property's occurrences are of such words.
    """
    occurrences, queries = store.table("occurrences"), store.table("queries")
    spans = occurrences.set_index("occurrence")[["word", "first_token", "last_token"]]
    rows = queries[queries["occurrence"].isin(wanted.occurrences[mine].tolist())]
    rows = rows.join(spans, on="occurrence").sample(frac=1, random_state=settings.seed)
    return rows.drop_duplicates("word").head(settings.words)


def _measure(
    given: Given,
    wanted: Property,
    half: Tensor,
    sentences: pd.DataFrame,
    part: EditedPart,
    settings: ErasureSettings,
    advance: Callable[[int], None],
) -> pd.DataFrame:
    """Erase the property and its controls from keys, or from values."""
    model, store = given.model, given.store
    fitted, tried = half == 0, half == 1
    controls = draw_control_labels(
        wanted.labels[fitted], wanted.units[fitted], count=settings.controls, seed=settings.seed
    )
    weights = resample_words(len(sentences), resamples=settings.resamples, seed=settings.seed)
    spans = list(zip(sentences["first_token"], sentences["last_token"], strict=True))
    before = _probe(store, part, wanted, tried, None)
    rows: list[dict[str, Any]] = []
    rises: list[Tensor] = []
    samples: list[Tensor] = []
    clean = None
    for number, labels in enumerate([wanted.labels[fitted], *controls]):
        erasers = _fit(store, part, wanted.occurrences[fitted], labels)
        loss = measure_erasure_loss(
            model,
            list(sentences["sentence"]),
            {layer: erasers[layer] for layer in editable_layers(model.geometry)},
            part=part,
            spans=spans,
            clean_sums=clean,
        )
        clean = loss.clean_sums
        rises.append(torch.tensor(loss.rise))
        samples.append(loss.resample(weights))
        after = _probe(store, part, wanted, tried, erasers)
        rows.append(
            {
                **{"property": wanted.name, "part": part},
                "erased": f"control {number}" if number else "property",
                "rank": max(int(eraser.rank.max()) for eraser in erasers.values()),
                **{"probe_before": before[0], "probe_after": after[0], "majority": before[1]},
                "clean": loss.clean,
                **tabulate_samples(rises[-1], samples[-1]),
                **{"n_words": len(sentences), "n_tokens": loss.n_tokens},
            }
        )
        advance(1)
    if len(rows) > 1:
        gap = rises[0] - torch.stack(rises[1:]).mean()
        sampled = samples[0] - torch.stack(samples[1:]).mean(0)
        rows.append(
            {
                **{"property": wanted.name, "part": part, "erased": "property - controls"},
                **tabulate_samples(gap, sampled),
                **{"n_words": len(sentences), "n_tokens": rows[0]["n_tokens"]},
            }
        )
    return pd.DataFrame(rows)


def _fit(store: Store, part: EditedPart, rows: Tensor, labels: Tensor) -> dict[int, Eraser]:
    layers = range(store.n_layers)
    fits = map_threads(
        lambda n: fit_eraser(read_heads(store, CAPTURED[part], n)[:, rows], labels), layers
    )
    return dict(zip(layers, fits, strict=True))


def _probe(
    store: Store,
    part: EditedPart,
    wanted: Property,
    tried: Tensor,
    erasers: dict[int, Eraser] | None,
) -> tuple[float, float]:
    """Return accuracy and majority, means over heads, of probes for the property."""
    units = torch.unique(wanted.units[tried], return_inverse=True)[1]
    splits = Splits.of(word_folds(units, 5, seed=0), 5)

    def measure(layer: int) -> tuple[float, float]:
        x = read_heads(store, CAPTURED[part], layer)[:, wanted.occurrences[tried]]
        x = x if erasers is None else erasers[layer](x)
        found = probe_labels(x, wanted.labels[tried], splits=splits, units=units)
        return float(found.score.observed.mean()), float(found.majority.observed.mean())

    found = torch.tensor(map_threads(measure, range(store.n_layers)))
    accuracy, majority = found.mean(0).tolist()
    return accuracy, majority
