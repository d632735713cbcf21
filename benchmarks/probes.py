"""How much faster all heads at once are than scikit-learn and joblib, head by head.

``python -m benchmarks.probes`` makes keys and values of SmolLM2's shape (30 layers of 3 kv heads,
64 wide) for 6,000 occurrences of 2,000 words, in 12 classes, and cross-validates a probe of every
head for the classes and for a control task: 5 folds split by word, the penalty of each chosen from
5 in the inner folds. Ours does all heads; scikit-learn does a sample of them, spread evenly, and
its time is multiplied to all (`--sample`). Both use the same cores and get the same inputs; core
seconds say the same where other programs keep the machine busy.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from benchmarks import name_kernels
from probes.linear import draw_control_labels, probe_labels
from probes.linear.evaluate import PENALTIES
from probes.parallel import count_cores, map_threads
from probes.stats import Splits, word_folds

FOLDS = 5
LAYERS = {"ridge": 6, "logistic": 1}
"""Layers in one call. Ridge fits take so little that with one layer a fifth goes into calling."""
REPEATS = {"ridge": 5, "logistic": 1}
"""Ours is so often timed, and the median taken: a second of ridge fits is soon disturbed."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Data:
    """Vectors [site and layer, head, occurrence, d], two label sets, words and their folds."""

    x: torch.Tensor
    tasks: torch.Tensor
    words: torch.Tensor
    fold: torch.Tensor


def make_data(
    *, layers: int, heads: int, occurrences: int, n_classes: int, d: int = 64, seed: int = 0
) -> Data:
    """Draw vectors whose classes overlap, with spectra as wide as SmolLM2's (layer 12).

    The variances of keys span a factor of 311, those of values one of 67.
    """
    random = torch.Generator().manual_seed(seed)
    n_words = occurrences // 3
    words = torch.arange(occurrences) % n_words
    label_of = torch.randint(n_classes, (n_words,), generator=random)
    spans = torch.tensor([311.0, 67.0]).sqrt().repeat_interleave(layers)
    spectrum = spans[:, None, None, None] ** torch.linspace(0.5, -0.5, d)
    shape = (2 * layers, heads)
    centres = 0.45 * torch.randn(*shape, n_classes, d, generator=random)
    own = torch.randn(*shape, n_words, d, generator=random)
    x = (centres[:, :, label_of] + own)[:, :, words]
    x = (x + 0.3 * torch.randn(x.shape, generator=random)) * spectrum
    turn = torch.linalg.qr(torch.randn(*shape, d, d, generator=random)).Q
    labels = label_of[words]
    control = draw_control_labels(labels, words, count=1, seed=seed)
    return Data(x @ turn, torch.cat([labels[None], control]), words, word_folds(words, FOLDS, seed))


def probe_all(data: Data, probe: str) -> Array:
    """Return our accuracies [row, head, task]."""
    splits = Splits.of(data.fold, FOLDS)

    def measure(x: torch.Tensor) -> torch.Tensor:
        found = probe_labels(
            x,
            data.tasks[0],
            splits=splits,
            units=data.words,
            controls=data.tasks[1:],
            probe=probe,  # type: ignore[arg-type]
        )
        return torch.stack([found.score.observed, found.control], -1)

    return torch.cat(map_threads(measure, data.x.split(LAYERS[probe]))).numpy()


def fit_ridge(x: Array, y: Array, penalty: float) -> tuple[Callable[[Array], Array], Any]:
    """Fit scikit-learn's Ridge to one-hot labels."""
    model = Ridge(alpha=penalty).fit(x, np.eye(int(y.max()) + 1)[y])
    return model.predict, None


def fit_logistic(
    x: Array, y: Array, penalty: float, start: Any = None
) -> tuple[Callable[[Array], Array], Any]:
    """Fit scikit-learn's LogisticRegression, from the last penalty's answer."""
    model = LogisticRegression(C=1 / penalty, warm_start=True, max_iter=1000)
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start
    model.fit(x, y)
    return model.predict_log_proba, (model.coef_, model.intercept_, model.classes_)


def cross_validate(x: Array, y: Array, fold: Array, probe: str) -> tuple[float, float]:
    """Return accuracy and core seconds of a nested cross-validation by scikit-learn."""
    begin = time.process_time()
    n_classes = int(y.max()) + 1
    right = 0.0
    with threadpool_limits(1):
        for outer in range(FOLDS):
            losses = np.zeros(len(PENALTIES))
            for inner in set(range(FOLDS)) - {outer}:
                train = ~np.isin(fold, [outer, inner])
                losses += _path_losses(x, y, train, fold == inner, probe, n_classes)
            penalty = PENALTIES[int(losses.argmin())]
            train = fold != outer
            fit = fit_ridge if probe == "ridge" else fit_logistic
            predict, _ = fit(x[train], y[train], penalty * _scale(x[train]))
            right += (predict(x[~train]).argmax(1) == y[~train]).sum()
    return right / len(y), time.process_time() - begin


