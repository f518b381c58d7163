"""Networks whose multiply-adds a dispatch mode does not show, or torch has no formula for: counted right, or named; never silently less."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import log2

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.errors import SegbenchError
from segbench.measure.counts import profile_network
from segbench.measure.macs import count_macs, trace_macs
from segbench.measure.params import count_params

IMAGE = (torch.rand(1, 3, 8, 8),)
PIXELS = 64


class Branches(nn.Module):
    """Two convolutions and a head on both; subclasses say in which way the two run."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def branches(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(torch.cat(self.branches(x), 1)))


class ModulesInThreads(Branches):
    def branches(self, x: Tensor) -> list[Tensor]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda module: module(x), [self.a, self.b]))


class FunctionsInThreads(Branches):
    def branches(self, x: Tensor) -> list[Tensor]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda module: F.conv2d(x, module.weight, module.bias, padding=1), [self.a, self.b]))


class ProductsInThreads(Branches):
    """Only products of activations are out of sight, and the output is linked to the input past them."""

    def branches(self, x: Tensor) -> list[Tensor]:
        a, b = self.a(x), self.b(x)
        with ThreadPoolExecutor(1) as pool:
            mixed = pool.submit(lambda: a.flatten(2).transpose(1, 2) @ b.flatten(2)).result()
        return [a, b + mixed.mean((1, 2)).reshape(-1, 1, 1, 1)]


class AnotherLibrary(Branches):
    def branches(self, x: Tensor) -> list[Tensor]:
        weight = self.b.weight.detach().numpy().mean((2, 3))
        return [self.a(x), torch.from_numpy(np.einsum("oc,nchw->nohw", weight, x.numpy()))]


BRANCHES = 2 * PIXELS * 4 * 27
HEAD = PIXELS * 16


