"""Running sums of an epoch that stay on the device, so that reading them does not stop it at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segbench.networks.losses import LossValue
from segbench.training.failures import NonFiniteLossError
from segbench.util.distributed import ProcessRank, total

_PIXEL_STRIDE = 8
_BATCH_STRIDE = 4


@dataclass
class Meter:
    """Losses as means over valid pixels of all processes, gradient norms, and an estimate of the training mIoU.

    The loss of every step is read (``every`` steps at a time): the first one that is not finite raises
    :class:`NonFiniteLossError` with its own epoch and step, in all processes alike.
    """

    process: ProcessRank
    num_classes: int
    ignore_index: int
    epoch: int
    every: int
    precision: str
    loss: float | None = None
    images: int = 0
    _names: tuple[str, ...] = ()
    _step: int = 0
    _batches: int = 0
    _current: Tensor | None = None
    _pending: list[Tensor] = field(default_factory=list)
    _pending_norms: list[Tensor] = field(default_factory=list)
    _pending_rates: list[float] = field(default_factory=list)
    _sums: list[float] = field(default_factory=list)
    _norms: list[float] = field(default_factory=list)
    _matrix: Tensor | None = None

    def add(self, value: LossValue, logits: Tensor, mask: Tensor, *, pixels: Tensor) -> None:
        """Add one batch. ``value`` is its mean over ``pixels`` valid pixels; ``logits`` (N, K, h, w) are the main head's."""
        self._names = tuple(value.parts)
        row = torch.stack([value.total.detach(), *value.parts.values(), torch.ones_like(value.total)]).double() * pixels
        self._current = row if self._current is None else self._current + row
        self.images += len(mask)
        if self._batches % _BATCH_STRIDE == 0:
            self._count(logits.detach(), mask)
        self._batches += 1

    def step(self, norm: Tensor, lr: float) -> None:
        """Note an optimiser step, made of the batches since the last one."""
        assert self._current is not None
        self._pending.append(self._current)
        self._pending_norms.append(norm.detach())
        self._pending_rates.append(lr)
        self._current = None
        if len(self._pending) >= self.every:
            self.read()

    def read(self) -> None:
        """Copy the pending steps to the host and check their losses."""
        if not self._pending:
            return
        rows = total(torch.stack(self._pending), self.process).tolist()
        norms = torch.stack(self._pending_norms).tolist()
        for row, norm, lr in zip(rows, norms, self._pending_rates, strict=True):
            self._step += 1
            if not math.isfinite(row[0]):
                raise NonFiniteLossError(row[0], self.epoch, self._step, precision=self.precision, lr=lr)
            self._sums = [a + b for a, b in zip(self._sums, row, strict=True)] if self._sums else row
            self.loss = row[0] / row[-1] if row[-1] else self.loss
            if math.isfinite(norm):  # with a gradient scaler some are not, and their steps are skipped
                self._norms.append(norm)
        self._pending, self._pending_norms, self._pending_rates = [], [], []

    @property
    def mean_loss(self) -> float | None:
        return self._sums[0] / self._sums[-1] if self._sums and self._sums[-1] else None

    @property
    def mean_parts(self) -> dict[str, float]:
        if not self._sums or not self._sums[-1]:
            return {}
        return {name: value / self._sums[-1] for name, value in zip(self._names, self._sums[1:-1], strict=True)}

    @property
    def mean_norm(self) -> float | None:
        return sum(self._norms) / len(self._norms) if self._norms else None

    def miou(self) -> float | None:
        """mIoU of every 64th pixel of every fourth batch, as predicted while training (augmented, with dropout, weights still moving)."""
        if self._matrix is None:
            return None
        counts = total(self._matrix, self.process)[: self.num_classes].double()
        hits, labels, predictions = counts.diagonal(), counts.sum(1), counts.sum(0)
        labelled = labels > 0
        return float((hits[labelled] / (labels + predictions - hits)[labelled]).mean()) if bool(labelled.any()) else None

    def _count(self, logits: Tensor, mask: Tensor) -> None:
        if self._matrix is None:
            self._matrix = torch.zeros(self.num_classes + 1, self.num_classes, dtype=torch.int64, device=mask.device)
        labels = mask[:, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE]
        (height, width), device = mask.shape[-2:], mask.device
        ys = torch.arange(0, height, _PIXEL_STRIDE, device=device) * logits.shape[-2] // height
        xs = torch.arange(0, width, _PIXEL_STRIDE, device=device) * logits.shape[-1] // width
        predicted = logits.index_select(2, ys).index_select(3, xs).max(dim=1).indices
        rows = torch.where(labels == self.ignore_index, self.num_classes, labels)
        # not bincount, which would make the host wait for the device
        self._matrix.index_put_((rows, predicted), torch.ones_like(rows), accumulate=True)
