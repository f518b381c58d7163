"""timm encoders as the networks here use them: tapped at given strides, random or pretrained, never a mixture of both."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import timm
import torch
from torch import nn

from segbench import CheckpointError, ConfigError, Normalisation, did_you_mean, first_line
from segbench_plugins.models.pretrained import missing_weights
from segbench_plugins.models.weights import load_encoder, match_encoder, read_state

DEEPLAB_STRIDES = (4, 8, 16)
FLOOD_STRIDES = (32,)
_ODD_SIZE = (97, 65)
_NO_WEIGHTS = (
    "the pretrained weights of encoder '{name}' could not be loaded ({reason}). "
    "Set weights=PATH to a local file with them, or pretrained=false to train from scratch."
)


class EncoderOptions(Protocol):
    """The options of a network that concern its encoder."""

    @property
    def encoder(self) -> str: ...
    @property
    def pretrained(self) -> bool: ...
    @property
    def weights(self) -> str | None: ...


@dataclass(frozen=True)
class Taps:
    """The features to take from an encoder (indices as timm counts them), their channels, and the stride to dilate it to, if any."""

    indices: tuple[int, ...]
    channels: tuple[int, ...]
    output_stride: int | None = None


def create_encoder(options: EncoderOptions, in_channels: int, *, strides: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    """An encoder that maps (N, in_channels, H, W) to one feature per stride, and those features' channels.

    With ``options.weights`` its values come from that file, with ``options.pretrained`` alone from timm's weights on the hub.
    Raises ConfigError where the encoder does not fit and CheckpointError where its weights cannot be had.
    """
    taps = find_taps(options.encoder, strides, in_channels)
    if options.weights is not None:
        encoder = _create(options.encoder, taps, in_channels)
        load_encoder(encoder, read_state(options.weights), name=options.encoder, source=options.weights, in_channels=in_channels)
    elif options.pretrained:
        encoder = load_pretrained(options.encoder, functools.partial(_create, options.encoder, taps, in_channels, pretrained=True))
    else:
        encoder = _create(options.encoder, taps, in_channels)
    return encoder, taps.channels


@functools.cache
def find_taps(name: str, strides: tuple[int, ...], in_channels: int = 3) -> Taps:
    """The features of encoder ``name`` at the strides, found without computing values; raises ConfigError where it has none."""
    require_known(name)
    for output_stride in (strides[-1], None) if strides[-1] < 32 else (None,):
        taps_or_reason = _try_taps(name, strides, output_stride, in_channels)
        if isinstance(taps_or_reason, Taps):
            return taps_or_reason
    needed = ", ".join(map(str, strides))
    raise ConfigError(
        f"encoder '{name}' does not fit: {taps_or_reason}. The network needs features at stride {needed} for images of any size; "
        f"resnet18, efficientnet_b0 and tf_efficientnet_lite0 have them."
    )


def require_known(name: str) -> None:
    """Raise ConfigError unless timm has an encoder of that name (with or without a tag for its weights)."""
    architecture, _, tag = name.partition(".")
    if architecture not in timm.list_models():
        raise ConfigError(f"unknown encoder '{name}'.{did_you_mean(architecture, timm.list_models())} timm.list_models() lists all names.")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ConfigError(f"encoder '{architecture}' has no weights '{tag}'.{did_you_mean(tag, tags)} It has: {', '.join(tags) or 'none'}.")


def encoder_normalisation(name: str) -> Normalisation | None:
    """The normalisation under which timm's weights of that encoder were trained, for 8-bit RGB images."""
    config = timm.get_pretrained_cfg(name)
    if config is None or len(config.mean) != 3:
        return None
    return Normalisation(mean=tuple(config.mean), std=tuple(config.std), scale=1 / 255)


