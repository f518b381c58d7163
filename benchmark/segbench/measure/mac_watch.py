"""The operations of one forward pass as torch's dispatcher shows them: what they cost, what they read, and what they do not show."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segbench.measure.meta_device import tensors_of

_PRODUCT = re.compile(r"(^|_)(\w*mm|mv|dot|conv|convolution\w*|conv\d\w*|linear|rnn|lstm|gru|cdist|linalg|attention|solve|fft)($|_)")
_NO_PRODUCT = re.compile(r"upsample_.*|.*linalg_(vector_)?norm|linalg_cross|fft_\w*freq|.*flatten_weight")
_PRODUCT_FREE = {
    "torchvision::nms",
    "torchvision::roi_align",
    "torchvision::roi_pool",
    "torchvision::ps_roi_align",
    "torchvision::ps_roi_pool",
}
_TORCHS_OWN = ("aten", "prims", "prim", "profiler")
_SUMS = ("sum", "mean")


@dataclass(frozen=True)
class Watched:
    """What one pass showed.

    per_module           multiply-adds of each module without its children, by dotted name
    reasons              why there are more, each a clause
    modules_not_counted  names of the modules in whose own ``forward`` that happened
    modules_run          names of the modules that were called
    idle_weights         names of weights that met no input in any operation
    unseen               part of the pass ran where the dispatcher does not show it, in unknown modules
    weights_elsewhere    numbers in buffers and plain tensors that products took as weights
    """

    per_module: Mapping[str, int]
    reasons: tuple[str, ...]
    modules_not_counted: frozenset[str]
    modules_run: frozenset[str]
    idle_weights: tuple[str, ...]
    unseen: bool
    weights_elsewhere: int


@dataclass
class _Origin:
    """Where a storage's values come from: the pass's input, weights by name, or ``strangers``, which nothing seen has made.

    ``products``: elements of an outer product that has not been summed.
    """

    from_input: bool = False
    weights: frozenset[str] = frozenset()
    strangers: tuple[StorageWeakRef, ...] = ()
    products: int = 0


@dataclass
class _Tallies:
    macs: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    uncounted_in: set[str] = field(default_factory=set)
    run: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)
    elsewhere: dict[str | int, int] = field(default_factory=dict)


class MacWatch:
    """One pass of ``network(*inputs)``, operation by operation; ``formulas`` give twice the multiply-adds of an operation.

    A dispatch mode sees one thread only. Modules that are called in another one are watched there too, by hooks. ``strangers`` are storages
    that nothing seen has made and that met the input, a weight or a product, or are output; those among ``held`` were there before.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: tuple[Tensor, ...],
        formulas: Mapping[Any, Callable[..., int]],
        *,
        held: Sequence[StorageWeakRef] = (),
    ) -> None:
        self.network, self.inputs, self.formulas = network, inputs, formulas
        self.strangers: list[StorageWeakRef] = []
        self._held = {reference.cdata for reference in held}
        self._tallies = _Tallies()
        self._origins: dict[int, _Origin] = {}
        self._references: list[StorageWeakRef] = []  # an address is not given out again while one lives
        self._lock = threading.RLock()
        self._threads = threading.local()
        self._state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        self._buffers = {name for name, _ in network.named_buffers()}
        for name, tensor in self._state.items():
            self._register(tensor, _Origin(weights=frozenset([name])))
        for tensor in inputs:
            self._register(tensor, _Origin(from_input=True))

    def run(self) -> None:
        """Make the pass."""
        with ExitStack() as stack:
            for name, module in self.network.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # takes no hooks
                stack.callback(module.register_forward_pre_hook(self._enter(name)).remove)
                stack.callback(module.register_forward_hook(self._leave, always_call=True).remove)
            self._threads.owners = []
            with _Mode(self):
                output = self.network(*self.inputs)
            with self._lock:
                for tensor in tensors_of(output):
                    self.strangers += self._origin(tensor).strangers

    def result(self) -> Watched:
        """What the pass showed."""
        tallies = self._tallies
        reasons = [
            f"operator {name} ({times} {'call' if times == 1 else 'calls'}) has no formula" for name, times in tallies.uncounted.items()
        ]
        unseen = any(stranger.cdata not in self._held for stranger in self.strangers)
        if unseen:
            reasons.append("part of the pass runs where torch does not show it (another thread or another library)")
        numbers = (name for name, tensor in self._state.items() if tensor.is_floating_point() or tensor.is_complex())
        return Watched(
            per_module=dict(tallies.macs),
            reasons=tuple(reasons),
            modules_not_counted=frozenset(tallies.uncounted_in),
            modules_run=frozenset(tallies.run),
            idle_weights=tuple(name for name in numbers if name not in tallies.met),
            unseen=unseen,
            weights_elsewhere=sum(tallies.elsewhere.values()),
        )

    def record(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Note what one operation costs and where its output comes from."""
        packet = getattr(func, "_overloadpacket", func)
        with self._lock:
            taken = [tensor for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
            origins = [self._origin(tensor) for tensor in taken]
            formula = self.formulas.get(packet)
            if formula is not None:
                macs = formula(*args, **kwargs, out_val=out) // 2
                is_transform = "_fft_" in str(packet)
                self._add(macs * (4 if not is_transform and any(tensor.is_complex() for tensor in taken) else 1))
            elif hides_products(packet):
                self._tallies.uncounted[_name(packet)] += 1
                self._tallies.uncounted_in.add(self._owner)
            from_input = any(origin.from_input for origin in origins)
            if from_input and formula is not None:
                self._note_weights(taken, origins, packet)
            if from_input or formula is not None:
                self._tallies.met.update(*(origin.weights for origin in origins))
            made = _Origin(from_input, frozenset().union(*(origin.weights for origin in origins)))
            strangers = tuple(stranger for origin in origins for stranger in origin.strangers)
            if from_input or made.weights or formula is not None:
                self.strangers += strangers
            else:
                made.strangers = strangers
            self._trace_outputs(func, args, out, made)
            self._count_outer_products(_name(packet), taken, origins, out, from_input)

    def _trace_outputs(self, func: Any, args: Sequence[Any], out: Any, made: _Origin) -> None:
        written = [tensor for tensor in tree_leaves(out) if isinstance(tensor, Tensor)]
        schema = getattr(func, "_schema", None)
        if schema is not None and schema.is_mutable:
            pairs = zip(args, schema.arguments, strict=False)
            written += [x for x, a in pairs if isinstance(x, Tensor) and a.alias_info is not None and a.alias_info.is_write]
        for tensor in written:
            origin = self._known(tensor)
            weights = frozenset[str]() if made.from_input else made.weights
            if origin is None:
                self._register(tensor, _Origin(made.from_input, weights, made.strangers))
            else:
                origin.from_input |= made.from_input
                origin.weights |= weights

    def _count_outer_products(self, name: str, taken: Sequence[Tensor], origins: Sequence[_Origin], out: Any, from_input: bool) -> None:
        """A product that broadcasts both sides and is summed right away is a matrix product."""
        if name == "aten::mul" and from_input and isinstance(out, Tensor) and len(taken) == 2:
            if out.numel() > max(tensor.numel() for tensor in taken) and (origin := self._known(out)) is not None:
                origin.products = out.numel()
        elif name.removeprefix("aten::") in _SUMS and origins and origins[0].products:
            self._add(origins[0].products)
            origins[0].products = 0

    def _note_weights(self, taken: Sequence[Tensor], origins: Sequence[_Origin], packet: Any) -> None:
        """Numbers that a product takes as weights from buffers, or from tensors that the network holds as plain attributes."""
        if "attention" in str(packet):
            return  # what is no projection there is a mask
        for tensor, origin in zip(taken, origins, strict=True):
            if origin.weights and origin.weights <= self._buffers:
                self._tallies.elsewhere |= {name: _numbers(self._state[name]) for name in origin.weights}
            elif (key := _storage(tensor)) is not None and key.cdata in self._held:
                self._tallies.elsewhere[key.cdata] = _numbers(tensor)

    def _origin(self, tensor: Tensor) -> _Origin:
        """The tensor's origin; where it has none yet, it was made unseen, or is held as a plain attribute."""
        known = self._known(tensor)
        if known is not None:
            return known
        reference = _storage(tensor)
        strange = () if tensor.numel() < 2 or reference is None else (reference,)
        return self._register(tensor, _Origin(strangers=strange))

    def _known(self, tensor: Tensor) -> _Origin | None:
        reference = _storage(tensor)
        return _Origin() if reference is None else self._origins.get(reference.cdata)

    def _register(self, tensor: Tensor, origin: _Origin) -> _Origin:
        reference = _storage(tensor)
        if reference is not None:
            self._references.append(reference)
            return self._origins.setdefault(reference.cdata, origin)
        return origin

    def _add(self, macs: int) -> None:
        self._tallies.macs[self._owner] += macs

    @property
    def _owner(self) -> str:
        owners = getattr(self._threads, "owners", [])
        return owners[-1] if owners else ""

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if not hasattr(self._threads, "owners"):  # a thread that is not watched yet
                self._threads.owners = []
                self._threads.mode = _Mode(self)
                self._threads.mode.__enter__()
            self._threads.owners.append(name)
            self._tallies.run.add(name)

        return hook

    def _leave(self, *_: Any) -> None:
        self._threads.owners.pop()
        if not self._threads.owners and hasattr(self._threads, "mode"):
            self._threads.mode.__exit__(None, None, None)
            del self._threads.mode, self._threads.owners


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Hands each operation of the thread in which it was entered to a watch."""

    supports_higher_order_operators = True

    def __init__(self, watch: MacWatch) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "_overloadpacket", func)
        if packet not in self.watch.formulas and hasattr(func, "decompose") and func is not torch.ops.prim.device.default:
            with self:
                parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
        out = func(*args, **kwargs)
        self.watch.record(func, args, kwargs, out)
        return out


def hides_products(operator: Any) -> bool:
    """True for an operator without formula that multiplies matrices, as far as its name says; true for all that are not torch's own.

    >>> hides_products(torch.ops.aten.mkldnn_linear), hides_products(torch.ops.aten.upsample_linear1d), hides_products(torch.ops.aten.relu)
    (True, False, False)
    """
    name = _name(operator)
    namespace, _, short = name.partition("::")
    if namespace not in _TORCHS_OWN:
        return name not in _PRODUCT_FREE
    return bool(_PRODUCT.search(short)) and not _NO_PRODUCT.fullmatch(short)


def _name(operator: Any) -> str:
    return getattr(operator, "_qualified_op_name", None) or str(operator).replace(".", "::")


def _storage(tensor: Tensor) -> StorageWeakRef | None:
    try:
        return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call, unused-ignore]
    except (NotImplementedError, RuntimeError):  # sparse and wrapped tensors have none
        return None


def _numbers(tensor: Tensor) -> int:
    return tensor.numel() * (2 if tensor.is_complex() else 1)
