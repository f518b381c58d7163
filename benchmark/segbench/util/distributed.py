"""Collectives of a process group: several processes that train or evaluate together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class ProcessRank:
    """The rank and device of one process among those that train or evaluate together."""

    rank: int
    world_size: int
    device: str

    @property
    def first(self) -> bool:
        return self.rank == 0


def total(tensor: Tensor, process: ProcessRank) -> Tensor:
    """The sum of a tensor over all processes, on the tensor's own device."""
    if process.world_size == 1:
        return tensor
    shared = tensor.to(process.device, copy=True)
    distributed.all_reduce(shared)
    return shared.to(tensor.device)


def gathered(values: dict[KeyT, ValueT], process: ProcessRank) -> dict[KeyT, ValueT]:
    """The union of every process's mapping."""
    if process.world_size == 1:
        return values
    parts: list[Any] = [None] * process.world_size
    distributed.all_gather_object(parts, values)
    return {key: value for part in parts for key, value in part.items()}


def average_gradients(parameters: Sequence[nn.Parameter], process: ProcessRank) -> None:
    """Give all processes the mean gradient of each parameter, in one message.

    Not by DistributedDataParallel: its hooks would need to know which outputs a loss looks at, and when a group of batches ends.
    A parameter that no process has a gradient for keeps none.
    """
    if process.world_size == 1:
        return
    has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=process.device)
    flat = torch.cat([has, *(torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters)])
    distributed.all_reduce(flat)
    any_gradient, *means = torch.split(flat, [len(parameters), *(p.numel() for p in parameters)])
    for parameter, has_gradient, mean in zip(parameters, any_gradient.tolist(), means, strict=True):
        if has_gradient:
            parameter.grad = (mean / process.world_size).view_as(parameter)


def share_state(module: nn.Module, process: ProcessRank) -> None:
    """Give all processes the first one's parameters and buffers."""
    if process.world_size > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, src=0)


def average_buffers(module: nn.Module, process: ProcessRank) -> None:
    """Give all processes the mean of their running statistics, so that each image of the epoch counts."""
    if process.world_size > 1:
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.copy_(total(buffer, process) / process.world_size)


def barrier(process: ProcessRank) -> None:
    """Wait until every process has reached this point."""
    if process.world_size > 1:
        total(torch.zeros(1), process)
