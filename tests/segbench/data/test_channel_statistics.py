from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segbench.data.channel_statistics import ChannelStatistics, compute_normalisation
from segbench.errors import DataError
from segbench.plugin.specs import Sample, Task

TASK = Task(class_names=("a", "b"), inputs={"sar": 2, "optical": 1}, rgb=())


def _sample(sar: Tensor, optical: Tensor | None = None) -> Sample:
    size = (sar.shape[-2], sar.shape[-1])
    return Sample({"sar": sar, "optical": torch.zeros(1, *size) if optical is None else optical}, torch.zeros(size).long(), "x")


def _random(count: int, *sizes: tuple[int, int]) -> list[Sample]:
    generator = torch.Generator().manual_seed(0)
    return [_sample(torch.randn(2, *sizes[i % len(sizes)], generator=generator) * 3 - 10) for i in range(count)]


def test_mean_and_deviation_are_those_of_all_pixels() -> None:
    samples = _random(7, (5, 6), (3, 9), (1, 1))
    norm = compute_normalisation(samples, TASK, ["sar"])["sar"]
    pixels = torch.cat([s.inputs["sar"].flatten(1) for s in samples], dim=1).double()
    torch.testing.assert_close(torch.tensor(norm.mean), pixels.mean(1).float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.tensor(norm.std), pixels.std(1, correction=0).float(), rtol=1e-6, atol=1e-6)
    assert norm.scale == 1.0


def test_values_that_are_not_numbers_do_not_count() -> None:
    sar = torch.tensor([1.0, 3.0, float("nan"), float("inf")]).view(1, 2, 2).repeat(2, 1, 1)
    empty = torch.full((2, 2, 2), float("nan"))
    norm = compute_normalisation([_sample(sar), _sample(empty)], TASK, ["sar"])["sar"]
    assert norm.mean == (2.0, 2.0)
    assert norm.std == (1.0, 1.0)


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.uint8])
def test_integers_neither_overflow_nor_round(dtype: torch.dtype) -> None:
    optical = torch.tensor([0, 200, 200, 200]).view(1, 2, 2).to(dtype)
    norm = compute_normalisation([_sample(torch.zeros(2, 2, 2), optical)], TASK, ["optical"])["optical"]
    assert norm.mean == (150.0,)
    assert norm.std == pytest.approx((86.60254037844386,))


def test_a_large_mean_costs_no_digits() -> None:
    running = ChannelStatistics(1)
    for values in ([1e6, 1e6 + 1], [1e6 + 2, 1e6 + 3]):
        running.add(torch.tensor(values, dtype=torch.float64).view(1, 1, 2))
    assert running.mean.item() == 1e6 + 1.5
    assert running.deviation.item() == pytest.approx(1.25**0.5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_a_constant_channel_is_only_shifted(value: float) -> None:
    norm = compute_normalisation([_sample(torch.full((2, 3, 3), value))], TASK, ["sar"])["sar"]
    assert norm.mean == pytest.approx((value, value))
    assert norm.std == (1.0, 1.0)


def test_small_deviations_are_kept() -> None:
    norm = compute_normalisation([_sample(torch.tensor([0.001, 0.002]).view(1, 1, 2).repeat(2, 1, 1))], TASK, ["sar"])["sar"]
    assert norm.std == pytest.approx((0.0005, 0.0005), rel=1e-4)


def test_at_most_the_limit_is_read_at_even_distances() -> None:
    read: list[int] = []

    class Watched(list[Sample]):
        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            read.append(index)
            return super().__getitem__(index)

    samples = Watched(_random(20, (2, 2)))
    compute_normalisation(samples, TASK, ["sar"], limit=4)
    assert read == [0, 5, 10, 15]


def test_nothing_asked_nothing_read() -> None:
    assert compute_normalisation([], TASK, []) == {}


def test_no_values_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="empty training split"):
        compute_normalisation([], TASK, ["sar"])
    sar = torch.stack([torch.zeros(2, 2), torch.full((2, 2), float("nan"))])
    with pytest.raises(DataError, match="input 'sar': channel 1 has no finite value in 1 training sample"):
        compute_normalisation([_sample(sar)], TASK, ["sar"])
