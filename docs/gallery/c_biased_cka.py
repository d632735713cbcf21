"""
CKA without correction is high for noise
========================================

Keys and values are independent noise, so the true answer is 0. Plain linear CKA grows with the
width of the vectors; the debiased one stays at 0.
"""

import matplotlib.pyplot as plt
import torch

from probes.similarity import debiased_cka

torch.manual_seed(0)
widths, rows = [4, 8, 16, 32, 64, 128], 60


def plain_cka(k: torch.Tensor, v: torch.Tensor) -> float:
    """Return linear CKA as it is usually computed."""
    k, v = k - k.mean(0), v - v.mean(0)
    return float((k.T @ v).norm() ** 2 / ((k.T @ k).norm() * (v.T @ v).norm()))


plain, debiased = [], []
for width in widths:
    pairs = [(torch.randn(rows, width), torch.randn(rows, width)) for _ in range(20)]
    plain.append(sum(plain_cka(k, v) for k, v in pairs) / 20)
    debiased.append(sum(float(debiased_cka(k[None], v[None])[0]) for k, v in pairs) / 20)

figure, ax = plt.subplots(figsize=(4, 2.6), layout="constrained")
ax.plot(widths, plain, marker="s", label="linear CKA")
ax.plot(widths, debiased, marker="o", label="debiased CKA")
ax.axhline(0, color="grey", linestyle="--", linewidth=0.8)
ax.set(xlabel="width of the vectors (60 rows)", ylabel="CKA of independent noise", xscale="log")
ax.legend(frameon=False)
