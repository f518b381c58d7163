"""Networks of transformers under segbench's calling convention: an image in, logits per class and pixel out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segbench import CheckpointError, Task, counted, first_line
from segbench_plugins.models.hub import own_json, same_classes
from segbench_plugins.models.transformers import FAMILIES, PREPROCESSOR, config_of, has_weights, names_of

if TYPE_CHECKING:
    from segbench_plugins.models.transformers import Family, TransformersOptions

_library: Any = transformers  # typed in part only
_SEMANTIC = "the task is semantic"
_LEAST_SCORE = 1e-6
_OF_TRAINING = ("use_auxiliary_head", "is_training", "use_pretrained_backbone")
"""Settings of the library's own training: its losses alone use these heads and texts."""
_MASKS_FIRST = frozenset({"eomt", "mask2former"})
"""Kinds whose published post-processing resizes the masks before it adds them up; the others resize the sums."""


class SemanticNetwork(nn.Module):
    """Image (N, C, H, W) -> logits (N, K, h, w) of a network that gives them itself. ``bgr``: its weights take blue first."""

    def __init__(self, network: nn.Module, *, bgr: bool = False) -> None:
        super().__init__()
        self.network = network
        self.bgr = bgr

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(pixel_values=image.flip(1) if self.bgr else image).logits
        return logits


class QueryNetwork(nn.Module):
    """Image (N, C, H, W) -> logits (N, K, H, W) of a network that predicts masks and their classes.

    They are logarithms of the scores that the library's ``post_process_semantic_segmentation`` takes the argmax of, so that a softmax gives
    each class its share of the scores. ``task_inputs`` (1, L) is OneFormer's text, as tokens.
    """

    task_inputs: Tensor | None

    def __init__(self, network: nn.Module, *, masks_first: bool, bgr: bool = False, task_inputs: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self.masks_first = masks_first
        self.bgr = bgr
        self.register_buffer("task_inputs", task_inputs)

    def forward(self, image: Tensor) -> Tensor:
        arguments = {} if self.task_inputs is None else {"task_inputs": self.task_inputs.expand(image.shape[0], -1)}
        output = self.network(pixel_values=image.flip(1) if self.bgr else image, **arguments)
        size = (image.shape[-2], image.shape[-1])
        scores = semantic_scores(output.class_queries_logits, output.masks_queries_logits, size, masks_first=self.masks_first)
        return scores.clamp(min=_LEAST_SCORE).log()


def semantic_scores(classes: Tensor, masks: Tensor, size: tuple[int, int], *, masks_first: bool) -> Tensor:
    """Scores (N, K, *size): for each class the masks (N, Q, h, w) of all queries, weighted by the query's probability of it.

    ``classes`` (N, Q, K + 1) has the class "no object" last, which counts for nothing (Cheng et al., "Per-Pixel Classification is Not All
    You Need for Semantic Segmentation", 2021, section 3.4).
    """
    if masks_first:
        masks = _resized(masks, size)
    return _resized(torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :-1], masks.sigmoid()), size)


def create(task: Task, options: TransformersOptions) -> nn.Module:
    """The network for a task, with its weights where there are some. Raises CheckpointError where they do not fit."""
    content = config_of(options.name)
    kind = content["model_type"]
    family = FAMILIES[kind]
    config = _configure(options.name, kind, task.num_classes, sum(task.inputs.values()))
    auto = _library.AutoModelForUniversalSegmentation if family.queries else _library.AutoModelForSemanticSegmentation
    pretrained = has_weights(options)
    network = _load(auto, options.name, config, family) if pretrained else auto.from_config(config)
    names = names_of(content)
    if pretrained and names is not None and not same_classes(names, task.class_names):
        _refresh(network, family)
    if hasattr(network, "criterion"):
        network.criterion = None  # the library's own loss, which has weights of its own in OneFormer
    bgr = _takes_bgr(options.name)
    if not family.queries:
        return SemanticNetwork(network, bgr=bgr)
    tokens = _task_tokens(options.name, config, pretrained) if kind == "oneformer" else None
    return QueryNetwork(network, masks_first=kind in _MASKS_FIRST, bgr=bgr, task_inputs=tokens)


def _configure(name: str, kind: str, classes: int, channels: int) -> Any:
    config = _library.AutoConfig.for_model(kind) if name in FAMILIES else _library.AutoConfig.from_pretrained(name)
    if name == "beit":
        config.out_indices = [3, 5, 7, 11]  # of the base size, as the library's message names them; it has no default
    if config.num_labels != classes:
        config.num_labels = classes
    for setting in _OF_TRAINING:
        if getattr(config, setting, False):
            setattr(config, setting, False)
    parts: tuple[Any, ...] = (config, getattr(config, "backbone_config", None))
    for part in parts:
        if channels != 3 and hasattr(part, "num_channels"):
            part.num_channels = channels
    return config


def _load(auto: Any, name: str, config: Any, family: Family) -> Any:
    """The network with its weights; only its class layers, or all behind the encoder, may be missing or of another size."""
    with _silent():
        try:
            network, report = auto.from_pretrained(
                name, config=config, ignore_mismatched_sizes=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"the weights of '{name}' could not be loaded ({first_line(error)}).") from error
    random = {*report["missing_keys"], *(entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"])}
    random = {key for key in random if not key.startswith(("criterion.", *family.head))}
    behind = {key for key in network.state_dict() if not key.startswith(("criterion.", *family.encoder, *family.head))}
    if random and not random >= {key for key in behind if not key.endswith("num_batches_tracked")}:
        some = ", ".join(sorted(random)[:3])
        raise CheckpointError(
            f"the weights of '{name}' do not fit its {config.model_type} network: missing or reshaped are {counted(len(random), 'value')} "
            f"({some}). Give the folder or repository that these weights were saved in, or set pretrained=false."
        )
    if any(key.startswith(family.encoder) for key in random):
        raise CheckpointError(f"the weights of '{name}' lack a part of the encoder ({min(random)}). Set pretrained=false for random ones.")
    return network


def _refresh(network: Any, family: Family) -> None:
    """Random class layers, as torch fills them: those of other classes would be taken for this task's."""
    for name, module in network.named_modules():
        if f"{name}.".startswith(family.head) and hasattr(module, "reset_parameters"):
            module.reset_parameters()


def _takes_bgr(name: str) -> bool:
    """Whether a network's weights take blue first (MobileViT): true of them with and without these weights, as a checkpoint may follow."""
    return name not in FAMILIES and bool((own_json(name, PREPROCESSOR) or {}).get("do_flip_channel_order"))


def _task_tokens(name: str, config: Any, pretrained: bool) -> Tensor:
    """OneFormer's text for semantic segmentation; for random weights any constant does, as it is learnt with them."""
    if not pretrained:
        return torch.ones(1, config.task_seq_len)
    try:
        tokenizer = _library.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the tokenizer of '{name}' could not be loaded ({first_line(error)}), which OneFormer reads its task by."
        ) from error
    tokens: dict[str, Tensor] = tokenizer(
        _SEMANTIC, padding="max_length", max_length=config.task_seq_len, truncation=True, return_tensors="pt"
    )
    return tokens["input_ids"].float()


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if tuple(maps.shape[-2:]) == size else interpolate(maps, size=size, mode="bilinear", align_corners=False)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the library's table of missing weights, which are judged here."""
    level = _library.logging.get_verbosity()
    _library.logging.set_verbosity_error()
    try:
        yield
    finally:
        _library.logging.set_verbosity(level)
