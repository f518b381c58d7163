"""Networks of segmentation_models_pytorch by name (https://github.com/qubvel-org/segmentation_models.pytorch). Needs the extra ``smp``.

The library is imported where a network is built or checked, not before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from segbench import (
    CheckpointError,
    ConfigError,
    ModelSpec,
    Normalisation,
    Options,
    SegbenchError,
    Task,
    counted,
    did_you_mean,
    first_line,
    option,
)
from segbench_plugins.models.hub import CONFIG, is_rgb, missing_package, missing_weight_file, normalisation_of, own_json, unreachable

if TYPE_CHECKING:
    from torch import nn

_MULTIPLES = {"Unet": 1, "PSPNet": 8, "DeepLabV3": 8, "DeepLabV3Plus": 16, "PAN": 16}
"""What height and width must be multiples of: the stride of the encoder's last feature, or 1 where the decoder takes any size."""
_LAST_STRIDE = 32
_LEAST = {"PAN": 128}
"""Smallest side: PAN halves its feature of stride 16 three times more."""
_USUAL = frozenset({"resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "efficientnet-b0", "efficientnet-b1", "mit_b0"})
"""Encoders that are known to fit, so that no check has to import the library."""
_NOT_FIXED = frozenset({"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"})
"""Settings in a repository that options and the task decide."""


class SmpOptions(Options):
    """``smp``."""

    arch: Literal[
        "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer", "DPT"
    ] = option("Unet", help="architecture, as the library's class is called")
    encoder: str = option("resnet34", help="encoder_name of the library; tu-NAME for any timm encoder (DPT needs a ViT)")
    weights: str | None = option(
        None, help="the encoder's published weights (imagenet, or another set that it has), or the whole network's: a folder or OWNER/NAME"
    )


def build(task: Task, options: SmpOptions) -> nn.Module:
    """The network for a task; several inputs arrive as one image, joined by channel. The library's own defaults for all else."""
    import segmentation_models_pytorch as library

    channels = sum(task.inputs.values())
    if options.weights is not None and _is_repository(options.weights):
        return _from_repository(task, options, channels)
    if options.weights is None:
        return _create(library, options, task.num_classes, channels)
    try:
        return _create(library, options, task.num_classes, channels, weights=options.weights)
    except (KeyError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights '{options.weights}' of encoder '{options.encoder}' could not be loaded ({first_line(error)}). "
            "Run once where there is network, or set weights=none to train from scratch."
        ) from error


def for_options(options: SmpOptions) -> dict[str, int]:
    """The sizes that an architecture takes."""
    patch = re.search(r"patch(\d+)", options.encoder)
    multiple = int(patch[1]) if patch else _MULTIPLES.get(options.arch, _LAST_STRIDE)
    return {"size_multiple": multiple, "min_size": _LEAST.get(options.arch, _LAST_STRIDE)}


def check(task: Task, options: SmpOptions) -> list[str]:
    """What keeps the network from being built, with advice."""
    missing = missing_package("segmentation_models_pytorch", "segmentation-models-pytorch", "smp")
    if missing or (options.encoder in _USUAL and options.arch != "DPT" and options.weights is None):
        return missing
    try:
        _require_fitting(task, options)
        problem = None if options.weights is None else _missing_weights(options, options.weights)
    except SegbenchError as error:
        problem = str(error)
    return [problem] if problem else []


def normalise(task: Task, options: SmpOptions) -> dict[str, Normalisation] | None:
    """The mean and deviation that the encoder's weights were trained with, for a colour image; None from scratch."""
    missing = missing_package("segmentation_models_pytorch", "segmentation-models-pytorch", "smp")
    if missing or options.weights is None or not is_rgb(task):
        return None
    from segmentation_models_pytorch.encoders import get_preprocessing_params

    weights = "imagenet"
    if not _is_repository(options.weights):
        problem = _missing_weights(options, options.weights)
        if problem:
            raise CheckpointError(problem)
        weights = options.weights
    try:
        values = get_preprocessing_params(options.encoder, pretrained=weights)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the mean and deviation of encoder '{options.encoder}' could not be fetched ({first_line(error)}). "
            "Run once where there is network, or set weights=none to train from scratch."
        ) from error
    if values["input_space"] != "RGB":
        raise ConfigError(
            f"the weights of encoder '{options.encoder}' were trained on {values['input_space']} images. Choose another encoder."
        )
    own = normalisation_of(values, scale=1 / 255 if max(values["input_range"]) <= 1 else 1.0)
    return None if own is None else dict.fromkeys(task.inputs, own)


def _create(library: Any, options: SmpOptions, classes: int, channels: int, *, weights: str | None = None) -> nn.Module:
    network: nn.Module = library.create_model(
        options.arch, encoder_name=options.encoder, encoder_weights=weights, in_channels=channels, classes=classes
    )
    return network


def _is_repository(weights: str) -> bool:
    return "/" in weights or weights.startswith((".", "~"))


def _from_repository(task: Task, options: SmpOptions, channels: int) -> nn.Module:
    """The whole network that ``save_pretrained`` wrote; its head is a fresh one where the number of classes differs."""
    import segmentation_models_pytorch as library

    weights = str(options.weights)
    config = _repository_config(options)
    if config["in_channels"] != channels:
        raise CheckpointError(f"'{weights}' takes {counted(config['in_channels'], 'channel')} the data have {channels}. Set weights=none.")
    network: nn.Module = library.from_pretrained(weights)
    if config["classes"] == task.num_classes:
        return network
    fresh = _create(library, options, task.num_classes, channels)
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("segmentation_head.")}
    fresh.load_state_dict({**fresh.state_dict(), **state})
    return fresh


