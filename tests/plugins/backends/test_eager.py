"""The eager backend: the network itself, in eval mode and without autograd."""

from __future__ import annotations

import torch
from torch import nn

from segbench import NoOptions
from segbench_plugins.backends import segbench_backends
from segbench_plugins.backends.eager import build


def test_eager_is_the_only_backend_and_names_its_builder() -> None:
    (spec,) = segbench_backends()
    assert (spec.name, spec.build, spec.precisions) == ("eager", "segbench_plugins.backends.eager:build", ("fp32",))


def test_eager_runs_in_eval_mode_without_autograd() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5))
    image = torch.randn(2, 2, 4, 4)
    expected = network.eval()(image)
    call = build(network.train(), (image,), NoOptions())
    first, second = call(image), call(image)
    assert not network.training
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected)
    assert first.is_inference()
