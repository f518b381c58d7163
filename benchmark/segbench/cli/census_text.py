"""The census of a dataset as lines of text, for ``segbench data check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from segbench.util.sequences import counted

if TYPE_CHECKING:
    from segbench.data.census import SplitStatistics
    from segbench.data.check import Unused
    from segbench.plugin.specs import Task

_MOST_GROUPS = 12
_MOST_SIZES = 3


def split_lines(split: SplitStatistics) -> Iterator[str]:
    """Figures of one split: samples, sizes, and for each input how it is stored."""
    files = f" ({counted(split.files, 'file')})" if split.files else ""
    yield f"{split.split}: {counted(split.samples, 'sample')}{files}{_sizes(split)}"
    for name, dtypes in split.dtypes.items():
        low, high = split.ranges.get(name, (None, None))
        values = f", values {low:g} to {high:g}" if low is not None else ""
        stored = ", ".join(dtypes) if len(dtypes) == 1 else ", ".join(f"{dtype} ({count})" for dtype, count in dtypes.items())
        missing = f", {split.missing_share[name]:.3%} of the values missing" if split.missing_share.get(name) else ""
        yield f"  {name}: {stored}{values}{missing}"
    if split.orientations:
        tags = ", ".join(f"{tag} ({counted(count, 'image')})" for tag, count in split.orientations.items())
        yield f"  orientation tags: {tags}; applied to the images, not to the masks"
    if split.nodata_share:
        yield f"  no data: {split.nodata_share:.3%} of the image pixels"
    if split.pages:
        yield "  pages in a file: " + ", ".join(f"{pages} ({counted(count, 'file')})" for pages, count in split.pages.items())
    if split.palettes:
        yield f"  masks with colours: {counted(split.palettes, 'palette')}{'' if split.palettes == 1 else ' that differ'}"


def _sizes(split: SplitStatistics) -> str:
    sizes = sorted(split.sizes.items(), key=lambda item: -item[1])
    if not sizes:
        return ""
    if len(sizes) == 1:
        return f", all {sizes[0][0]} (height x width)"
    more = f" and {counted(len(sizes) - _MOST_SIZES, 'more size')}" if len(sizes) > _MOST_SIZES else ""
    return f", height x width {', '.join(f'{size} ({count})' for size, count in sizes[:_MOST_SIZES])}{more}"


def class_lines(splits: Sequence[SplitStatistics], task: Task) -> Iterator[str]:
    """A table: for each class and split its share of the labelled pixels and of the samples, and last what is ignored."""
    counted_splits = [split for split in splits if split.ignored_share is not None]
    if not counted_splits:
        return
    rows = [["", *(split.split for split in counted_splits)]]
    rows += [[name, *(_class_cell(split, index) for split in counted_splits)] for index, name in enumerate(task.class_names)]
    if any(split.ignored_share for split in counted_splits):
        rows.append(["(ignored)", *(f"{split.ignored_share:.3%}       " for split in counted_splits)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield "classes: share of the labelled pixels, and of the samples that have the class"
    for first, *rest in rows:
        cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"  {first:<{widths[0]}}  {cells}".rstrip()


def _class_cell(split: SplitStatistics, index: int) -> str:
    if not split.class_pixels[index]:
        return "none" + " " * 7
    read = split.read - split.unreadable
    return f"{split.class_shares[index]:.3%}  {split.class_samples[index] / read:>5.0%}"


def unused_lines(unused: Sequence[Unused]) -> Iterator[str]:
    """Files that no split uses, by folder and reason, with one of each as an example."""
    if unused:
        yield f"not used: {counted(sum(group.count for group in unused), 'file')}"
    for group in unused[:_MOST_GROUPS]:
        example = f"{'' if group.where == '.' else group.where + '/'}{group.example}"
        files = example if group.count == 1 else f"{counted(group.count, 'file')} such as {example}"
        yield f"  {files} ({group.reason})"
    if len(unused) > _MOST_GROUPS:
        yield f"  and {counted(len(unused) - _MOST_GROUPS, 'more group')} (--json has all)"
