"""The eager backend: the network itself, in eval mode and without autograd."""

from __future__ import annotations

import torch
from torch import nn

from segbench_plugins.backends import TorchOptions
from segbench_plugins.backends.eager import build


def test_eager_runs_in_eval_mode_without_autograd() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5))
    image = torch.randn(2, 2, 4, 4)
    expected = network.eval()(image)
    call = build(network.train(), (image,), TorchOptions())
    first, second = call(image), call(image)
    assert not network.training
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected)
    assert first.is_inference()
