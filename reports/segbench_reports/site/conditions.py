"""What two scores must share to stand in one table, and how two sets of conditions differ in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segbench import CellResult, ConfigError, parse_choice
from segbench_reports.text import numbers

NOT_KNOWN = "not recorded"


@dataclass(frozen=True)
class Conditions:
    """The question that a score answers.

    The same labels (``dataset`` with its options, ``split``, number of images, classes, and how many label pixels each has), put to the
    networks in the same way (``size``, ``resize``, ``views``), after the same amount of the same training data (``trained_on``,
    ``epochs``, ``train_size``, ``augmentation``, ``start``), with the checkpoint chosen on the same footing (``chosen``). How the
    optimiser was tuned (learning rate, schedule, batch size, ..) is no condition: everybody tunes a model of their own, and the table
    tells it.
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
        """The dataset without its options: what shares a page."""
        return base_name(self.dataset)

    def facts(self) -> list[tuple[str, str]]:
        """All of it for a reader."""
        images = f", {numbers.counted(self.images, 'image')}" if self.images else ""
        views = "" if self.views == "one view" else f", {self.views}"
        training = f"{self.epochs} epochs on {self.trained_on} at {self.train_size}, {self.augmentation} augmentation"
        return [
            ("scored", f"{self.dataset} {self.split}{images}, {numbers.counted(len(self.classes), 'class', 'classes')}"),
            ("input", f"{self.size} ({self.resize}{views})"),
            ("training", training if self.epochs != NOT_KNOWN else "not part of these runs"),
            *([("started from", self.start)] if self.start != "scratch or the model's own weights" else []),
            ("checkpoint", self.chosen),
        ]

    def apart_from(self, other: Conditions) -> list[str]:
        """In what these differ from others, one phrase each."""
        said = []
        for key, tell in _TOLD.items():
            own, its = getattr(self, key), getattr(other, key)
            if own != its:
                said.append(tell(own, its))
        if self.classes == other.classes and self.pixels != other.pixels and (self.split, self.images) == (other.split, other.images):
            said.append(_labels(self.pixels, other.pixels))
        return said


def conditions(cell: CellResult) -> Conditions | None:
    """Those of a cell with a score; None where it has none that could be ranked."""
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
        epochs=str(train.get("epochs") or NOT_KNOWN),
        train_size=numbers.setting(train["image_size"]) if train.get("image_size") else NOT_KNOWN,
        augmentation=str(train.get("augmentation") or NOT_KNOWN),
        start=str(train.get("init_from") or "scratch or the model's own weights"),
        chosen="chosen on the scored split itself" if quality.selected_on else "not chosen on the scored split",
    )


def base_name(dataset: str) -> str:
    """``camvid`` of ``camvid[test=true]``; the whole text where it is no name of ours.

    >>> base_name("camvid[test=true]"), base_name("<b>")
    ('camvid', '<b>')
    """
    try:
        return str(parse_choice(dataset).name)
    except ConfigError:
        return dataset


def _section(cell: CellResult, name: str) -> Mapping[str, Any]:
    found = cell.resolved.get(name)
    return found if isinstance(found, Mapping) else {}


def _views(evaluated: Mapping[str, Any]) -> str:
    """What is done to an image beside passing it once."""
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
    return lambda own, its: f"{text.format(own)} instead of {its}"


def _classes(own: tuple[str, ...], its: tuple[str, ...]) -> str:
    return f"{len(own)} classes instead of {len(its)}" if len(own) != len(its) else "other classes"


def _labels(own: tuple[int, ...], its: tuple[int, ...]) -> str:
    if not own or not its:
        return "whether the labels are the same was not recorded"
    return f"other labels: {sum(own)} label pixels instead of {sum(its)}" if sum(own) != sum(its) else "other labels"


_TOLD: dict[str, Callable[[Any, Any], str]] = {
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
    "chosen": lambda own, its: f"checkpoint {own}",
}
