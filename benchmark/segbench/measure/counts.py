"""Counts of a network that need no training: parameters, multiply-adds and fvcore's count, for a stated input shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from segbench.measure.fvcore import count_fvcore
from segbench.measure.macs import trace_macs
from segbench.measure.params import count_params, float32_mb
from segbench.results.readings import with_weights_elsewhere


@dataclass(frozen=True)
class Profile:
    """The fields of a cell in ``run.json`` that bear the same names."""

    params: int
    params_trained: int
    params_trainable: int
    params_per_part: dict[str, int]
    params_in_buffers: int
    size_mb: float
    buffers_mb: float
    macs: int | None
    macs_at_least: int | None
    macs_not_counted: list[str]
    flops: int | None
    fvcore_flops: int | None
    fvcore_error: str | None
    uncounted_ops: dict[str, int] | None
    input_shape: list[list[int]]
    auxiliary_kept: str | None

    def fields(self) -> dict[str, Any]:
        """As a mapping, to update a :class:`segbench.results.records.CellResult` with."""
        return asdict(self)


def profile_network(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    parts: Mapping[str, tuple[str, ...]],
    trained: nn.Module | None = None,
    fvcore: bool = True,
) -> Profile:
    """Count ``network``, the deployed one, on ``inputs`` (a tuple of tensors (N, C, H, W), one per input of the model).

    ``trained`` is the network as it was trained, with auxiliary heads, where that is another one. ``fvcore=False`` leaves out
    the only count that has to run the network.
    """
    count = count_params(network, parts=parts)
    trained_count = count if trained is None else count_params(trained, parts={})
    macs = trace_macs(network, inputs)
    traced = count_fvcore(network, inputs) if fvcore else None
    return Profile(
        params=count.total,
        params_trained=trained_count.total,
        params_trainable=trained_count.trainable,
        params_per_part=dict(count.per_part),
        params_in_buffers=macs.weights_elsewhere,
        size_mb=float32_mb(with_weights_elsewhere(count.total, macs.weights_elsewhere)),
        buffers_mb=count.buffers_mb,
        macs=macs.total,
        macs_at_least=macs.counted if macs.total is None else None,
        macs_not_counted=list(macs.not_counted),
        flops=None if macs.total is None else 2 * macs.total,
        fvcore_flops=traced.flops if traced else None,
        fvcore_error=traced.error if traced else "not asked for",
        uncounted_ops=traced.uncounted_ops if traced else None,
        input_shape=[list(tensor.shape) for tensor in inputs],
        auxiliary_kept=getattr(network, "kept_auxiliary", None) or None,
    )
