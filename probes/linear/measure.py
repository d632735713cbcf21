"""Everything that is measured of one layer's heads for one property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.linear.control import draw_control_labels
from probes.linear.description_length import DescriptionLength, describe_online
from probes.linear.evaluate import PENALTIES, Probe, Probing, probe_labels, probe_numbers
from probes.linear.inputs import join_pairs
from probes.linear.properties import Property
from probes.stats.bootstrap import pair_weights, resample_words
from probes.stats.folds import Splits, word_folds

ONE_PENALTY = (1e-2,)


@dataclass(frozen=True)
class Design:
    """How a property is probed: its folds, controls and resamples, the same for all heads.

    Attributes
    ----------
    splits
        One for each refit, from another seed; the first gives the scores.
    penalties
        To choose from; a single one where nothing is left to choose by, as with two folds.
    """

    wanted: Property
    splits: tuple[Splits, ...]
    controls: Tensor | None
    penalties: tuple[float, ...]
    probe: Probe
    seed: int

    @classmethod
    def of(
        cls,
        wanted: Property,
        *,
        probe: Probe = "ridge",
        folds: int = 5,
        controls: int = 1,
        refits: int = 1,
        penalties: Sequence[float] = PENALTIES,
        seed: int = 0,
    ) -> Design:
        """Assign words to folds, or take the corpus' own split, and draw the control tasks.

        A word's identity is its own control task, so there is none for it. There are no refits of a
        split that is given.
        """
        if wanted.split is not None:
            splits: tuple[Splits, ...] = (Splits.given(wanted.split),)
        else:
            folds = min(folds, len(torch.unique(wanted.groups)))
            splits = tuple(
                Splits.of(word_folds(wanted.groups, folds, seed + refit), folds)
                for refit in range(refits)
            )
        has_control = controls > 0 and not wanted.splits_words
        return cls(
            wanted=wanted,
            splits=splits,
            controls=draw_control_labels(wanted.labels, wanted.units, count=controls, seed=seed)
            if has_control
            else None,
            penalties=tuple(penalties)
            if all(split.can_choose for split in splits)
            else ONE_PENALTY,
            probe=probe,
            seed=seed,
        )

    def weights(self, resamples: int) -> Float[Tensor, "resample unit"]:
        """Draw the resamples: of the words tested; a pair weighs the product of its words' counts.

        A treebank's words that are only trained on are no part of the score, and weigh nothing.
        """
        own = self.wanted.unit_words
        if own is None:
            tested = torch.unique(self.wanted.units[self.splits[0].tested()])
            drawn = resample_words(len(tested), resamples=resamples, seed=self.seed)
            weights = drawn.new_zeros(resamples, int(self.wanted.units.max()) + 1)
            weights[:, tested] = drawn
            return weights
        counts = resample_words(int(own.max()) + 1, resamples=resamples, seed=self.seed)
        return pair_weights(counts, own[:, 0], own[:, 1])


@dataclass(frozen=True)
class HeadMeasurements:
    """One layer's heads, one kind of input, one property.

    ``refits`` [refit, head] are the scores with other folds; ``code`` is None for numbers and where
    folds do not split words.
    """

    probing: Probing
    refits: Float[Tensor, "refit head"]
    code: DescriptionLength | None


def measure_heads(
    x: Float[Tensor, "head occurrence d"], design: Design, *, with_code: bool = True
) -> HeadMeasurements:
    """Probe one layer's heads for a property, refit, and measure the description length.

    Parameters
    ----------
    x
        Of all occurrences of the capture; the property picks its own.
    with_code
        Whether to measure the online code as well (it takes longer than the scores).
    """
    wanted = design.wanted
    inputs = join_pairs(x, wanted.occurrences) if wanted.of_pairs else x[:, wanted.occurrences]
    found = [
        _probe(inputs, design, splits, with_controls=number == 0)
        for number, splits in enumerate(design.splits)
    ]
    code = None
    if with_code and not wanted.is_number and not wanted.splits_words and not wanted.of_pairs:
        code = describe_online(
            inputs,
            wanted.labels[None],
            wanted.units,
            penalties=design.penalties,
            seed=design.seed,
        )
    return HeadMeasurements(
        probing=found[0],
        refits=torch.stack([probing.score.observed for probing in found]),
        code=code,
    )


def _probe(x: Tensor, design: Design, splits: Splits, *, with_controls: bool) -> Probing:
    wanted = design.wanted
    controls = design.controls if with_controls else None
    if wanted.is_number:
        return probe_numbers(
            x,
            wanted.labels,
            splits=splits,
            units=wanted.units,
            controls=controls,
            penalties=design.penalties,
        )
    return probe_labels(
        x,
        wanted.labels,
        splits=splits,
        units=wanted.units,
        controls=controls,
        probe=design.probe,
        penalties=design.penalties,
    )
