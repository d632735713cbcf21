"""Stems: the words that many sequences have in common after their shared prefix.

In a causal model a modifier after a prefix has one key and one value, whichever head follows. So
each distinct stem runs once, and what follows it runs on the stem's own keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from probes.capture.plan import TokenSequence

WORTH = 0.75
"""Stems run by themselves where there are at most so many for each sequence: a pass more costs."""


@dataclass(frozen=True)
class Branches:
    """Sequences that go on from a few stems, in batches; the stems are one more batch.

    Attributes
    ----------
    stems
        Each distinct stem once, of equal length; it holds what is read in it, and asks nothing.
    batches
        The sequences in their order, whose words are read in the stems.
    stem_of
        For every sequence of every batch, the place of its stem.
    """

    stems: tuple[TokenSequence, ...]
    batches: tuple[tuple[TokenSequence, ...], ...]
    stem_of: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence], batch_size: int) -> Branches:
        """Take apart sequences whose stems are as long as that of the first."""
        length = find_stem(sequences[0])
        places: dict[tuple[int, ...], int] = {}
        stems: list[TokenSequence] = []
        number = []
        for sequence in sequences:
            ids = sequence.ids[:length]
            place = places.setdefault(ids, len(stems))
            if place == len(stems):
                stems.append(replace(sequence, ids=ids, occurrences=(), queries=()))
            read = stems[place].occurrences + sequence.occurrences
            stems[place] = replace(stems[place], occurrences=read)
            number.append(place)
        rests = [replace(sequence, occurrences=()) for sequence in sequences]
        parts = [slice(n, n + batch_size) for n in range(0, len(rests), batch_size)]
        return cls(
            tuple(stems),
            tuple(tuple(rests[part]) for part in parts),
            tuple(tuple(number[part]) for part in parts),
        )


def find_stem(sequence: TokenSequence) -> int:
    """Return how many tokens come before what attends: 0 where something is read or asked later."""
    seen = [span.last for _, span in sequence.occurrences]
    seen += [attended for _, _, attended in sequence.queries]
    end = max(seen, default=-1) + 1
    asks = [position for _, position, _ in sequence.queries]
    return end if asks and end <= min(asks) and end > sequence.prefix_length else 0


def branch(
    sequences: Sequence[TokenSequence], batch_size: int
) -> Iterator[Branches | list[TokenSequence]]:
    """Cut sequences of one prefix into those worth taking apart, and the others; the order stays.

    Parameters
    ----------
    batch_size
        At most so many stems, and so many sequences a batch.
    """
    others: list[TokenSequence] = []
    for length, group in groupby(sequences, key=lambda s: (find_stem(s), len(s.ids))):
        alike = list(group)
        stems = [s.ids[: length[0]] for s in alike]
        if not length[0] or len(set(stems)) > WORTH * len(alike):
            others += alike
            continue
        if others:
            yield others
            others = []
        start, known = 0, set[tuple[int, ...]]()
        for place, stem in enumerate(stems):
            if stem not in known and len(known) == batch_size:
                yield Branches.of(alike[start:place], batch_size)
                start, known = place, set()
            known.add(stem)
        yield Branches.of(alike[start:], batch_size)
    if others:
        yield others
