"""What a file of a network says of itself: classes, inputs, normalisation and size, as segbench, ultralytics and transformers write it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench import ConfigError, Normalisation

_UNIT = 1 / 255
_OTHER_TASKS = ("detect", "segment", "pose", "obb", "classify")


@dataclass(frozen=True)
class FileMetadata:
    """What is known; None for what is not. ``source`` names who wrote it, ``size`` is (height, width), ``multiple`` of both."""

    source: str = ""
    class_names: tuple[str, ...] | None = None
    normalisation: Normalisation | None = None
    size: tuple[int, int] | None = None
    multiple: int | None = None
    trained_on: str | None = None
    output: str | None = None


def read_metadata(path: Path, texts: Mapping[str, str], channels: int) -> FileMetadata:
    """The metadata of a file whose own are ``texts``, for images of so many ``channels``. Raises :class:`~segbench.ConfigError`.

    Where it has none, those of the files beside it count: ``FILE.json`` of ``segbench export``, and ``config.json`` with
    ``preprocessor_config.json`` of transformers.
    """
    own = {key.removeprefix("segbench."): value for key, value in texts.items() if key.startswith("segbench.")}
    if own:
        return _of_segbench({key: _parsed(value) for key, value in own.items()}, path)
    if "names" in texts and ("stride" in texts or "imgsz" in texts):
        return _of_ultralytics(texts, path, channels)
    sidecar = _json(path.with_name(path.name + ".json"))
    if "classes" in sidecar and "inputs" in sidecar:
        return _of_segbench(sidecar, path)
    return _of_transformers(_json(path.with_name("config.json")), _json(path.with_name("preprocessor_config.json")))


def _of_segbench(values: Mapping[str, Any], path: Path) -> FileMetadata:
    parts = [part for group in values.get("inputs", ()) for part in group["parts"]]
    if len(parts) != 1:
        names = " and ".join(str(part["name"]) for part in parts)
        raise ConfigError(f"'{path}' takes {names}, and a file as a model takes one image. Score it as the cell that it was exported from.")
    norm, size = parts[0]["normalisation"], values.get("input_size")
    weights = values.get("weights") or {}
    return FileMetadata(
        source="segbench",
        class_names=tuple(map(str, values["classes"])),
        normalisation=Normalisation(tuple(norm["mean"]), tuple(norm["std"]), norm["scale"]) if norm else None,
        size=(int(size[0]), int(size[1])) if size else None,
        trained_on=None if weights.get("random") else weights.get("trained_on"),
        output="logits",
    )


def _of_ultralytics(texts: Mapping[str, str], path: Path, channels: int) -> FileMetadata:
    """Source: https://docs.ultralytics.com/modes/export/ (``names`` is a Python dict of ids to names, images are divided by 255)."""
    if texts.get("task") in _OTHER_TASKS:
        raise ConfigError(
            f"'{path}' is made for the task '{texts['task']}', which gives no class for each pixel. Give a semantic segmentation."
        )
    names, size = _parsed(texts["names"]), _parsed(texts.get("imgsz", ""))
    pairs = sorted(names.items(), key=lambda pair: int(pair[0])) if isinstance(names, Mapping) else list(enumerate(names or ()))
    stride = _parsed(texts.get("stride", ""))
    return FileMetadata(
        source="ultralytics",
        class_names=_distinct(tuple(str(name) for _, name in pairs)),
        normalisation=Normalisation((0.0,) * channels, (1.0,) * channels, _UNIT),
        size=(int(size[0]), int(size[-1])) if isinstance(size, (list, tuple)) and size else None,
        multiple=int(stride) if isinstance(stride, (int, float)) and stride >= 1 else None,
    )


def _of_transformers(config: Mapping[str, Any], image: Mapping[str, Any]) -> FileMetadata:
    """Source: https://huggingface.co/docs/transformers/main_classes/image_processor"""
    labels = config.get("id2label") or {}
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    norm = None
    if image.get("do_normalize", True) and image.get("image_mean") and image.get("image_std"):
        scale = float(image.get("rescale_factor", _UNIT)) if image.get("do_rescale", True) else 1.0
        norm = Normalisation(tuple(map(float, image["image_mean"])), tuple(map(float, image["image_std"])), scale)
    elif image.get("do_rescale") and image.get("do_normalize") is False:
        norm = Normalisation((0.0,) * 3, (1.0,) * 3, float(image.get("rescale_factor", _UNIT)))
    return FileMetadata(source="transformers" if names or norm else "", class_names=_distinct(names) if names else None, normalisation=norm)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that differ: a second one of the same spelling gets its id."""
    return tuple(name if name not in names[:index] else f"{name} ({index})" for index, name in enumerate(names))


def _parsed(text: str) -> Any:
    """JSON or a Python literal as data; any other text as it is."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
