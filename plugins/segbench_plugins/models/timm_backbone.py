"""timm backbones of every kind under one form: maps (N, C, H/s, W/s) at known strides, and the image sizes that they take.

What a backbone does is found by building it without values and running it at a few sizes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from segbench import ConfigError, first_line
from segbench_plugins.models.encoders import load_pretrained, require_known
from segbench_plugins.models.weights import load_encoder, match_encoder, read_state

LEVELS = 4
"""Maps that a head takes from a backbone whose maps all have one stride (a vision transformer)."""
_FINEST = 4
_DILATED = 16
_SIZE_ARGUMENTS: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
_FORMS: tuple[dict[str, Any], ...] = ({}, {"feature_cls": "getter"})


@dataclass(frozen=True)
class Backbone:
    """How to create a backbone, what it gives, and the sizes that it takes: multiples of a number, or one size only."""

    arguments: Mapping[str, Any]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    size_multiple: int = 1
    fixed_size: tuple[int, int] | None = None


@functools.cache
def find_backbone(name: str, head: str, in_channels: int = 3) -> Backbone:
    """The form of backbone ``name`` that a head takes; raises ConfigError where timm has none, with the reason."""
    require_known(name)
    reason = "it has no feature maps"
    fixed: Backbone | None = None
    for arguments in _candidates(head):
        try:
            found = _try(name, head, in_channels, arguments)
        except ConfigError as error:
            reason = str(error)
        except Exception as error:  # timm's models refuse an argument or a size in many ways
            reason = reason if "unexpected keyword" in str(error) else first_line(error)
        else:
            if found.fixed_size is None:
                return found
            fixed = fixed or found
    if fixed is None:
        raise ConfigError(
            f"encoder '{name}' cannot be used: {reason}. resnet18, convnext_atto and vit_small_patch16_224 are some that can."
        )
    return fixed


def create_backbone(name: str, found: Backbone, in_channels: int, *, pretrained: bool, weights: str | None) -> nn.Module:
    """The backbone: from a local file, with timm's weights, or random. Raises CheckpointError where its weights cannot be had."""
    create: Callable[..., nn.Module] = functools.partial(_create, name, in_channels, found.arguments)
    if weights is None:
        return load_pretrained(name, functools.partial(create, pretrained=True)) if pretrained else create()
    backbone: nn.Module = create()
    load_encoder(backbone, read_state(weights), name=name, source=weights, in_channels=in_channels)
    return backbone


def check_weights(path: str, name: str, head: str, in_channels: int) -> None:
    """Raise CheckpointError unless that file fits the backbone, which is built without values."""
    tensors = read_state(path)
    with torch.device("meta"):
        backbone = _create(name, in_channels, find_backbone(name, head, in_channels).arguments)
    match_encoder(backbone, tensors, name=name, source=path, in_channels=in_channels)


def _candidates(head: str) -> Iterator[dict[str, Any]]:
    """Arguments to try, the best first: dilated where the head wants it, any image size, timm's own form of feature extraction."""
    for stride in (_DILATED, None) if head == "deeplabv3plus" else (None,):
        for sizes in _SIZE_ARGUMENTS:
            for form in _FORMS:
                yield {**({"output_stride": stride} if stride else {}), **sizes, **form}


def _try(name: str, head: str, in_channels: int, arguments: dict[str, Any]) -> Backbone:
    with torch.device("meta"):
        indices = _indices(name, head, in_channels, arguments)
        arguments = {**arguments, "out_indices": indices}
        backbone = _create(name, in_channels, arguments).eval()
    info = backbone.feature_info
    found = Backbone(arguments, tuple(info.reduction()), tuple(info.channels()))
    for multiple in dict.fromkeys((1, max(found.strides), 32, 64)):
        if all(_covers(backbone, found, (multiple * rows, multiple * columns), in_channels) for rows, columns in _shapes(multiple)):
            return Backbone(arguments, found.strides, found.channels, size_multiple=multiple)
    height, width = backbone.pretrained_cfg["input_size"][1:]
    with torch.device("meta"):
        maps = backbone(torch.empty(1, in_channels, height, width))
    if not _exact(maps, found, (height, width)):
        raise ConfigError("its features do not cover the image evenly (unpadded convolutions, or not of the form (N, C, H, W))")
    return Backbone(arguments, found.strides, found.channels, fixed_size=(int(height), int(width)))


def _indices(name: str, head: str, in_channels: int, arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """Which of its features a head takes: the last of each stride from 4 on, or evenly spaced blocks of a transformer."""
    info = _create(name, in_channels, arguments).feature_info
    last = {stride: index for stride, index in zip(info.reduction(), info.out_indices, strict=True) if stride >= _FINEST}
    if not last:
        raise ConfigError("it has no feature at stride 4 or above")
    if len(last) == 1:
        whole: Any = timm.create_model(name, in_chans=in_channels)
        blocks = len(whole.feature_info)
        return _taken(head, tuple(dict.fromkeys(max(blocks * (level + 1) // LEVELS - 1, 0) for level in range(LEVELS))))
    return _taken(head, tuple(last.values()))


def _taken(head: str, indices: tuple[int, ...]) -> tuple[int, ...]:
    """Of the features that a backbone offers, those that a head looks at."""
    return {"linear": indices[-1:], "deeplabv3plus": (indices[0], indices[-1])}.get(head, indices)


def _shapes(multiple: int) -> Sequence[tuple[int, int]]:
    return ((97, 65), (64, 96)) if multiple == 1 else ((3, 2), (4, 5))


def _covers(backbone: nn.Module, found: Backbone, size: tuple[int, int], in_channels: int) -> bool:
    try:
        with torch.device("meta"):
            return _exact(backbone(torch.empty(1, in_channels, *size)), found, size)
    except Exception:  # timm's models refuse a size in many ways
        return False


def _exact(maps: Sequence[Tensor], found: Backbone, size: tuple[int, int]) -> bool:
    """Whether the maps have their channels first and cover the image: its size divided by the stride, rounded up."""
    expected = [
        (1, channels, *(-(-side // stride) for side in size)) for channels, stride in zip(found.channels, found.strides, strict=True)
    ]
    return [tuple(one.shape) for one in maps] == expected


def _create(name: str, in_channels: int, arguments: Mapping[str, Any], *, pretrained: bool = False) -> Any:
    return timm.create_model(name, features_only=True, in_chans=in_channels, pretrained=pretrained, **arguments)
