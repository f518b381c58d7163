"""Output drift: the difference between a deployment's logits and those of the eager fp32 network on the same images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.results.records import Drift
from segbench.util.image_size import Size


class DriftMeter:
    """Adds up differences image by image, in float64, so that no two sets of logits need to be held at once."""

    def __init__(self) -> None:
        self.images = 0
        self._values = self._pixels = self._agreeing = 0
        self._largest = self._differences = self._sum = self._squares = 0.0

    def add(self, logits: Tensor, reference: Tensor) -> None:
        """One image: logits and the eager network's, both (1, K, H, W).

        Raises :class:`BackendError` where the shapes differ or where the logits are no finite numbers and the reference's are.
        """
        if logits.shape != reference.shape:
            raise BackendError(f"it gives {tuple(logits.shape)} where the network gives {tuple(reference.shape)}")
        logits, reference = logits.detach().to("cpu", torch.float64), reference.detach().to("cpu", torch.float64)
        if bool(reference.isfinite().all()) and not bool(logits.isfinite().all()):
            raise BackendError("its logits are not finite numbers where the network's are: a value has left the range of its precision")
        difference = (logits - reference).abs()
        self.images += 1
        self._values += reference.numel()
        self._pixels += reference.numel() // reference.shape[1]
        self._agreeing += int((logits.argmax(1) == reference.argmax(1)).sum())
        self._largest = max(self._largest, float(difference.max()))
        self._differences += float(difference.sum())
        self._sum += float(reference.sum())
        self._squares += float(reference.square().sum())

    def result(self, input_size: Size) -> Drift:
        """The drift over all images added."""
        if not self._values:
            return Drift(images=0, input_size=input_size)
        mean = self._sum / self._values
        return Drift(
            images=self.images,
            input_size=input_size,
            max_abs=self._largest,
            mean_abs=self._differences / self._values,
            reference_std=math.sqrt(max(self._squares / self._values - mean * mean, 0.0)),
            label_agreement=self._agreeing / self._pixels,
        )


def differs_from_export_size(drift: Drift, at_export_size: Drift) -> bool:
    """True where a deployment that claims to take any size computes something else at this size than at its export size.

    Rounding grows slowly with the size; a branch that was frozen at export shows in the mean. The bound is five times the mean
    difference at the export size, and at least a thousandth of the logits' own deviation.
    """
    if drift.mean_abs is None or at_export_size.mean_abs is None:
        return True
    floor = 1e-3 * (at_export_size.reference_std or 0.0)
    return not drift.mean_abs <= max(5 * at_export_size.mean_abs, floor)


def require_same_network(drift: Drift) -> None:
    """Raise :class:`BackendError` where a deployment in full precision computes something else than its network: it is another one."""
    if drift.images and differs_from_network(drift):
        raise BackendError(
            f"it runs, but its logits are off by up to {drift.max_abs or 0.0:.3g} where they are to be equal (labels agree on "
            f"{100 * (drift.label_agreement or 0.0):.2f} %): it is not scored as this network."
        )


def differs_from_network(drift: Drift) -> bool:
    """True where a deployment in full precision differs from the network: a mean difference above 1 % of the logits' deviation."""
    if drift.mean_abs is None or drift.reference_std is None:
        return True
    return not drift.mean_abs <= 0.01 * drift.reference_std
