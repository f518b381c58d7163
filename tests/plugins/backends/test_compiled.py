"""torch.compile: many sizes in one process are each compiled."""

from __future__ import annotations

import pytest
from torch import nn

from segbench_plugins.backends import CompileOptions
from segbench_plugins.backends.compiled import build


@pytest.mark.slow
def test_no_size_is_run_uncompiled() -> None:
    """Past eight sizes of one network dynamo would give up and run it as it is, unless its limit is raised."""
    import torch._dynamo

    torch._dynamo.reset()
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Hardswish())
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    forms = []
    for side in range(8, 18):
        image = torch.randn(1, 1, side, side)
        form = build(network, (image,), CompileOptions())
        with torch.inference_mode():
            torch.testing.assert_close(form(image), network(image))
        forms.append((form, image))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 10
    for form, image in forms:  # those of before are still there
        form(image)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 10
