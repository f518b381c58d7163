"""Segmentation networks of transformers by name (https://huggingface.co/docs/transformers/tasks/semantic_segmentation).

They need the extra ``transformers``. The library is imported where a network is built, not before: what depends on the options is read
from ``config.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench import CheckpointError, ConfigError, ModelSpec, Normalisation, Options, SegbenchError, Task, did_you_mean, option
from segbench_plugins.models.hub import (
    CONFIG,
    cached_file,
    is_rgb,
    missing_package,
    missing_weight_file,
    normalisation_of,
    own_json,
    unreachable,
)

if TYPE_CHECKING:
    from torch import nn

PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Family:
    """A kind of network: prefixes of its encoder and of its class layers; whether it takes one size, and gives masks of queries."""

    encoder: tuple[str, ...]
    head: tuple[str, ...]
    one_size: bool = False
    queries: bool = False


_DECODE = ("decode_head.classifier.",)
_SEGMENT = ("segmentation_head.classifier.",)
_CLASSES = ("class_predictor.",)
_PIXELS = ("model.pixel_level_module.encoder.",)
_EOMT = ("embeddings.", "layers.", "layernorm.")
FAMILIES = {
    "segformer": Family(("segformer.",), _DECODE),
    "upernet": Family(("backbone.",), _DECODE),
    "dpt": Family(("dpt.",), ("head.head.4.",), one_size=True),
    "beit": Family(("beit.",), _DECODE, one_size=True),
    "data2vec-vision": Family(("data2vec_vision.",), _DECODE, one_size=True),
    "mobilevit": Family(("mobilevit.",), _SEGMENT),
    "mobilevitv2": Family(("mobilevitv2.",), _SEGMENT),
    "mobilenet_v2": Family(("mobilenet_v2.",), _SEGMENT),
    "eomt": Family(_EOMT, _CLASSES, one_size=True, queries=True),
    "maskformer": Family(_PIXELS, _CLASSES, queries=True),
    "mask2former": Family(_PIXELS, _CLASSES, queries=True),
    "oneformer": Family(_PIXELS, ("model.transformer_module.decoder.class_embed.",), queries=True),
}
"""Supported values of ``model_type``."""
_MULTIPLE = 32
_LEAST = 64


class TransformersOptions(Options):
    """``transformers``."""

    name: str = option(
        "segformer", help="a folder with config.json, a repository (OWNER/NAME), or a kind of network with its default settings"
    )
    pretrained: bool = option(
        True, help="take the weights that lie beside config.json; where there are none, and for a kind, they are random"
    )


def build(task: Task, options: TransformersOptions) -> nn.Module:
    """The network for a task; its class layers are fresh ones where the classes of its weights are not the task's."""
    from segbench_plugins.models.transformers_network import create

    return create(task, options)


def for_options(options: TransformersOptions) -> dict[str, Any]:
    """Parts, class layers and sizes by the kind of network; nothing where the configuration is not at hand (``check`` says that)."""
    if missing_package("transformers", "transformers", "transformers"):
        return {}
    try:
        config = config_of(options.name, fetch=False)
    except SegbenchError:
        return {}
    family = FAMILIES[config["model_type"]]
    fields: dict[str, Any] = {
        "head": tuple(f"network.{prefix}" for prefix in family.head),
        "parts": {"encoder": tuple(f"network.{prefix}" for prefix in family.encoder)},
        "size_multiple": _MULTIPLE,
        "min_size": _LEAST,
    }
    if family.one_size:
        fields |= {"fixed_size": _size(config), "size_multiple": 1, "min_size": 1}
    return fields


def class_names(options: TransformersOptions) -> tuple[str, ...] | None:
    """The classes of the weights in order; None where the configuration names none, or the weights are random."""
    if not has_weights(options):
        return None
    return names_of(config_of(options.name))


