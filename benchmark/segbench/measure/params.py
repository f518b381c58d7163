"""Parameters of a network: in total, trainable, per part, and as megabytes of float32; and the megabytes of its buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from segbench.util.files import MB

BYTES_PER_FLOAT32 = 4
OTHER = "other"


@dataclass(frozen=True)
class ParamCount:
    """Parameters of a network; shared ones count once, and complex ones as two numbers each.

    ``size_mb`` is ``total`` as float32, ``buffers_mb`` the buffers (running statistics, tables) as they are stored; both in units of
    2**20 bytes.
    """

    total: int
    trainable: int
    per_part: Mapping[str, int]
    size_mb: float
    buffers_mb: float = 0.0


def count_params(network: nn.Module, *, parts: Mapping[str, tuple[str, ...]]) -> ParamCount:
    """Count the parameters of ``network``; buffers (such as BatchNorm's running statistics) are none.

    ``parts`` maps a part's name to prefixes of module names (``{"encoder": ("backbone",)}``); where several fit, the longest wins.
    What no prefix covers is counted under ``other``.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1))
    >>> count_params(net, parts={"encoder": ("0",)}).per_part
    {'encoder': 224, 'other': 18}
    """
    per_part = dict.fromkeys(parts, 0)
    total = trainable = 0
    for name, parameter in network.named_parameters():
        count = parameter.numel() * (2 if parameter.is_complex() else 1)
        total += count
        trainable += count if parameter.requires_grad else 0
        part = part_of(name, parts)
        per_part[part] = per_part.get(part, 0) + count
    stored = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    return ParamCount(total=total, trainable=trainable, per_part=per_part, size_mb=float32_mb(total), buffers_mb=stored / MB)


def float32_mb(numbers: int) -> float:
    """Megabytes (2**20 bytes) that so many float32 numbers take.

    >>> round(float32_mb(6_831_509), 2)
    26.06
    """
    return numbers * BYTES_PER_FLOAT32 / MB


def part_of(parameter: str, parts: Mapping[str, tuple[str, ...]]) -> str:
    """The part whose prefix fits the name of a parameter or module best, else ``other``."""
    best, length = OTHER, -1
    for part, prefixes in parts.items():
        for prefix in prefixes:
            if (parameter + ".").startswith(prefix.rstrip(".") + ".") and len(prefix) > length:
                best, length = part, len(prefix)
    return best
