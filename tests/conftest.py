"""One core a torch operation: tiny ones wait for each other longer than they take."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
