"""Running text: which tokens a query attends to together, and how alike their keys and values are.

Two passes over the same windows. The first (`read_spaces`) gives the centre of keys and values and
the metric of the queries of every head; the second compares, inside the attention hook, all pairs
of tokens of a window, and adds up what each head attends to. Nothing is stored but contributions by
document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.capture.aim import Aim
from probes.capture.read import Enough, Reader
from probes.capture.sizes import find_block
from probes.capture.text_pairs import POPULATIONS, MarkedDocument, MarkedWindow, TokenPopulation
from probes.capture.text_read import run_windows
from probes.errors import NonFiniteError, UsageError
from probes.models.model import Model
from probes.models.tap import Attended
from probes.parallel import map_threads
from probes.similarity.co_attended.contributions import SELECTIONS, SUMS, Contributions
from probes.similarity.co_attended.figures import STATISTICS
from probes.similarity.co_attended.random_layer import RandomLayer
from probes.similarity.co_attended.text_spaces import BATCH_SIZE, TextSpaces, find_giver
from probes.similarity.co_attended.windows import RULES, Rule, contribute_window


@dataclass(frozen=True)
class DocumentPart:
    """What one document contributes, by layers.

    Attributes
    ----------
    tensors
        ``numerator.LAYER`` [population, rule, selection, statistic, head], ``denominator.LAYER``
        and ``count.LAYER`` [population, rule, selection, head], ``attention.LAYER`` [head] (what
        the queries give to the tokens that count), ``written_square.LAYER`` [head] (of what a head
        writes), ``stream_square.LAYER`` []; the last three are sums over ``queries.LAYER`` queries.
    """

    name: str
    tensors: dict[str, Tensor]


def contribute_documents(
    model: Model,
    documents: Sequence[MarkedDocument],
    spaces: TextSpaces,
    *,
    batch_size: int = BATCH_SIZE,
) -> Iterator[DocumentPart]:
    """Pass over documents for what their queries attend to; yield each when it is done.

    A document's part does not depend on which others are asked for (except for the last digits).

    Parameters
    ----------
    documents
        All, or those whose part is missing.
    spaces
        From `read_spaces`, of all documents.
    batch_size
        Windows per batch; changes speed, and the last digits.

    Raises
    ------
    NonFiniteError
        If the model gives NaN or infinite numbers.
    """
    reader = _PairReader(model, spaces)
    windows = [(place, one) for place, document in enumerate(documents) for one in document.windows]
    waiting: dict[int, list[dict[str, Tensor]]] = {}
    with reader.attached():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            found = reader.compare([one for _, one in batch])
            for (place, _), tensors in zip(batch, found, strict=True):
                waiting.setdefault(place, []).append(tensors)
            done = [
                place
                for place, parts in waiting.items()
                if len(parts) == len(documents[place].windows)
            ]
            for place in done:
                parts = waiting.pop(place)
                sums = {
                    name: sum((part[name] for part in parts[1:]), parts[0][name])
                    for name in parts[0]
                }
                yield DocumentPart(documents[place].name, sums)


def join_documents(
    parts: Sequence[DocumentPart],
    layer: int,
    *,
    population: TokenPopulation = "all tokens",
    rule: Rule = "two largest",
) -> Contributions:
    """Put the documents' contributions of one layer behind each other: a unit per document.

    Raises
    ------
    UsageError
        If there is no document.
    """
    if not parts:
        raise UsageError("There are no documents to join; give one or more.")
    place = POPULATIONS.index(population), list(RULES).index(rule)
    sums = {
        name: torch.stack([part.tensors[f"{name}.{layer}"][place] for part in parts], -1)
        for name in SUMS
    }
    return Contributions(SELECTIONS[: len(sums["count"])], STATISTICS, **sums)


class _PairReader(Reader):
    """Compares all pairs of tokens of every window, layer by layer, inside the attention hook."""

    def __init__(self, model: Model, spaces: TextSpaces) -> None:
        super().__init__(model, site=model.geometry.site, key_stage=spaces.key_stage)
        self.spaces = spaces
        self._windows: Sequence[MarkedWindow] = ()
        self._found: list[dict[str, Tensor]] = []
        self._stream: Tensor = torch.zeros(0)
        self._grams: dict[int, Tensor] = {}
        self._givers = {layer.source for layer in self.geometry.layers} - {None}

    @contextmanager
    def attached(self) -> Iterator[_PairReader]:
        """Attach all hooks, also where the stream enters each layer."""
        with super().attached(), ExitStack() as stack:
            for layer in self.geometry.layers:
                block = find_block(self.model.hf, layer)
                hook = block.register_forward_pre_hook(self._on_stream, with_kwargs=True)
                stack.callback(hook.remove)
            yield self

    def compare(self, windows: Sequence[MarkedWindow]) -> list[dict[str, Tensor]]:
        """Run one batch; return the tensors of each window, as in `DocumentPart`."""
        self._windows, self._found = windows, [{} for _ in windows]
        run_windows(self, [one.window for one in windows], self._aim_at_all())
        found, self._found = self._found, []
        return found

    def on_queries(self, layer: int, x: Tensor, output: Tensor) -> None:
        """Keep what the random queries are to read."""
        if self.aim is not None and self.spaces.layers:
            aim = self.aim.on(x.device)
            self._parts["x_query"][layer] = x[aim.row, aim.position]

    def on_attention(self, layer: int, attended: Attended) -> None:
        """Compare and choose, window by window.

        Raises
        ------
        NonFiniteError
            If a number is NaN or infinite.
        """
        if self.aim is None:
            return
        giver = find_giver(self, layer)
        parts = {"k": self._parts["k"].get(giver), "x": self._parts["x"][giver]}
        parts["x_query"] = self._parts["x_query"].pop(layer, None)
        lengths = [len(one.window.ids) for one in self._windows]
        starts = [sum(lengths[:row]) for row in range(len(lengths))]

        @torch.inference_mode()
        def add(row: int) -> None:
            tokens, length = slice(starts[row], starts[row] + lengths[row]), lengths[row]
            own = {name: None if p is None else p[tokens].cpu() for name, p in parts.items()}
            if own["k"] is None:  # as rotated
                own["k"] = attended.key[row, :, :length].transpose(0, 1).cpu()
            own["v"] = attended.value[row, :, :length].transpose(0, 1).float().cpu()
            weights = attended.weigh_all(row, causal=self.geometry.causal)
            self._add(layer, row, own, weights[:, :length, :length].cpu())

        try:
            map_threads(add, range(len(lengths)))
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{self.model.name} gives NaN or infinite numbers in layer {layer}: {error} "
                "Check the weights, or run in float32."
            ) from error
        if giver not in self._givers:
            for name in ("x", "k"):
                self._parts[name].pop(giver, None)
        if layer == self.geometry.n_layers - 1:
            raise Enough

    def _add(self, layer: int, row: int, own: dict[str, Any], weights: Tensor) -> None:
        """Add up one layer of one window."""
        one = self._windows[row]
        first, causal, seed = one.window.first, self.geometry.causal, self.spaces.seed
        options: dict[str, Any] = {"causal": causal, "first": first, "seed": seed}
        trained = (*self.spaces.trained[layer].place(own["k"], own["v"]), weights)
        drawn = None
        if self.spaces.layers:
            attended = attend_randomly(
                self.spaces.layers[layer], own["x"], own["x_query"], causal=causal
            )
            drawn = (*self.spaces.random[layer].place(*attended[:2]), attended[2])
        by_population = []
        for pairs in one.pairs.values():
            parts = [contribute_window(*trained, pairs, **options)]
            if drawn is not None:
                parts.append(contribute_window(*drawn, pairs, random=True, **options))
            by_population.append(
                [Contributions.merge([part[rule] for part in parts]) for rule in RULES]
            )
        tensors = self._found[row]
        for name in SUMS:
            stacked = [torch.stack([getattr(part, name) for part in of]) for of in by_population]
            tensors[f"{name}.{layer}"] = torch.stack(stacked)[..., 0]
        queries = weights[:, first:]
        counted = one.pairs["all tokens"].token & ~torch.eye(len(own["v"]), dtype=torch.bool)
        given = (queries * counted[first:]).double()
        heads = len(weights) // own["v"].shape[1]
        mixed = queries @ own["v"].transpose(0, 1).repeat_interleave(heads, 0)
        written = torch.einsum("hqd,hde,hqe->h", mixed, self._gram(layer), mixed)
        stream = self._stream[row, first : len(one.window.ids)].double().cpu()
        tensors[f"attention.{layer}"] = given.sum((1, 2))
        tensors[f"written_square.{layer}"] = written.double()
        tensors[f"stream_square.{layer}"] = stream.square().sum()[None]
        tensors[f"queries.{layer}"] = torch.tensor([queries.shape[1]], dtype=torch.float64)

    def _aim_at_all(self) -> Aim:
        """Read every token of every window, those too that do not count."""
        lengths = torch.tensor([len(one.window.ids) for one in self._windows])
        row = torch.arange(len(lengths)).repeat_interleave(lengths)
        position = torch.cat([torch.arange(int(length)) for length in lengths])
        places = torch.arange(len(row))
        device = self.model.device
        return Aim(
            row=row.to(device),
            position=position.to(device),
            slot=places.to(device),
            n_occurrences=len(row),
            query_row=row.to(device),
            query_position=position.to(device),
            attended=position.to(device),
            sampled=places[:0].to(device),
        )

    def _on_stream(self, _: nn.Module, args: Any, options: dict[str, Any]) -> None:
        if self.aim is None:
            return
        norms = (args[0] if args else options["hidden_states"]).float().norm(dim=-1)
        # Of the parallel streams that some families keep (Gemma 3n), the first is the one in use.
        self._stream = norms if norms.ndim == 2 else norms.flatten(0, -3)[0]

    def _gram(self, layer: int) -> Float[Tensor, "head d_value d_value"]:
        """Return W_O W_O' of each head, with which a norm needs no vector as wide as the stream."""
        if layer not in self._grams:
            blocks = self.geometry.output_weights(layer).float().cpu()
            self._grams[layer] = blocks @ blocks.mT
        return self._grams[layer]


def attend_randomly(
    drawn: RandomLayer,
    x: Float[Tensor, "token d_input"],
    x_query: Float[Tensor, "token d_query_input"],
    *,
    causal: bool,
) -> tuple[
    Float[Tensor, "token kv_head d_head"],
    Float[Tensor, "token kv_head d_value"],
    Float[Tensor, "head token token"],
]:
    """Return keys and values of random heads in one window, and their attention over it."""
    length = len(x)
    position = torch.arange(length)
    visible = torch.ones(length, length, dtype=torch.bool)
    k, v = drawn.read(x)
    q = drawn.ask(x_query, position)
    weights = drawn.weigh(q, k, position=position, visible=visible.tril() if causal else visible)
    return k, v, weights