def _repository_config(options: SmpOptions) -> dict[str, Any]:
    """The settings of a saved network; raises ConfigError where the options would build another one."""
    import inspect

    import segmentation_models_pytorch as library

    weights = str(options.weights)
    config = own_json(weights, CONFIG)
    if config is None or "_model_class" not in config:
        raise CheckpointError(f"'{weights}' holds no network of segmentation_models_pytorch (its {CONFIG} names no _model_class).")
    if (config["_model_class"], config["encoder_name"]) != (options.arch, options.encoder):
        raise ConfigError(f"'{weights}' holds another network. Set arch={config['_model_class']},encoder={config['encoder_name']}.")
    defaults = {name: item.default for name, item in inspect.signature(getattr(library, options.arch)).parameters.items()}
    other = [
        f"{name}={value}"
        for name, value in config.items()
        if name in defaults.keys() - _NOT_FIXED and _plain(value) != _plain(defaults[name])
    ]
    if other:
        raise ConfigError(f"'{weights}' was built with {', '.join(other)}, for which smp has no option. Write a plugin for this network.")
    return config


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _require_fitting(task: Task, options: SmpOptions) -> None:
    """Raise ConfigError unless the library can build the network: without values where the encoder allows that (mit_b0 does not)."""
    import segmentation_models_pytorch as library
    import torch

    _require_known(library.encoders.get_encoder_names(), options.encoder)
    reason = ""
    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                _create(library, options, task.num_classes, sum(task.inputs.values()))
        except Exception as error:  # the library and timm refuse an encoder in many ways
            reason = first_line(error)
        else:
            return
    raise ConfigError(
        f"{options.arch} cannot be built on encoder '{options.encoder}' ({reason}). resnet18, mobilenet_v2 and efficientnet-b0 "
        "fit every architecture but DPT, which needs a ViT such as tu-vit_small_patch16_224."
    )


def _require_known(names: list[str], encoder: str) -> None:
    if encoder.startswith("tu-"):
        from segbench_plugins.models.encoders import require_known

        require_known(encoder.removeprefix("tu-"))
    elif encoder not in names:
        raise ConfigError(
            f"unknown encoder '{encoder}'.{did_you_mean(encoder, names)} It has {', '.join(sorted(names))}, and tu-NAME of timm."
        )


def _missing_weights(options: SmpOptions, weights: str) -> str | None:
    """Why the weights cannot be had, with advice."""
    if _is_repository(weights):
        problem = unreachable(weights) or missing_weight_file(weights, ("model.safetensors", "pytorch_model.bin"))
        if problem is None:
            _repository_config(options)
        return problem
    if options.encoder.startswith("tu-"):
        from segbench_plugins.models.pretrained import missing_weights

        return missing_weights(options.encoder.removeprefix("tu-"))
    from segmentation_models_pytorch.encoders import encoders

    sets = encoders[options.encoder]["pretrained_settings"]
    if weights not in sets:
        known = ", ".join(sets) or "none"
        return f"encoder '{options.encoder}' has no weights '{weights}'.{did_you_mean(weights, list(sets))} It has: {known}."
    return missing_weight_file(sets[weights]["repo_id"], ("model.safetensors",))


SPEC = ModelSpec(
    name="smp",
    summary="any architecture of segmentation_models_pytorch on any of its encoders",
    build="segbench_plugins.models.smp:build",
    options=SmpOptions,
    parts={"encoder": ("encoder.",), "decoder": ("decoder.",), "head": ("segmentation_head.",)},
    head=("segmentation_head.",),
    normalise="segbench_plugins.models.smp:normalise",
    check="segbench_plugins.models.smp:check",
    for_options="segbench_plugins.models.smp:for_options",
    source="https://github.com/qubvel-org/segmentation_models.pytorch",
)
