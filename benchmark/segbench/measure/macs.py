"""Multiply-adds of convolutions, linear layers and matrix products: a count that does not depend on how a network is written.

It is half of what ``torch.utils.flop_counter`` counts, and equals the ``_ops`` that torchvision publishes with its weights
(in units of 10**9; those include auxiliary heads). Attention counts L_q * L_k * (d_qk + d_v) per head, whichever kernel runs.

A complex product counts four real ones (torch computes complex convolutions from three real ones, and those are counted). A Fourier
transform of N values counts N/2 * log2(N) complex products (Cooley and Tukey 1965), one of real values half of that. ``nn.Bilinear`` counts
its widths in, in and out multiplied. A product by broadcasting that is summed right away counts as the matrix product that it is.

What cannot be counted is named, and then no total is given, only a lower bound: see :class:`MacCount`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import flop_counter

from segbench.errors import SegbenchError
from segbench.measure.mac_watch import MacWatch, Watched
from segbench.measure.meta_device import evaluating, meta_inputs, meta_twin, tensors_of
from segbench.util.sequences import first_line, some_of

Shape = Sequence[int]


@dataclass(frozen=True)
class MacCount:
    """Multiply-adds of one forward pass.

    counted           what was counted: all of it where ``not_counted`` is empty, else a lower bound
    not_counted       reasons why there is more, each a clause for readers
    per_module        what each module computes by itself, without its children, by dotted name ("" is the network); None where part of that
                      is not counted; empty where it is not known whose part is missing
    weights_elsewhere numbers that products take as weights although they are no parameters: in buffers and plain tensors
    """

    counted: int
    not_counted: tuple[str, ...] = ()
    per_module: Mapping[str, int | None] = field(default_factory=dict)
    weights_elsewhere: int = 0

    @property
    def total(self) -> int | None:
        """All multiply-adds; None where some could not be counted."""
        return None if self.not_counted else self.counted


def count_macs(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiply-adds of one forward pass of ``network(*inputs)`` in eval mode.

    Raises :class:`SegbenchError` where some cannot be counted.

    >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), (torch.zeros(1, 3, 10, 10),))
    21600
    """
    done = trace_macs(network, inputs)
    if done.total is None:
        raise SegbenchError(f"at least {done.counted} multiply-adds; not counted: {'; '.join(done.not_counted)}")
    return done.total


def trace_macs(network: nn.Module, inputs: tuple[Tensor, ...]) -> MacCount:
    """What can be counted of one forward pass of ``network(*inputs)`` in eval mode, and what cannot.

    Shapes are all that matters, so a copy without weights runs on the ``meta`` device, which costs milliseconds; a network that
    cannot (values decide its path, or it holds tensors that are neither parameter nor buffer) is run as it is.
    """
    try:
        watched = _watch(meta_twin(network), meta_inputs(inputs))
    except Exception:  # foreign code on an unusual device may raise anything; if the fault is real, the next line raises it again
        try:
            watched = _watch(network, inputs)
        except Exception as error:
            with evaluating(network):
                network(*inputs)  # raises where the fault is the network's own
            return MacCount(0, (f"the pass fails where it is watched ({type(error).__name__}: {first_line(error)})",))
    hidden = _hidden_weights(network, inputs, watched)
    reasons = list(watched.reasons)
    if hidden:
        reasons.append(
            f"{some_of(hidden)} {'acts' if len(hidden) == 1 else 'act'} on the output in operations that torch does not show "
            "(another thread or another library)"
        )
    unknown = watched.modules_not_counted | {name.rpartition(".")[0] for name in hidden}
    per_module = {name: None if name in unknown else macs for name, macs in {**dict.fromkeys(unknown, 0), **watched.per_module}.items()}
    return MacCount(sum(watched.per_module.values()), tuple(reasons), {} if watched.unseen else per_module, watched.weights_elsewhere)


