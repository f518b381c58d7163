"""fvcore's own total, for comparison with tables that quote it (timm's ``infer_gmacs`` among them).

One multiply-add counts one; norms, pooling and upsampling are included, and the sum depends on how a network is written:
``segbench.measure.macs`` gives the figure to compare networks by. This is the only module that imports fvcore.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from segbench.measure.meta_device import evaluating, tensors_of

with warnings.catch_warnings():
    # fvcore scripts a loss function while it is imported, which newer torch versions call deprecated
    warnings.simplefilter("ignore")
    from fvcore.nn import FlopCountAnalysis


@dataclass(frozen=True)
class FvcoreCount:
    """``flops`` is fvcore's total, ``uncounted_ops`` what it met and could not count; both None where ``error`` says why."""

    flops: int | None
    uncounted_ops: dict[str, int] | None
    error: str | None = None


def count_fvcore(network: nn.Module, inputs: tuple[Tensor, ...]) -> FvcoreCount:
    """Trace ``network(*inputs)`` in eval mode and let fvcore count it. The pass really runs: fvcore cannot trace on ``meta``.

    >>> count_fvcore(nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.SiLU()), (__import__("torch").zeros(1, 3, 4, 4),))
    FvcoreCount(flops=384, uncounted_ops={'aten::silu': 1}, error=None)
    """
    try:
        with evaluating(network), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing foreign code: every warning is about tracing, none about the count
            analysis = FlopCountAnalysis(_TensorsOnly(network), inputs)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
            total = round(analysis.total())
            uncounted = {str(name): int(times) for name, times in sorted(analysis.unsupported_ops().items())}
    except Exception as error:  # tracing runs foreign code and may fail in any way; the rest of the profile does not depend on it
        return FvcoreCount(flops=None, uncounted_ops=None, error=_reason(error))
    return FvcoreCount(flops=total, uncounted_ops=uncounted)


class _TensorsOnly(nn.Module):
    """The network with its output (mapping, sequence or object) as a plain tuple of tensors, which is all that a trace may return."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.network(*inputs)))


def _attention(inputs: list[Any], _outputs: list[Any]) -> int:
    """A handle for fused attention, which fvcore would leave out of its total: L_q * L_k * (d_qk + d_v) per head."""
    query, key, value = (list(node.type().sizes()) for node in inputs[:3])
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
