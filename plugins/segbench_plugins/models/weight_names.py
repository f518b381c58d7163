"""Names of an encoder's values, translated from those of weights files to timm's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_EXPANDED = {
    **_SQUEEZE,
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {**_SQUEEZE, "_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def canonical(key: str) -> str:
    """One spelling for a name: as an encoder, timm flattens ``stages.0`` to ``stages_0`` and puts transformers below ``model.``.

    >>> canonical("stages_0.conv_dw.weight") == canonical("stages.0.conv_dw.weight")
    True
    """
    return key.removeprefix("model.").replace("_", ".")


def to_timm(tensors: Mapping[str, Tensor], full: Iterable[str]) -> dict[str, Tensor]:
    """Translate the names of the ``efficientnet_pytorch`` family (flat ``_blocks.7._expand_conv``) to timm's; others pass as they are.

    timm counts blocks per stage, and its batch norms in the order of the convolutions, so that a block without expansion starts at bn1.
    """
    if not any(key.startswith("_blocks.") for key in tensors):
        return dict(tensors)
    blocks = list(dict.fromkeys(block[0] for key in full if (block := re.match(r"blocks\.\d+\.\d+", key))))
    expanded = {key.split(".")[1] for key in tensors if "._expand_conv." in key}
    return {_rename(key, blocks, expanded): tensor for key, tensor in tensors.items()}


def _rename(key: str, blocks: list[str], expanded: set[str]) -> str:
    parts = key.split(".")
    if parts[0] != "_blocks":
        return ".".join([_OUTER.get(parts[0], parts[0]), *parts[1:]])
    number, layer = parts[1], parts[2]
    block = blocks[int(number)] if int(number) < len(blocks) else f"blocks.{number}"
    return ".".join([block, (_EXPANDED if number in expanded else _PLAIN).get(layer, layer), *parts[3:]])