def _path_losses(
    x: Array, y: Array, train: Array, test: Array, probe: str, n_classes: int
) -> Array:
    losses = np.zeros(len(PENALTIES))
    scale, start = _scale(x[train]), None
    inputs, labels, tested, wanted = x[train], y[train], x[test], y[test]
    for place in np.argsort(PENALTIES)[::-1]:
        if probe == "ridge":
            predict, _ = fit_ridge(inputs, labels, PENALTIES[place] * scale)
            losses[place] = np.square(predict(tested) - np.eye(n_classes)[wanted]).sum()
        else:
            predict, start = fit_logistic(inputs, labels, PENALTIES[place] * scale, start)
            losses[place] = -predict(tested)[np.arange(len(wanted)), wanted].sum()
    return losses


def _scale(x: Array) -> float:
    return float(np.square(x - x.mean(0)).sum() / x.shape[1])


def compare(data: Data, probe: str, sample: int) -> dict[str, float]:
    """Time both; scikit-learn on `sample` heads, one a core at a time."""
    n_rows, n_heads = data.x.shape[:2]
    chosen = np.linspace(0, n_rows * n_heads - 1, sample).round().astype(int)
    fold = data.fold.numpy()
    jobs = [
        (data.x[divmod(number, n_heads)].double().numpy(), task.numpy())
        for number in chosen.tolist()
        for task in data.tasks
    ]
    workers = Parallel(n_jobs=count_cores())
    workers(delayed(abs)(n) for n in range(count_cores()))  # starts the processes, untimed
    probe_all(
        Data(data.x[:1, :, :200], data.tasks[:, :200], data.words[:200], data.fold[:200]), probe
    )
    times = []
    for _ in range(REPEATS[probe]):
        start, start_core = time.perf_counter(), time.process_time()
        ours = probe_all(data, probe)
        times.append((time.perf_counter() - start, time.process_time() - start_core))
    clock, core = np.median(times, axis=0).tolist()
    middle = time.perf_counter()
    found = workers(delayed(cross_validate)(x, y, fold, probe) for x, y in jobs)
    end = time.perf_counter()
    theirs, their_core = np.array(found).T
    gaps = 100 * (ours.reshape(-1, 2)[chosen] - theirs.reshape(-1, 2))
    share = n_rows * n_heads / sample
    return {
        "heads": n_rows * n_heads,
        "sample": sample,
        "ours": clock,
        "scikit-learn": (end - middle) * share,
        "ratio": (end - middle) * share / clock,
        "ours, core": core,
        "scikit-learn, core": their_core.sum() * share,
        "core ratio": their_core.sum() * share / core,
        "accuracy": 100 * float(ours[..., 0].mean()),
        "control": 100 * float(ours[..., 1].mean()),
        "gap": float(np.abs(gaps).max()),
    }


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--occurrences", type=int, default=6000)
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument(
        "--sample", type=int, nargs=2, default=(12, 2), help="heads: ridge, logistic"
    )
    asked = parser.parse_args()
    data = make_data(
        layers=asked.layers,
        heads=asked.heads,
        occurrences=asked.occurrences,
        n_classes=asked.classes,
    )
    names = ("torch", "scikit-learn", "joblib")
    print(
        f"{platform.machine()}, {count_cores()} cores of {os.cpu_count()}, Python "
        f"{platform.python_version()}, {', '.join(f'{n} {version(n)}' for n in names)}; torch with "
        f"{torch.backends.cpu.get_cpu_capability()}, scikit-learn with {name_kernels()}\n"
    )
    columns = (
        *("probe", "heads", "ours", "scikit-learn", "ratio"),
        *("core seconds", "core ratio", "accuracy", "control", "largest gap"),
    )
    print(f"| {' | '.join(columns)} |\n|---{'|---:' * (len(columns) - 1)}|")
    for probe, sample in zip(("ridge", "logistic"), asked.sample, strict=True):
        found = compare(data, probe, sample)
        cells = (
            probe,
            f"{found['heads']}",
            f"{found['ours']:,.1f} s",
            f"{found['scikit-learn']:,.0f} s (from {found['sample']} heads)",
            f"{found['ratio']:.0f}",
            f"{found['ours, core']:,.1f} / {found['scikit-learn, core']:,.0f}",
            f"{found['core ratio']:.0f}",
            f"{found['accuracy']:.1f} %",
            f"{found['control']:.1f} %",
            f"{found['gap']:.2f} points",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
