"""AdamW with decoupled weight decay (Loshchilov & Hutter 2019) over the network's and the loss's own parameters."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import AdamW

from segbench.settings import TrainSettings
from segbench.training.schedules import Rate


def build_optimizer(parameters: Iterable[nn.Parameter], settings: TrainSettings, *, device: torch.device) -> AdamW:
    """One group with one weight decay for everything that is trained.

    The fused kernel is used on the CPU (one call instead of a dozen per tensor); on CUDA it would do the gradient scaler's
    work itself, which excludes clipping, and torch's own choice is as fast.
    """
    trained = [p for p in parameters if p.requires_grad]
    fused = True if device.type == "cpu" else None
    return AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)


def set_rate(optimizer: torch.optim.Optimizer, rate: Rate, *, factor: float = 1.0) -> float:
    """Give every group this rate times ``factor``; returns the learning rate."""
    lr = rate.lr * factor
    for group in optimizer.param_groups:
        group["lr"] = lr
        group["betas"] = (rate.beta, group["betas"][1])
    return lr
