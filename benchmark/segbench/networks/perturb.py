"""Random weights for networks that have not been trained, so that no fault is hidden by a weight that starts at 0 or 1."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def perturb(module: ModuleT, *, seed: int = 0) -> ModuleT:
    """Move every parameter and running statistic of ``module`` away from its fresh value, in place; the same each time.

    Fresh networks hide faults: a residual branch scaled by 0 (attention's gamma) never shows, and a normalisation with mean 0 and
    variance 1 can be left out unseen. Matrices and kernels get a tenth of their own deviation; vectors and scalars, which are scales
    and offsets, up to 0.2 more or less, and 0.5 more where they are all 0.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return torch.rand(tensor.shape, generator=generator).mul(2).sub(1).to(tensor.device, tensor.dtype)

    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.add_(noise(parameter) * (0.1 * parameter.std(correction=0) + 1e-3))
            else:
                parameter.add_(0.2 * noise(parameter) + (0.5 if parameter.numel() == 1 and not parameter.any() else 0.0))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.2 * noise(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(1 + 0.3 * noise(buffer))
    return module