def _watch(network: nn.Module, inputs: tuple[Tensor, ...]) -> Watched:
    """One watched pass. A second one tells tensors that the network holds from those that something unseen made anew."""
    formulas = {**flop_counter.flop_registry, **missing_formulas(wrapped=True)}
    with evaluating(network):
        first = MacWatch(network, inputs, formulas)
        first.run()
        if not first.strangers:
            return first.result()
        second = MacWatch(network, inputs, formulas, held=first.strangers)
        second.run()
    return second.result()


def _hidden_weights(network: nn.Module, inputs: tuple[Tensor, ...], watched: Watched) -> list[str]:
    """Those of the weights that met no input in a watched operation which act on the output all the same."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    idle = {name: state[name] for name in watched.idle_weights if name in state}
    if not idle:
        return []
    if any(tensor.is_meta for tensor in (*state.values(), *inputs)):
        return sorted(name for name in idle if name.rpartition(".")[0] in watched.modules_run)  # nothing can be tried without values
    return sorted(idle) if _acts(network, inputs, list(idle.values())) else []


@torch.no_grad()
def _acts(network: nn.Module, inputs: tuple[Tensor, ...], weights: list[Tensor]) -> bool:
    """True where other values of these weights give another output."""
    saved = [weight.clone() for weight in weights]
    with evaluating(network), torch.random.fork_rng(devices=[]):
        try:
            before = _outputs(network, inputs)
            for weight in weights:
                weight.add_(torch.randn_like(weight))
            after = _outputs(network, inputs)
        finally:
            for weight, old in zip(weights, saved, strict=True):
                weight.copy_(old)
    return not all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in zip(before, after, strict=True))


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [tensor.clone() for tensor in tensors_of(network(*(x.clone() for x in inputs)))]


def missing_formulas(*, wrapped: bool = False) -> dict[Any, Callable[..., int]]:
    """Formulas for matrix products, convolutions and attention kernels that this version of torch does not count.

    They take shapes in the place of tensors; ``wrapped``: they take tensors.
    """
    candidates = {("aten", name): formula for name, formula in _ATEN.items()}
    candidates["torchvision", "deform_conv2d"] = _deform_conv2d
    formulas = {}
    for (namespace, name), formula in candidates.items():
        op = getattr(getattr(torch.ops, namespace), name, None)
        if op is not None and op not in flop_counter.flop_registry:
            formulas[op] = flop_counter.shape_wrapper(formula) if wrapped else formula  # type: ignore[no-untyped-call, unused-ignore]
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


def _trilinear(
    one: Shape, two: Shape, three: Shape, expand1: Sequence[int], expand2: Sequence[int], expand3: Sequence[int], *_: Any, **__: Any
) -> int:
    """One product for each element of the three tensors, multiplied element by element."""
    shapes: list[list[int]] = []
    for shape, places in ((one, expand1), (two, expand2), (three, expand3)):
        sizes = list(shape)
        for place in sorted(places):
            sizes.insert(place, 1)
        shapes.append(sizes)
    return 2 * int(prod(max(sizes) for sizes in zip(*shapes, strict=True)))


def _rnn_layer(inputs: Shape, weight_inputs: Shape, weight_hidden: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(inputs[:-1]) * (prod(weight_inputs) + prod(weight_hidden))


def _complex_transform(shape: Shape, places: Sequence[int], *_: Any, **__: Any) -> int:
    points = prod(shape[place] for place in places)
    return 2 * int(4 * prod(shape) / 2 * log2(max(points, 1)))


def _real_transform(shape: Shape, places: Sequence[int], *_: Any, **__: Any) -> int:
    return _complex_transform(shape, places) // 2


def _real_inverse(shape: Shape, places: Sequence[int], *_: Any, out_shape: Shape, **__: Any) -> int:
    return _complex_transform(out_shape, places) // 2


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
    "_trilinear": _trilinear,
    "mkldnn_rnn_layer": _rnn_layer,
    "_fft_c2c": _complex_transform,
    "_fft_r2c": _real_transform,
    "_fft_c2r": _real_inverse,
}
