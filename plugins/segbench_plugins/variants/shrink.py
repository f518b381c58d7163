"""A network reduced to the shapes of given weights, so that a pruned checkpoint is loaded without pruning again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def shrink_to(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Give every parameter and buffer of ``model`` the shape that it has in ``state``, and every layer the counts that follow from it.

    Values are not copied. Names that ``state`` lacks are left alone: loading it will name them.

    >>> pruned = shrink_to(nn.Sequential(nn.Conv2d(3, 8, 1)), {"0.weight": torch.zeros(5, 3, 1, 1), "0.bias": torch.zeros(5)})
    >>> pruned[0]
    Conv2d(3, 5, kernel_size=(1, 1), stride=(1, 1))
    """
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        changed = _resize(module, {name: state[prefix + name] for name in _tensor_names(module) if prefix + name in state})
        if changed:
            _update_counts(module)
    return model


def _tensor_names(module: nn.Module) -> list[str]:
    return [*dict(module.named_parameters(recurse=False)), *dict(module.named_buffers(recurse=False))]


def _resize(module: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    changed = False
    for name, tensor in tensors.items():
        own = getattr(module, name)
        if own.shape == tensor.shape:
            continue
        empty = torch.zeros(tensor.shape, dtype=own.dtype, device=own.device)
        if isinstance(own, nn.Parameter):
            setattr(module, name, nn.Parameter(empty, requires_grad=own.requires_grad))
        else:
            setattr(module, name, empty)
        changed = True
    return changed


def _update_counts(module: nn.Module) -> None:
    """Update the attributes in which a layer stores its shape."""
    if isinstance(module, nn.ConvTranspose2d):
        module.in_channels, module.out_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Conv2d):
        if module.groups > 1 and module.weight.shape[1] == 1:  # one input channel per group: groups went with the channels
            module.groups = module.weight.shape[0] * module.groups // module.out_channels
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = module.weight.shape[0]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = module.weight.shape[0]
    elif isinstance(module, _BatchNorm) and module.running_mean is not None:
        module.num_features = module.running_mean.shape[0]