def test_modules_in_threads_are_counted() -> None:
    done = trace_macs(ModulesInThreads(), IMAGE)
    assert (done.total, done.per_module) == (BRANCHES + HEAD, {"a": BRANCHES // 2, "b": BRANCHES // 2, "head": HEAD})


@pytest.mark.parametrize(
    ("network", "counted"), [(FunctionsInThreads, HEAD), (ProductsInThreads, BRANCHES + HEAD), (AnotherLibrary, BRANCHES // 2 + HEAD)]
)
def test_what_runs_out_of_sight_leaves_a_lower_bound(network: type[Branches], counted: int) -> None:
    done = trace_macs(network(), IMAGE)
    assert (done.total, done.counted, done.per_module) == (None, counted, {})
    assert "torch does not show" in done.not_counted[0]
    with pytest.raises(SegbenchError, match=f"at least {counted} multiply-adds; not counted: part of the pass"):
        count_macs(network(), IMAGE)


def test_a_weight_that_acts_out_of_sight_is_named_and_left_as_it_was() -> None:
    network = FunctionsInThreads()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done = trace_macs(network, IMAGE)
    assert done.not_counted[1].startswith("a.bias, a.weight, b.bias and 1 more act on the output in operations that torch does not show")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_weight_without_effect_and_a_module_that_is_not_called_raise_no_alarm() -> None:
    class Spare(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(3, 2, 1)
            self.token = nn.Parameter(torch.rand(9))
            self.auxiliary = nn.Conv2d(3, 2, 1)
            self.table = torch.rand(8)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.table)

    done = trace_macs(Spare(), IMAGE)
    assert (done.total, done.weights_elsewhere) == (PIXELS * 6, 0)


@torch.library.custom_op("segbench_test::convolve", mutates_args=())
def convolve(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight)


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 3, 1, 1))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(convolve(x, self.weight)))


def test_an_operator_without_formula_is_named() -> None:
    profile = profile_network(Custom(), IMAGE, parts={}, fvcore=False)
    assert (profile.macs, profile.flops, profile.macs_at_least) == (None, None, PIXELS * 8)
    assert profile.macs_not_counted == ["operator segbench_test::convolve (1 call) has no formula"]
    assert trace_macs(Custom(), IMAGE).per_module == {"": None, "head": PIXELS * 8}


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.rand(*shape, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


def _filter(x: Tensor, weight: Tensor) -> Tensor:
    return torch.as_tensor(torch.fft.irfft2(torch.einsum("bchw,cd->bdhw", torch.fft.rfft2(x), weight), s=x.shape[-2:]))


FILTERED = 2 * 3 * PIXELS * int(log2(PIXELS)) + 4 * 8 * 5 * 9
"""Two real transforms of three channels, and complex products of three channels with three at 8 x 5 frequencies."""


@pytest.mark.parametrize(
    ("network", "macs"),
    [
        (Function(lambda x, w: F.bilinear(x.flatten(2).mT, x.flatten(2).mT, w), 5, 3, 3), PIXELS * 45),
        (Function(_filter, 3, 3, dtype=torch.complex64), FILTERED),
        (Function(lambda x, w: torch.fft.fft2(x.to(w.dtype)), 1, dtype=torch.complex64), 3 * 2 * PIXELS * int(log2(PIXELS))),
        (Function(lambda x, w: (x.flatten(2).mT.unsqueeze(-2) * w).sum(-1), 5, 3), PIXELS * 15),
        (Function(lambda x, w: (x.mean((2, 3), keepdim=True) * x[:, :1] * w).relu(), 1), 0),
    ],
    ids=["bilinear", "complex", "fft", "broadcast and sum", "an outer product that nothing sums"],
)
@pytest.mark.parametrize("dry", [True, False])
def test_products_that_torch_has_no_formula_for(network: nn.Module, macs: int, dry: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not dry:
        monkeypatch.setattr("segbench.measure.macs.meta_twin", _refuse)
    assert count_macs(network, IMAGE) == macs


def test_recurrent_layers_count_the_same_in_torch_s_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
    tokens = (torch.rand(2, 6, 3),)
    by_hand = 2 * 2 * 6 * 4 * 4 * (3 + 4)
    assert count_macs(network, tokens) == by_hand
    monkeypatch.setattr("segbench.measure.macs.meta_twin", _refuse)
    assert count_macs(network, tokens) == by_hand


def test_complex_parameters_are_two_numbers_each() -> None:
    count = count_params(Function(_filter, 3, 3, dtype=torch.complex64), parts={})
    assert (count.total, count.size_mb * 2**20) == (18, 72)


@pytest.mark.parametrize("buffer", [True, False])
def test_weights_in_buffers_and_plain_tensors_have_a_size(buffer: bool) -> None:
    class Stored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            weight = torch.rand(4, 3, 1, 1)
            if buffer:
                self.register_buffer("weight", weight)
            else:
                self.weight = weight

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(self.norm(x), self.weight)

    profile = profile_network(Stored(), IMAGE, parts={}, fvcore=False)
    assert (profile.params, profile.params_in_buffers, profile.macs) == (6, 12, PIXELS * 12)
    assert (profile.size_mb * 2**20, profile.buffers_mb * 2**20) == (4 * 18, 4 * (6 + 12 * buffer) + 8)


def test_spectral_normalisation_keeps_no_weights_in_buffers() -> None:
    network = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 1))
    assert trace_macs(network, IMAGE).weights_elsewhere == 0


def test_tensors_beside_the_pass_raise_no_alarm() -> None:
    """The guard around a plugin's network reads the states of random generators, which torch shows in part."""

    class Reads(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            torch.get_rng_state().numpy()
            return super().forward(x)

    assert trace_macs(Reads(3, 2, 1), IMAGE).total == PIXELS * 6


def test_a_pass_that_cannot_be_watched_has_no_count() -> None:
    class Refuses(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            if torch.utils._python_dispatch._get_current_dispatch_mode_stack():
                raise RuntimeError("no modes here")
            return super().forward(x)

    done = trace_macs(Refuses(3, 2, 1), IMAGE)
    assert (done.total, done.not_counted) == (None, ("the pass fails where it is watched (RuntimeError: no modes here)",))


def _refuse(network: nn.Module) -> nn.Module:
    raise RuntimeError("no dry run in this test")
