"""The description of its network and training that a checkpoint carries, read without the weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from segbench.errors import CheckpointError, PluginError
from segbench.networks.file_format import foreign_format
from segbench.plugin.chosen import PartRecord
from segbench.plugin.inputs import InputPlan
from segbench.plugin.options import Options
from segbench.plugin.specs import Normalisation, Task
from segbench.util.image_size import Size
from segbench.util.value_range import ValueRange

FOREIGN_WEIGHTS = (
    "Weights from elsewhere are scored with 'segbench run --models MODEL --weights MODEL=FILE --epochs 0', and used like a cell's then."
)
_NO_DOWNLOAD = {"pretrained": False, "weights": None}
_LEFT_OUT_TOGETHER = {"model_parts": (), "train_split": ("select_on",), "epoch": ("val_miou",), "value_ranges": (), "as_given": ()}
"""Keys that a file lacks where they are None, with those that it lacks beside them."""


@dataclass(frozen=True, kw_only=True)
class CheckpointMeta:
    """The ``meta`` of a checkpoint: model, options, task, input plan and normalisation, image size (height, width), training.

    ``train_split`` and ``value_ranges`` (of the training split, by input) are None in files that were written before they were recorded,
    ``epoch`` where no epoch was trained. ``as_given``: the weights came from elsewhere, what is None of their
    training is unknown.
    """

    model: str
    model_name: str
    model_options: Mapping[str, Any]
    model_parts: Sequence[PartRecord] | None = None
    model_plugin: str = ""
    loss: str | None = None
    task: Task
    model_task: Task
    plan: InputPlan
    image_size: Size
    seed: int
    dataset: str | None = None
    train_split: str | None = None
    select_on: str | None = None
    epoch: int | None = None
    val_miou: float | None = None
    value_ranges: Mapping[str, ValueRange] | None = None
    as_given: bool | None = None
    further: Mapping[str, object] = field(default_factory=dict)
    """keys of other versions"""

    def to_dict(self) -> dict[str, Any]:
        """The content as a checkpoint holds it."""
        values = asdict(self)
        values.update(values.pop("further"))
        for key, beside in _LEFT_OUT_TOGETHER.items():
            if values[key] is None:
                for name in (key, *beside):
                    del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckpointMeta:
        """The content that :meth:`to_dict` wrote, also after a round trip through JSON."""
        known = {each.name for each in fields(cls)} - {"further"}
        height, width = values["image_size"]
        parsed = {
            "task": _task(values["task"]),
            "model_task": _task(values["model_task"]),
            "plan": _plan(values["plan"]),
            "image_size": (int(height), int(width)),
            "seed": int(values["seed"]),
            "value_ranges": parse_ranges(values.get("value_ranges")),
            "further": {key: value for key, value in values.items() if key not in known},
        }
        return cls(**{**{key: value for key, value in values.items() if key in known}, **parsed})


def parse_meta(values: Mapping[str, Any], source: Path | str) -> CheckpointMeta | None:
    """The ``meta`` of the checkpoint ``source``; None where it does not say which model it is of.

    Raises :class:`CheckpointError` for one that is damaged.
    """
    if "model_name" not in values:
        return None
    try:
        return CheckpointMeta.from_dict(values)
    except (LookupError, TypeError, ValueError, AttributeError, PluginError) as error:
        raise CheckpointError(f"{source} does not describe its model in full ({type(error).__name__}: {error})") from error


def read_meta(path: Path) -> CheckpointMeta:
    """The ``meta`` of a checkpoint of segbench. Raises :class:`CheckpointError` for any other file."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read(path: Path, modified: int) -> CheckpointMeta:
    from segbench.util.compat import require_torch

    require_torch()
    import torch

    try:
        # weights stay on disk
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        values = dict(content["meta"])
    except Exception as error:  # torch.load may raise anything for a file that is no checkpoint
        raise CheckpointError(f"'{path.name}' is no checkpoint of segbench, or damaged. {FOREIGN_WEIGHTS}") from error
    meta = parse_meta(values, f"'{path.name}'")
    if meta is None:
        raise CheckpointError(f"'{path.name}' does not say which model it is of: it was not written by segbench. {FOREIGN_WEIGHTS}")
    return meta


def require_weights(path: Path, what: str) -> None:
    """Raise :class:`CheckpointError` for a file that is seen to hold no weights; only its beginning is read."""
    if reason := foreign_format(path):
        raise CheckpointError(f"{what}: '{path}' holds no weights. Give RUN/CELL, a checkpoint (.pt) or a .safetensors file; {reason}")


def without_download(options: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded options, except that no pretrained weights are fetched only to be overwritten."""
    stored = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
    return {**stored, **{name: value for name, value in _NO_DOWNLOAD.items() if name in stored}}


def options_without_download(options: Options) -> Options:
    """The same as :func:`without_download` for options that are resolved."""
    return type(options).resolve(without_download(options.values()))


def parse_ranges(values: Mapping[str, Any] | None) -> dict[str, ValueRange] | None:
    """Value ranges by input, as files hold them."""
    return None if values is None else {name: ValueRange(**one) for name, one in values.items()}


def _task(values: Mapping[str, Any]) -> Task:
    return Task(
        class_names=tuple(values["class_names"]),
        inputs=dict(values["inputs"]),
        ignore_index=values["ignore_index"],
        normalisation=_normalisations(values["normalisation"]),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in values["palette"]),
        headline=values["headline"],
        rgb=tuple(values["rgb"]),
    )


def _plan(values: Mapping[str, Any]) -> InputPlan:
    return InputPlan(
        groups=tuple(tuple(group) for group in values["groups"]),
        channels=tuple(values["channels"]),
        normalisation=_normalisations(values["normalisation"]),
        early_fusion=values["early_fusion"],
    )


def _normalisations(values: Mapping[str, Any]) -> dict[str, Normalisation]:
    return {name: Normalisation(tuple(v["mean"]), tuple(v["std"]), v["scale"]) for name, v in values.items()}
