"""Any timm backbone under a light head (https://github.com/huggingface/pytorch-image-models).

timm is imported where a backbone is looked at or built, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from segbench import ModelSpec, Options, SegbenchError, Task, option

if TYPE_CHECKING:
    from torch import nn

_LEAST = 32
_USUAL = frozenset({"resnet18", "resnet34", "resnet50", "efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv3_small_100"})
"""Backbones that take images of any size from 32 pixels, as a test shows: naming one of them imports nothing."""


class TimmOptions(Options):
    """``timm``."""

    encoder: str = option("resnet18", help="any timm model with feature maps, vision transformers included; timm.list_models() lists them")
    head: Literal["linear", "fpn", "deeplabv3plus", "upernet"] = option(
        "fpn", help="what stands on the features; linear is one 1x1 convolution on the last of them"
    )
    channels: int = option(256, minimum=1, help="channels of the head's maps; linear has none")
    freeze: bool = option(False, help="keep the backbone as its weights are, in eval mode, and train the head alone")
    pretrained: bool = option(False, help="start the backbone from timm's weights (from the hub, unless weights names a file)")
    weights: str | None = option(None, help="local file with the backbone's weights (safetensors or torch); implies pretrained")


def build(task: Task, options: TimmOptions) -> nn.Module:
    """The network for a task; several inputs arrive as one image, joined by channel."""
    from segbench_plugins.models.timm_network import TimmNetwork

    return TimmNetwork(task.num_classes, sum(task.inputs.values()), options)


def for_options(options: TimmOptions) -> dict[str, Any]:
    """The sizes that the backbone takes: whole images of any size, of multiples of a patch or window, or of one size only."""
    if options.encoder in _USUAL:
        return {}
    from segbench_plugins.models.timm_backbone import find_backbone

    try:
        found = find_backbone(options.encoder, options.head)
    except SegbenchError:  # check says it
        return {}
    if found.fixed_size is not None:
        return {"fixed_size": found.fixed_size}
    return {"size_multiple": found.size_multiple, "min_size": max(_LEAST, found.size_multiple)}


def check(task: Task, options: TimmOptions) -> list[str]:
    """What keeps the network from being built, with advice."""
    if options.encoder in _USUAL and not options.pretrained and options.weights is None:
        return []
    from segbench_plugins.models.pretrained import missing_weights
    from segbench_plugins.models.timm_backbone import check_weights, find_backbone

    channels = sum(task.inputs.values())
    try:
        find_backbone(options.encoder, options.head, channels)
        if options.weights is not None:
            check_weights(options.weights, options.encoder, options.head, channels)
            return []
    except SegbenchError as error:
        return [str(error)]
    missing = missing_weights(options.encoder) if options.pretrained else None
    return [missing] if missing else []


SPEC = ModelSpec(
    name="timm",
    summary="any timm backbone under a linear, FPN, DeepLabV3+ or UPerNet head",
    build="segbench_plugins.models.timm:build",
    options=TimmOptions,
    min_size=_LEAST,
    parts={"encoder": ("encoder.",), "decoder": ("decoder.",), "head": ("head.",)},
    head=("head.",),
    normalise="segbench_plugins.models.checks:normalise_image",
    check="segbench_plugins.models.timm:check",
    for_options="segbench_plugins.models.timm:for_options",
    source="FPN: Kirillov et al., CVPR 2019; DeepLabV3+: Chen et al., ECCV 2018; UPerNet: Xiao et al., ECCV 2018",
)
