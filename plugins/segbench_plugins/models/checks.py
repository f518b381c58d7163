"""Checks of the built-in models at planning: whether the encoder fits, whether its weights are available, and its normalisation.

torch and timm are imported only where a check needs them: the usual encoders, from scratch, need no check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segbench import Normalisation, SegbenchError, Task

if TYPE_CHECKING:
    from segbench_plugins.models.encoders import EncoderOptions

FITTING = frozenset(
    {"mobilenetv3_small_100", "tf_efficientnet_lite0", "resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_b1"}
)
"""Encoders that fit both networks, as a test shows."""


def check_deeplab(task: Task, options: EncoderOptions) -> list[str]:
    """Problems that keep a DeepLab from being built, with advice."""
    return _check(options, strides="DEEPLAB_STRIDES", in_channels=sum(task.inputs.values()))


def check_flood(_task: Task, options: EncoderOptions) -> list[str]:
    """Problems that keep a flood network from being built, with advice. Its encoder sees three projected channels."""
    return _check(options, strides="FLOOD_STRIDES", in_channels=3)


def normalise_image(task: Task, options: EncoderOptions) -> dict[str, Normalisation] | None:
    """A pretrained encoder's own normalisation for an RGB image; None for other images and for encoders from scratch."""
    if not (options.pretrained or options.weights):
        return None
    if tuple(task.inputs.values()) != (3,) or not set(task.inputs) <= set(task.rgb):
        return None
    from segbench_plugins.models.encoders import encoder_normalisation, require_known

    require_known(options.encoder)
    own = encoder_normalisation(options.encoder)
    return None if own is None else dict.fromkeys(task.inputs, own)


def _check(options: EncoderOptions, *, strides: str, in_channels: int) -> list[str]:
    if options.encoder in FITTING and not options.pretrained and options.weights is None:
        return []
    from segbench_plugins.models import encoders
    from segbench_plugins.models import pretrained as hub

    try:
        taps = getattr(encoders, strides)
        encoders.find_taps(options.encoder, taps, in_channels)
        if options.weights is not None:
            encoders.check_weights(options.weights, options.encoder, taps, in_channels)
            return []
    except SegbenchError as error:
        return [str(error)]
    missing = hub.missing_weights(options.encoder) if options.pretrained else None
    return [missing] if missing else []
