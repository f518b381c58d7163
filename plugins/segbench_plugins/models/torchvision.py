"""torchvision's segmentation networks by name (https://docs.pytorch.org/vision/stable/models.html#semantic-segmentation).

Their weights are looked for in torch's own cache, then fetched; torch and torchvision are imported where a network is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segbench import CheckpointError, ModelSpec, Normalisation, Options, SegbenchError, Task, did_you_mean, first_line, option
from segbench_plugins.models.hub import is_rgb, normalisation_of, same_classes

if TYPE_CHECKING:
    from torch import nn

AUXILIARY_WEIGHT = 0.5
"""Weight of the auxiliary output's loss in torchvision's own training (references/segmentation/train.py)."""
_LRASPP = "lraspp_mobilenet_v3_large"
_SHORT = {"coco": "COCO_WITH_VOC_LABELS_V1", "imagenet": "DEFAULT"}


class TorchvisionOptions(Options):
    """``torchvision``."""

    name: Literal[
        "lraspp_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
        "fcn_resnet50",
        "fcn_resnet101",
    ] = option(_LRASPP, help="network, as torchvision's function is called")
    weights: str | None = option(
        None,
        help="coco: the whole network's, of 21 VOC classes; imagenet: the backbone's alone; or a name of torchvision's (IMAGENET1K_V2, ..)",
    )


def build(task: Task, options: TorchvisionOptions) -> nn.Module:
    """The network for a task, with its auxiliary head where torchvision's has one; several inputs arrive as one image.

    The whole network's weights fill all but the class layers where the task has other classes than VOC.
    """
    import torchvision

    chosen = _entries(options)
    whole = {} if chosen is None or not chosen[0] else _state(chosen[1])
    backbone = chosen[1] if chosen is not None and not chosen[0] else None
    arguments: dict[str, Any] = {} if options.name == _LRASPP else {"aux_loss": True}
    try:
        network: nn.Module = torchvision.models.get_model(
            options.name, weights=None, weights_backbone=backbone, num_classes=task.num_classes, **arguments
        )
    except (OSError, RuntimeError) as error:
        raise CheckpointError(_not_loaded(options, error)) from error
    if whole and chosen is not None:
        keep = same_classes(task.class_names, chosen[1].meta["categories"])
        named = {key: value for key, value in whole.items() if keep or not key.startswith(for_options(options)["head"])}
        network.load_state_dict({**network.state_dict(), **named})
    channels = sum(task.inputs.values())
    if channels != 3:
        _take_channels(network, channels, pretrained=chosen is not None)
    return network


def for_options(options: TorchvisionOptions) -> dict[str, Any]:
    """What depends on the network: its parts, the layers of its classes, and the weight of its auxiliary output."""
    parts = {"encoder": ("backbone.",), "head": ("classifier.",)}
    if options.name == _LRASPP:
        return {"parts": parts, "head": ("classifier.low_classifier.", "classifier.high_classifier.")}
    return {
        "parts": {**parts, "auxiliary": ("aux_classifier.",)},
        "head": ("classifier.4.", "aux_classifier.4."),
        "aux_weights": {"aux": AUXILIARY_WEIGHT},
    }


def class_names(options: TorchvisionOptions) -> tuple[str, ...] | None:
    """The classes of the whole network's weights; None where only the backbone has weights, or nothing."""
    chosen = _entries(options)
    return tuple(chosen[1].meta["categories"]) if chosen is not None and chosen[0] else None


def check(task: Task, options: TorchvisionOptions) -> list[str]:
    """Whether the weights that are asked for exist and can be had."""
    if options.weights is None:
        return []
    try:
        chosen = _entries(options)
    except SegbenchError as error:
        return [str(error)]
    assert chosen is not None
    from segbench_plugins.models.pretrained import reachable

    file = _cached(chosen[1])
    if file.is_file() or reachable(chosen[1].url):
        return []
    return [
        f"the weights '{options.weights}' of {options.name} are neither at '{file}' nor can {chosen[1].url} be reached. "
        "Put the file there, run once where there is network, or set weights=none to train from scratch."
    ]


def normalise(task: Task, options: TorchvisionOptions) -> dict[str, Normalisation] | None:
    """The mean and deviation that the weights were trained with, for a colour image; None from scratch."""
    if options.weights is None or not is_rgb(task):
        return None
    chosen = _entries(options)
    assert chosen is not None
    transforms = chosen[1].transforms()
    own = normalisation_of({"mean": transforms.mean, "std": transforms.std}, scale=1 / 255)
    return None if own is None else dict.fromkeys(task.inputs, own)


def _entries(options: TorchvisionOptions) -> tuple[bool, Any] | None:
    """Whether the weights are the whole network's, and torchvision's entry of them; None without weights."""
    if options.weights is None:
        return None
    import torchvision

    whole = torchvision.models.get_model_weights(options.name)
    backbone = torchvision.models.get_model_weights(options.name.split("_", 1)[1])
    name = _SHORT.get(options.weights, options.weights)
    if name in whole.__members__ and options.weights != "imagenet":
        return True, whole[name]
    if name in backbone.__members__:
        return False, backbone[name]
    known = ["coco", "imagenet", *whole.__members__, *backbone.__members__]
    known = [entry for entry in dict.fromkeys(known) if entry != "DEFAULT"]
    raise CheckpointError(
        f"{options.name} has no weights '{options.weights}'.{did_you_mean(options.weights, known)} It has: {', '.join(known)}, none."
    )


def _state(entry: Any) -> dict[str, Any]:
    try:
        return dict(entry.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights {entry} could not be loaded ({first_line(error)}). Set weights=none to train from scratch."
        ) from error


def _not_loaded(options: TorchvisionOptions, error: Exception) -> str:
    return (
        f"the weights '{options.weights}' of {options.name} could not be loaded ({first_line(error)}). "
        "Run once where there is network, or set weights=none to train from scratch."
    )


def _cached(entry: Any) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name


def _take_channels(network: nn.Module, channels: int, *, pretrained: bool) -> None:
    """Put a first convolution for another number of channels; pretrained values are repeated or summed, as timm does it."""
    import timm
    import torch
    from torch import nn

    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    form: dict[str, Any] = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation")}
    taken = nn.Conv2d(channels, first.out_channels, **form, bias=first.bias is not None)
    nn.init.kaiming_normal_(taken.weight, mode="fan_out", nonlinearity="relu")  # as in both of torchvision's backbones
    if pretrained:
        with torch.no_grad():
            taken.weight.copy_(timm.models.adapt_input_conv(channels, first.weight.detach()))
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, taken)


SPEC = ModelSpec(
    name="torchvision",
    summary="the six segmentation networks of torchvision",
    build="segbench_plugins.models.torchvision:build",
    options=TorchvisionOptions,
    min_size=32,
    normalise="segbench_plugins.models.torchvision:normalise",
    check="segbench_plugins.models.torchvision:check",
    class_names="segbench_plugins.models.torchvision:class_names",
    for_options="segbench_plugins.models.torchvision:for_options",
    source="https://docs.pytorch.org/vision/stable/models.html#semantic-segmentation",
)