def check_weights(path: str, name: str, strides: tuple[int, ...], in_channels: int) -> None:
    """Raise CheckpointError unless that file fits the encoder, without building it. A file that has not changed is read once."""
    file = Path(path).expanduser()
    stamp = (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else (0, 0)
    _check_weights(path, stamp, name, strides, in_channels)


@functools.lru_cache(maxsize=64)
def _check_weights(path: str, _stamp: tuple[int, int], name: str, strides: tuple[int, ...], in_channels: int) -> None:
    tensors = read_state(path)
    with torch.device("meta"):
        encoder = _create(name, find_taps(name, strides, in_channels), in_channels)
    match_encoder(encoder, tensors, name=name, source=path, in_channels=in_channels)


def _try_taps(name: str, strides: tuple[int, ...], output_stride: int | None, in_channels: int) -> Taps | str:
    """The taps, or the reason why there are none."""
    try:
        taps = _match_strides(name, strides, output_stride, in_channels)
        _require_any_size(name, taps, in_channels)
    except ConfigError as error:
        return str(error)
    except Exception as error:  # timm's encoders refuse an unknown argument in many ways
        return f"timm cannot build it as an encoder ({first_line(error)})"
    return taps


def _match_strides(name: str, strides: tuple[int, ...], output_stride: int | None, in_channels: int) -> Taps:
    with torch.device("meta"):
        info = _create_timm(name, in_channels, output_stride=output_stride).feature_info
    offered = list(info.reduction())
    if not set(strides) <= set(offered):
        raise ConfigError(f"it offers strides {', '.join(map(str, sorted(set(offered))))} only")
    last = {stride: index for index, stride in enumerate(offered)}
    positions = tuple(last[stride] for stride in strides)
    return Taps(
        indices=tuple(info.out_indices[i] for i in positions),
        channels=tuple(info.channels()[i] for i in positions),
        output_stride=output_stride,
    )


def _require_any_size(name: str, taps: Taps, in_channels: int) -> None:
    """Run the encoder on a picture without values: some take only one size, or put channels last."""
    with torch.device("meta"):
        encoder = _create(name, taps, in_channels).eval()
        try:
            features = encoder(torch.empty(1, in_channels, *_ODD_SIZE))
        except Exception as error:  # an encoder may raise anything on a size that it cannot take
            raise ConfigError(f"it cannot take images of any size ({first_line(error)})") from error
    if tuple(feature.shape[1] for feature in features) != taps.channels:
        raise ConfigError("its features are not of the form (N, C, H, W)")


def _create(name: str, taps: Taps, in_channels: int, *, pretrained: bool = False) -> nn.Module:
    encoder: nn.Module = _create_timm(name, in_channels, output_stride=taps.output_stride, out_indices=taps.indices, pretrained=pretrained)
    return encoder


def _create_timm(
    name: str, in_channels: int, *, output_stride: int | None, out_indices: tuple[int, ...] | None = None, pretrained: bool = False
) -> Any:
    return timm.create_model(  # timm leaves out arguments that are None
        name, features_only=True, in_chans=in_channels, output_stride=output_stride, out_indices=out_indices, pretrained=pretrained
    )


def load_pretrained(name: str, create: Callable[[], nn.Module]) -> nn.Module:
    """The encoder that ``create`` builds with timm's weights. Raises CheckpointError where they cannot be had or leave a value random."""
    missing = missing_weights(name)
    if missing:  # checked first, as the hub's own retries take most of a minute
        raise CheckpointError(missing)
    warnings_seen = _RandomValueWarnings()
    logger = logging.getLogger("timm")
    logger.addHandler(warnings_seen)
    try:
        encoder = create()
    except Exception as error:  # hub, network and file errors of several packages
        raise CheckpointError(_NO_WEIGHTS.format(name=name, reason=first_line(error))) from error
    finally:
        logger.removeHandler(warnings_seen)
    if warnings_seen.random:  # timm only warns where it leaves values random
        raise CheckpointError(_NO_WEIGHTS.format(name=name, reason=warnings_seen.random[0]))
    return encoder


class _RandomValueWarnings(logging.Handler):
    """Collects timm's warnings about values that it leaves random."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.random: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "random init" in record.getMessage():
            self.random.append(record.getMessage())
