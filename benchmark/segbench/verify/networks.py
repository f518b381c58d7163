"""Networks of torchvision and timm without weights: on ``meta`` for their shapes, or with zeros where a pass must really run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from segbench.verify.published import Published


def shapes_only(entry: Published) -> nn.Module:
    """The network on the ``meta`` device, which needs no memory, no time and no download."""
    with torch.device("meta"):
        network = _timm(entry.name) if entry.library == "timm" else _torchvision(entry)
    if not isinstance(network, nn.Module):
        raise TypeError(f"{entry.library} made {type(network).__name__} of '{entry.name}'")
    return network.eval()


def with_zeros(entry: Published) -> nn.Module:
    """The network on the CPU, every number in it zero: drawing weights would take longer than the pass."""
    network = shapes_only(entry).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()
    return network


def _torchvision(entry: Published) -> Any:
    import torchvision

    options: dict[str, Any] = {"weights": None}
    if entry.segments:
        options |= {"weights_backbone": None, "num_classes": 21}
        if not entry.name.startswith("lraspp"):
            options["aux_loss"] = True
    return torchvision.models.get_model(entry.name, **options)


def _timm(name: str) -> Any:
    import timm

    return timm.create_model(name, pretrained=False)
