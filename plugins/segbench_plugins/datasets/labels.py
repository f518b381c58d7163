"""Labels of a ``folder`` dataset: stored mask values or colours as class ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segbench import DataError, OptionError, counted
from segbench_plugins.datasets import FolderOptions
from segbench_plugins.datasets.class_tables import PALETTE, ClassTable, Colour
from segbench_plugins.datasets.files import Array
from segbench_plugins.datasets.value_map import ValueMap, describe_values, parse_value_map


@dataclass(frozen=True)
class LabelRules:
    """The rules by which stored values become class ids. ``colours`` are applied by the reader, so that values are ids already.

    ``named`` are the stored values that mean a class: they are labels also where a file declares them as nodata (many tools do, with 0).
    """

    ignore_index: int
    void: tuple[int, ...] = ()
    value_map: ValueMap | None = None
    reduce_zero: bool = False
    colours: Mapping[Colour, int] | None = None
    named: frozenset[int] = frozenset()

    def apply(self, values: Array, path: Path) -> Array:
        """Class ids int64 (H, W) of stored values; raises :class:`DataError` for values that a map does not name."""
        if self.value_map:
            return self.value_map.apply(values, path)
        labels: Array = values.astype(np.int64)
        for value in self.void:
            labels[labels == value] = self.ignore_index
        if self.reduce_zero:
            labels = np.where(labels == self.ignore_index, self.ignore_index, labels - 1)
            labels[labels == -1] = self.ignore_index
        return labels


def label_rules(options: FolderOptions, table: ClassTable) -> LabelRules:
    """The rules that the options declare; raises :class:`OptionError` where two of them would decide one label."""
    ways = [name for name in ("colours", "value_map", "reduce_zero") if getattr(options, name)]
    if len(ways) > 1:
        raise OptionError(
            f"folder: {' and '.join(ways)} both say which class a label is: keep one. With colours, several colours may have one name; "
            'what reduce_zero does, value_map="0:ignore,1-150:-1" says for 150 classes.'
        )
    rules = value_rules(options.value_map, options.ignore, num_classes=len(table.names))
    named = frozenset(rules.value_map.rules if rules.value_map else () if table.colours else range(len(table.names)))
    return replace(rules, reduce_zero=options.reduce_zero, colours=table.colours or None, named=named)


def value_rules(value_map: str, ignore: int | tuple[int, ...], *, num_classes: int) -> LabelRules:
    """The rules of the options ``value_map`` and ``ignore`` alone."""
    ignore_index, *more = ignored_values(ignore)
    void = (ignore_index, *more) if more else ()
    parsed = parse_value_map(value_map, num_classes=num_classes, ignore=ignore_index, void=void)
    return LabelRules(ignore_index=ignore_index, void=tuple(more), value_map=parsed)


def ignored_values(ignore: int | tuple[int, ...]) -> tuple[int, ...]:
    """Mask values that do not count; the first is the task's ignore index."""
    return (ignore,) if isinstance(ignore, int) else ignore


def unite(labels: Sequence[Array], paths: Sequence[Path], *, ignore_index: int) -> Array:
    """One label (H, W) of several masks of one image: class 0 is ground, on which the others lie.

    Where any mask has a class, that is the label; where none has and one is ignored, the pixel is ignored. Raises :class:`DataError` where
    two masks have different classes on one pixel, or different sizes.
    """
    result: Array = labels[0].copy()
    for label, path in zip(labels[1:], paths[1:], strict=True):
        if label.shape != result.shape:
            raise DataError(f"{paths[0]} and {path} are masks of one image, but their sizes differ: {result.shape} and {label.shape}.")
        drawn = (label != 0) & (label != ignore_index)
        clash = drawn & (result != 0) & (result != ignore_index) & (result != label)
        if clash.any():
            classes = describe_values(sorted({int(value) for value in (*label[clash], *result[clash])}))
            raise DataError(
                f"{paths[0]} and {path} are masks of one image, with {classes} in the same {counted(int(clash.sum()), 'pixel')}: "
                "which counts? Several masks per image need classes that do not overlap. Merge them into one file."
            )
        result[drawn] = label[drawn]
        result[(label == ignore_index) & (result == 0)] = ignore_index
    return result


def palette_table(names: Sequence[str], colours: Sequence[Colour]) -> dict[Colour, int]:
    """Ids of the colours that masks are seen to have, for ``colours=palette``: black is the first of two classes, the other the second.

    Raises :class:`DataError` with the table to type where that does not decide it.
    """
    black = (0, 0, 0)
    if len(names) == 2 and len(colours) == 2 and black in colours:
        other = next(colour for colour in colours if colour != black)
        return {black: 0, other: 1}
    listed = ",".join(
        f"{name}:{' '.join(map(str, colour))}" for name, colour in zip([*names, *["ignore"] * len(colours)], colours, strict=False)
    )
    shown = "; ".join(" ".join(map(str, colour)) for colour in colours[:8])
    raise DataError(
        f"colours={PALETTE}: masks have {counted(len(colours), 'colour')} ({shown}) for "
        f'{len(names)} classes, and only black and one other say by themselves which class they are. Write the table: colours="{listed}" '
        "with each name before its own colour."
    )