def check(task: Task, options: TransformersOptions) -> list[str]:
    """What keeps the network from being built, with advice."""
    missing = missing_package("transformers", "transformers", "transformers")
    if missing or options.name in FAMILIES:
        return missing
    problem = unreachable(options.name)
    if problem:
        return [f"{problem} Or name a kind: {', '.join(FAMILIES)}."]
    try:
        config = config_of(options.name)
        channels = sum(task.inputs.values())
        if has_weights(options):
            problem = missing_weight_file(options.name) or _other_channels(options.name, config, channels)
    except SegbenchError as error:
        problem = str(error)
    return [problem] if problem else []


def normalise(task: Task, options: TransformersOptions) -> dict[str, Normalisation] | None:
    """The mean and deviation that the weights were trained with, for a colour image; None for random weights."""
    if not is_rgb(task) or not has_weights(options):
        return None
    values = own_json(options.name, PREPROCESSOR)
    if values is None:
        return None
    scale = float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 1.0
    plain = not values.get("do_normalize", True)
    moments = {"mean": (0.0,) * 3, "std": (1.0,) * 3} if plain else {"mean": values.get("image_mean"), "std": values.get("image_std")}
    own = normalisation_of(moments, scale=scale)
    return None if own is None else dict.fromkeys(task.inputs, own)


def has_weights(options: TransformersOptions) -> bool:
    """Whether the network starts from published weights: a folder without a weights file and a kind by name give random ones."""
    if not options.pretrained or options.name in FAMILIES:
        return False
    return not Path(options.name).expanduser().is_dir() or missing_weight_file(options.name) is None


def config_of(name: str, *, fetch: bool = True) -> dict[str, Any]:
    """The content of a network's ``config.json``. Raises CheckpointError where there is none, ConfigError for an unsupported kind."""
    if name in FAMILIES:
        return {"model_type": name}
    if not fetch and not Path(name).expanduser().is_dir() and cached_file(name, CONFIG) is None:
        raise CheckpointError(f"the configuration of '{name}' is not at hand")
    problem = unreachable(name)
    config = None if problem else own_json(name, CONFIG)
    if config is None:
        raise CheckpointError(problem or f"'{name}' holds no {CONFIG}. Give a folder or repository that save_pretrained wrote.")
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise ConfigError(
            f"'{name}' is of the kind '{kind}', which is no network for semantic segmentation that segbench knows."
            f"{did_you_mean(kind, list(FAMILIES))} Known kinds: {', '.join(FAMILIES)}."
        )
    return config


def names_of(config: dict[str, Any]) -> tuple[str, ...] | None:
    """The class names of a configuration in order; None where it has none but LABEL_0, LABEL_1, .."""
    labels = config.get("id2label") or {}
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    return None if not names or all(name.startswith("LABEL_") for name in names) else names


def _other_channels(name: str, config: dict[str, Any], channels: int) -> str | None:
    theirs = config.get("num_channels", 3)
    if theirs == channels:
        return None
    return f"the weights of '{name}' take {theirs} channels and the data have {channels}. Set pretrained=false to train from random ones."


def _size(config: dict[str, Any]) -> tuple[int, int]:
    """Height and width of a kind that takes one size."""
    size = config.get("image_size")
    if size is None:
        from transformers import AutoConfig

        size = AutoConfig.for_model(config["model_type"]).image_size
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


SPEC = ModelSpec(
    name="transformers",
    summary="SegFormer, UperNet, DPT, BEiT, MobileViT, MobileNetV2, EoMT, MaskFormer, Mask2Former and OneFormer of transformers",
    build="segbench_plugins.models.transformers:build",
    options=TransformersOptions,
    normalise="segbench_plugins.models.transformers:normalise",
    check="segbench_plugins.models.transformers:check",
    class_names="segbench_plugins.models.transformers:class_names",
    for_options="segbench_plugins.models.transformers:for_options",
    source="https://huggingface.co/docs/transformers/tasks/semantic_segmentation",
)
