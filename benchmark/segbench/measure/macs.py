"""Multiply-adds of convolutions, linear layers and matrix products: a count that does not depend on how a network is written.

It is half of what ``torch.utils.flop_counter`` counts, and equals the ``_ops`` that torchvision publishes with its weights
(in units of 10**9; those include auxiliary heads). Attention counts L_q * L_k * (d_qk + d_v) per head, whichever kernel runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import flop_counter

from segbench.measure.meta_device import evaluating, meta_inputs, meta_twin

Shape = Sequence[int]


def count_macs(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiply-adds of one forward pass of ``network(*inputs)`` in eval mode.

    Shapes are all that matters, so a copy without weights runs on the ``meta`` device, which costs milliseconds; a network that
    cannot (values decide its path, or it holds tensors that are neither parameter nor buffer) is run as it is.

    >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), (torch.zeros(1, 3, 10, 10),))
    21600
    """
    try:
        return _count(meta_twin(network), meta_inputs(inputs))
    except Exception:  # foreign code on an unusual device may raise anything; if the fault is real, the next line raises it again
        return _count(network, inputs)


def _count(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    counter = flop_counter.FlopCounterMode(display=False, custom_mapping=missing_formulas())
    with evaluating(network), counter:
        network(*inputs)
    return int(counter.get_total_flops()) // 2


def missing_formulas() -> dict[Any, Callable[..., int]]:
    """Formulas for matrix products, convolutions and attention kernels that this version of torch does not count."""
    candidates = {("aten", name): formula for name, formula in _ATEN.items()}
    candidates["torchvision", "deform_conv2d"] = _deform_conv2d
    formulas = {}
    for (namespace, name), formula in candidates.items():
        op = getattr(getattr(torch.ops, namespace), name, None)
        if op is not None and op not in flop_counter.flop_registry:
            formulas[op] = formula
    return formulas


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _mv(matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _addmv(base: Shape, matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _dot(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left)


def _addbmm(base: Shape, left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left) * right[-1]


def _deform_conv2d(image: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * prod(out_shape) * prod(weight[1:])


_ATEN: dict[str, Callable[..., int]] = {
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "mv": _mv,
    "addmv": _addmv,
    "dot": _dot,
    "vdot": _dot,
    "addbmm": _addbmm,
}
