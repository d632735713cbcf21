"""From captures and running text to what each source gives."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from analyses.co_attended.measured import Gathering, Measured
from analyses.co_attended.verdict import FEWEST_PAIRS
from analyses.shared.resumable import FinishedParts
from probes.capture.contexts import ContextPairs
from probes.capture.store import Store
from probes.capture.text_pairs import TokenPopulation, mark_documents
from probes.models.model import Model
from probes.progress import progress_bar
from probes.similarity.co_attended.sentences import Units, contribute_layer, take_comparable
from probes.similarity.co_attended.text import DocumentPart, contribute_documents, join_documents
from probes.similarity.co_attended.text_spaces import read_spaces
from probes.similarity.spaces import read_metrics
from probes.stats.clusters import Clusters
from probes.words.coordination_pairs import SOURCES
from probes.words.fields import is_unspaced
from probes.words.texts import Corpus
from probes.words.topics import number_topics

COORDINATION, COMPOUNDS = "coordination", "two queries"
TEXT_SOURCES: dict[str, TokenPopulation] = {
    "running text": "all tokens",
    "content words": "content words",
}
"""Source -> which tokens it is of."""


def name_source(contexts: Store) -> str:
    """Name what a capture of contexts is of: sentence templates, or whose sentences."""
    if len(contexts.table("templates")):
        return COORDINATION
    return str(contexts.table("pairs")["template_id"].iloc[0])


def reads_another_script(words: Iterable[str], corpus: Corpus) -> bool:
    """Whether a text is in a script with spaces between words and the words are not, or reverse."""
    document = (*corpus.train, *corpus.held_out)[0]
    return _is_mostly_unspaced("".join(words)) != _is_mostly_unspaced(document.text[:2000])


def _is_mostly_unspaced(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(map(is_unspaced, letters)) > len(letters)


def leave_out_selected(store: Store) -> tuple[ContextPairs, int | None]:
    """Read the pairs of words that chance alone brought together; also return how many there are.

    A table of pairs may have been chosen by how related its words are; what it lists, or connects
    by a chain of rows, would then decide the answers. Where fewer are left than answers need, all
    are read, and the count says that nothing can be answered. A table that does not say what
    brought its pairs together (a user's sentences) is read whole, with None.
    """
    every = ContextPairs.of(store)
    if "source" not in every.table:
        return every, None
    if not (every.table["source"] == SOURCES[0]).any():
        return every, 0
    kept = ContextPairs.of(store, source=SOURCES[0])
    return (kept if kept.n_distinct >= FEWEST_PAIRS else every), kept.n_distinct


def measure_sentences(
    store: Store,
    pairs: ContextPairs,
    source: str,
    *,
    share: float,
    seed: int,
    model: Model | None = None,
    judged: int | None = None,
) -> Measured:
    """Measure the events of a capture: sentences that hold both words, or two that hold one each.

    The unit is the pair of words, in either order and in any template.

    Parameters
    ----------
    model
        For the norms and rotations of random heads.
    judged
        On how many distinct pairs the answers may rest; by default on all.
    """
    events = take_comparable(pairs)
    units, metrics = Units.of(events), read_metrics(store)
    clusters = Clusters.of_pairs(
        units.left_word, units.right_word, topic=number_topics(events.words)
    )
    gathering = Gathering(source, clusters, len(units), len(units) if judged is None else judged)
    with progress_bar(f"Comparing: {source}", total=store.n_layers, unit="layers") as advance:
        for layer in range(store.n_layers):
            found = contribute_layer(
                store,
                layer,
                events,
                units,
                metrics=metrics[layer],
                share=share,
                how=None if model is None else model.geometry.layers[layer],
                seed=seed,
            )
            gathering.add(
                found.contributions,
                layer=layer,
                n_kv_heads=store.number("n_kv_heads", layer),
                attention=found.attention,
                written_square=found.written_square,
                stream_square=found.stream_square,
            )
            advance(1)
    return gathering.finish()


def measure_text(
    model: Model,
    corpus: Corpus,
    parts: FinishedParts,
    *,
    documents: int | None,
    length: int,
    seed: int,
) -> list[Measured]:
    """Measure running text: every query position, all tokens and content words, by document.

    Documents that were finished before are read from `parts`.
    """
    chosen = (*corpus.train, *corpus.held_out)[:documents]
    marked = mark_documents(model.tokenizer, chosen, length=length)
    found: dict[str, DocumentPart] = {}
    for document in marked:
        kept = parts.find_tensors(f"text-{document.name}")
        if kept is not None:
            found[document.name] = DocumentPart(document.name, kept)
    missing = [document for document in marked if document.name not in found]
    if missing:
        with progress_bar("Reading text", total=2 * len(marked), unit="documents") as advance:
            spaces = read_spaces(model, marked, seed=seed)
            advance(len(marked) + len(found))
            for part in contribute_documents(model, missing, spaces):
                parts.keep_tensors(f"text-{part.name}", part.tensors)
                found[part.name] = part
                advance(1)
    ordered = [found[document.name] for document in marked]
    return [
        _gather_text(model, ordered, source, population)
        for source, population in TEXT_SOURCES.items()
        if any(len(one.pairs[population].left) for document in marked for one in document.windows)
    ]


def _gather_text(
    model: Model, documents: list[DocumentPart], source: str, population: TokenPopulation
) -> Measured:
    count = len(documents)
    gathering = Gathering(source, Clusters.of_documents(count), count, count)
    for place, layer in enumerate(model.geometry.layers):
        sums = {
            name: torch.stack([part.tensors[f"{name}.{place}"] for part in documents]).sum(0)
            for name in ("attention", "written_square", "stream_square", "queries")
        }
        queries = sums["queries"]
        gathering.add(
            join_documents(documents, place, population=population),
            layer=place,
            n_kv_heads=layer.n_kv_heads,
            attention=sums["attention"] / queries,
            written_square=sums["written_square"] / queries,
            stream_square=sums["stream_square"] / queries,
        )
    return gathering.finish()
