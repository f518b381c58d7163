from __future__ import annotations

import pytest
import torch
from torch import nn

from segbench.measure.params import count_params, float32_mb


def test_shared_parameters_count_once_and_buffers_not_at_all() -> None:
    shared = nn.Linear(4, 4, bias=False)
    network = nn.Sequential(shared, nn.BatchNorm1d(4), shared)
    assert count_params(network, parts={}).total == 16 + 8


def test_frozen_parameters_are_counted_but_not_as_trainable() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    network[0].requires_grad_(False)
    count = count_params(network, parts={})
    assert (count.total, count.trainable) == (20 + 12, 12)


def test_the_longest_prefix_wins_and_prefixes_end_at_a_dot() -> None:
    network = nn.ModuleDict(
        {
            "net": nn.ModuleDict({"head": nn.Linear(2, 3), "body": nn.Linear(4, 5)}),
            "network": nn.Linear(1, 1),
        }
    )
    count = count_params(network, parts={"encoder": ("net",), "head": ("net.head",), "decoder": ("nothing",)})
    assert count.per_part == {"encoder": 25, "head": 9, "decoder": 0, "other": 2}
    assert sum(count.per_part.values()) == count.total


def test_size_is_float32_in_mebibytes_whatever_the_dtype() -> None:
    network = nn.Linear(1024, 256, bias=False)
    assert count_params(network, parts={}).size_mb == 1.0
    assert count_params(network.to(torch.bfloat16), parts={}).size_mb == 1.0


@pytest.mark.parametrize(("parameters", "published"), [(6_831_509, 26.06), (2_517_493, 9.60)])
def test_size_of_the_published_deeplab_pair(parameters: int, published: float) -> None:
    assert round(float32_mb(parameters), 2) == published
