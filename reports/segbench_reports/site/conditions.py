"""Conditions that scores must share to be in one table, and the differences of two sets of conditions in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segbench import AveragedClasses, CellResult, ConfigError, Quality, averaged_classes, parse_choice
from segbench_reports.text import numbers

NOT_KNOWN = "not recorded"


@dataclass(frozen=True)
class Conditions:
    """The conditions under which a score is comparable with others.

    They are the labels (``dataset`` with its options, ``split``, number of images, classes, label pixels of each class), the form of the
    input (``size``, ``resize``, ``views``), the amount and kind of training (``trained_on``, ``epochs``, ``train_size``, ``augmentation``,
    ``start``), and the selection of the checkpoint (``chosen``). The tuning of the optimiser (learning rate, schedule, batch size, ..) is
    no condition: it is a choice for each model, and the table has a column for it.
    """

    dataset: str
    split: str
    images: int | None
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    size: str
    resize: str
    views: str
    trained_on: str
    epochs: str
    train_size: str
    augmentation: str
    start: str
    chosen: str

    @property
    def page(self) -> str:
        """The dataset without its options; all its tables share a page."""
        return base_name(self.dataset)

    @property
    def averaged(self) -> AveragedClasses | None:
        """The classes that the mean is over."""
        quality = Quality(split=self.split, class_names=list(self.classes), label_pixels_per_class=list(self.pixels))
        return averaged_classes(quality) if self.pixels else None

    @property
    def over(self) -> str:
        """`` over 9 of 11 classes`` behind a score where a class has no label pixels; empty where all have."""
        return f" over {self.averaged.short}" if self.averaged and self.averaged.absent else ""

    def facts(self) -> list[tuple[str, str]]:
        """All conditions as pairs of a title and a text."""
        images = f", {numbers.counted(self.images, 'image')}" if self.images else ""
        views = "" if self.views == "one view" else f", {self.views}"
        training = f"{self.epochs} epochs on {self.trained_on} at {self.train_size}, {self.augmentation} augmentation"
        return [
            ("scored", f"{self.dataset} {self.split}{images}, {numbers.counted(len(self.classes), 'class', 'classes')}"),
            *([("mean over", self.averaged.words)] if self.averaged else []),
            ("input", f"{self.size} ({self.resize}{views})"),
            ("training", training if self.epochs != NOT_KNOWN else "not part of these runs"),
            *([("started from", self.start)] if self.start != "scratch or the model's own weights" else []),
            ("checkpoint", self.chosen),
        ]

    def apart_from(self, other: Conditions) -> list[str]:
        """Differences from other conditions, one phrase each."""
        differences = []
        for key, phrase in _PHRASES.items():
            own, others = getattr(self, key), getattr(other, key)
            if own != others:
                differences.append(phrase(own, others))
        if self.classes == other.classes and self.pixels != other.pixels and (self.split, self.images) == (other.split, other.images):
            differences.append(_labels(self.pixels, other.pixels))
        return differences


def conditions(cell: CellResult) -> Conditions | None:
    """The conditions of a cell's score; None where it has no score that could be ranked."""
    quality = cell.quality
    if quality is None or quality.miou is None:
        return None
    train, evaluated = _section(cell, "train"), _section(cell, "eval")
    size = quality.image_size or evaluated.get("image_size") or train.get("image_size")
    return Conditions(
        dataset=cell.dataset or "",
        split=quality.split,
        images=quality.images,
        classes=tuple(quality.class_names),
        pixels=tuple(quality.label_pixels_per_class),
        size=NOT_KNOWN if size is None else numbers.setting(size),
        resize=str(quality.resize or evaluated.get("resize") or NOT_KNOWN),
        views=_views(evaluated),
        trained_on=str(train.get("split") or NOT_KNOWN),
        epochs=NOT_KNOWN if train.get("epochs") is None else str(train["epochs"]),
        train_size=numbers.setting(train["image_size"]) if train.get("image_size") else NOT_KNOWN,
        augmentation=str(train.get("augmentation") or NOT_KNOWN),
        start=_start(cell, train),
        chosen="chosen on the scored split itself" if quality.selected_on else "not chosen on the scored split",
    )


def _start(cell: CellResult, train: Mapping[str, Any]) -> str:
    """What a cell's training started from, or what it was taken as."""
    if cell.training and cell.training.start_words:
        return cell.training.start_words
    return str(train.get("init_from") or "scratch or the model's own weights")


def base_name(dataset: str) -> str:
    """``camvid`` of ``camvid[test=true]``; the whole text where it cannot be parsed.

    >>> base_name("camvid[test=true]"), base_name("<b>")
    ('camvid', '<b>')
    """
    try:
        return str(parse_choice(dataset).name)
    except ConfigError:
        return dataset


def _section(cell: CellResult, name: str) -> Mapping[str, Any]:
    section = cell.resolved.get(name)
    return section if isinstance(section, Mapping) else {}


def _views(evaluated: Mapping[str, Any]) -> str:
    """The passes over an image in words: tiles, mirror image and scales."""
    parts = []
    if evaluated.get("tile"):
        parts.append(f"in tiles of {numbers.setting(evaluated['tile'])}, overlap {evaluated.get('overlap')}")
    if evaluated.get("flip"):
        parts.append("with its mirror image")
    scales = evaluated.get("scales")
    if isinstance(scales, (list, tuple)) and list(scales) not in ([1.0], [1]):
        parts.append(f"at scales {numbers.setting(list(scales))}")
    return ", ".join(parts) or "one view"


def _instead(text: str) -> Callable[[Any, Any], str]:
    return lambda own, others: f"{text.format(own)} instead of {others}"


def _classes(own: tuple[str, ...], others: tuple[str, ...]) -> str:
    return f"{len(own)} classes instead of {len(others)}" if len(own) != len(others) else "other classes"


def _labels(own: tuple[int, ...], others: tuple[int, ...]) -> str:
    if not own or not others:
        return "whether the labels are the same was not recorded"
    return f"other labels: {sum(own)} label pixels instead of {sum(others)}" if sum(own) != sum(others) else "other labels"


_PHRASES: dict[str, Callable[[Any, Any], str]] = {
    "dataset": _instead("{}"),
    "split": _instead("scored on {}"),
    "images": _instead("{} images scored"),
    "classes": _classes,
    "size": _instead("scored at {}"),
    "resize": _instead("resized by {}"),
    "views": _instead("{}"),
    "trained_on": _instead("trained on {}"),
    "epochs": _instead("{} epochs"),
    "train_size": _instead("trained at {}"),
    "augmentation": _instead("{} augmentation"),
    "start": _instead("started from {}"),
    "chosen": lambda own, others: f"checkpoint {own}",
}
