"""Problems of data: what the counts of its splits show to be wrong (error) or worth a look (warning), with the remedy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from segbench.data.census import SplitCount
from segbench.data.check_labels import Remedies, advise, describe_values
from segbench.data.near_duplicates import alike_pairs
from segbench.data.reader.facts import Colour, FileFacts
from segbench.plugin.specs import Problem, Task
from segbench.util.sequences import counted

_MOST_NAMED = 5  # samples that a message names before it counts the others
_FEW_SAMPLES = 2
_FEWEST_TRAINED = 2  # batch normalisation has no deviation of one
_MOST_COLOURS = 12
PALETTES_DISAGREE = "palettes disagree"
_NAMES_AND_NUMBERS = re.compile(r"[^\s(]*[/\\][^\s:,]*|\d+")
_MANY_OF_A_KIND = 0.1
_RANGES_APART = 16
"""Ratio between the largest values of two groups of images that shows two scales: 0 to 1 beside 0 to 255, or 8 beside 12 or 16 bits."""
_MANY_SHARED = 0.1
"""Share of a split's images that another split holds too, above which a run is refused: published datasets have a few such images."""


def advice_on_values(counts: Sequence[SplitCount], task: Task, remedies: Remedies) -> str:
    """Advice about label values outside the classes, one for all splits: a split that lacks a class would suggest another reading."""
    outside: Counter[int] = sum((count.outside for count in counts), Counter())
    seen = {value for count in counts for value in count.seen}
    return advise(outside, seen, task, remedies, ignored=any(count.ignored for count in counts)) if outside else ""


def problems_of_split(count: SplitCount, task: Task, remedies: Remedies, *, advice: str = "") -> Iterator[Problem]:
    """Problems that one split shows by itself; ``advice`` is added where label values are no class."""
    yield from _unreadable(count)
    for fault, ids in count.faults.items():
        twice = fault.startswith("holds the same")
        yield Problem(f"{list_ids(ids)} {fault}", "warning" if twice else "error", where=count.split)
    yield from _labels(count, task, advice, remedies)
    if count.samples <= _FEW_SAMPLES:
        text = f"only {counted(count.samples, 'sample')}: figures from so few say little"
        yield Problem(text, "warning", where=count.split)
    if count.constant:
        yield Problem(
            f"{list_ids(count.constant)} of a single colour: tiles without data? They count in every figure.",
            "warning",
            where=count.split,
        )
    for name, missing in count.missing.items():
        if missing:
            share = missing / count.values[name]
            yield Problem(
                f"{share:.2%} of the values of '{name}' are missing (nodata, transparent, NaN or infinite)", "warning", where=count.split
            )


def _unreadable(count: SplitCount) -> Iterator[Problem]:
    """Files that cannot be read; of those that differ in names and numbers alone the first, with the number of others."""
    kinds: dict[str, list[str]] = {}
    for text in count.unreadable.values():
        kinds.setdefault(_NAMES_AND_NUMBERS.sub("", text), []).append(text)
    for first, *others in list(kinds.values())[:_MOST_NAMED]:
        yield Problem(f"{first}{f' ({len(others)} more like it)' if others else ''}", where=count.split)
    if len(kinds) > _MOST_NAMED:
        rest = sum(map(len, list(kinds.values())[_MOST_NAMED:]))
        yield Problem(f"and {counted(rest, 'more sample')} that cannot be read", where=count.split)


def _labels(count: SplitCount, task: Task, advice: str, remedies: Remedies) -> Iterator[Problem]:
    if count.outside:
        holders = list(dict.fromkeys(name for names in count.holders.values() for name in names))
        yield Problem(
            f"label value {describe_values(count.outside)} in {list_ids(holders)}, but ids 0 to {task.num_classes - 1} are classes and "
            f"{task.ignore_index} is ignored. {advice}".rstrip(),
            where=count.split,
        )
    empty = [name for index, name in enumerate(task.class_names) if not count.class_pixels[index]]
    if empty and not count.outside and len(count.unreadable) < count.read:
        text = f"no label pixel of {', '.join(empty)}: {'it has' if len(empty) == 1 else 'they have'} no IoU here"
        yield Problem(text, "warning", where=count.split)
    if count.ignored > count.pixels / 2:
        yield Problem(
            f"{count.ignored / count.pixels:.0%} of the pixels are ignored (label value {task.ignore_index}, or no data in the mask). "
            "If this value is a class, give every value its class (value_map), or declare another ignore index."
            + remedies.note("value_map", "ignore"),
            "warning",
            where=count.split,
        )
    if count.unlabelled:
        yield Problem(f"{list_ids(count.unlabelled)} without a single labelled pixel", "warning", where=count.split)


def problems_of_training(train: SplitCount | None, task: Task, remedies: Remedies, *, declared: bool = False) -> Iterator[Problem]:
    """A training split of a single sample, or with labels of a single class, from which nothing can be learnt.

    ``declared``: the options give values or colours their classes, so that labels are not the numbers that masks store.
    """
    if train is not None and train.samples < _FEWEST_TRAINED:
        yield Problem(f"{counted(train.samples, 'sample')}: training needs at least {_FEWEST_TRAINED}", where=train.split)
    if train is None or train.outside or not train.read or len(train.unreadable) == train.read:
        return
    seen = [index for index in range(task.num_classes) if train.class_pixels[index]]
    if len(seen) > 1:
        return
    if not seen:
        cause = _ignored_by_files(train)
        text = f". {_remedy_of_ignored(train, cause)}" if cause else ""
        yield Problem(f"no labelled pixel at all: nothing can be learnt from it{text}", where=train.split)
        return
    remedy = _remedy_of_one_class(train, seen[0], task, remedies, declared=declared)
    yield Problem(f"labels of one class only ({task.class_names[seen[0]]}): nothing can be learnt from it. {remedy}", where=train.split)


def _ignored_by_files(train: SplitCount) -> FileFacts | None:
    """A mask of those whose files mark most of what is ignored as no data (nodata, alpha, NaN); None where label values do."""
    masks = [facts for facts in train.facts if facts.role == "mask" and facts.missing]
    missing = sum(facts.missing * facts.size[0] * facts.size[1] for facts in masks)
    return masks[0] if masks and train.ignored / 2 <= missing <= train.ignored * 1.01 else None


def _remedy_of_ignored(train: SplitCount, mask: FileFacts) -> str:
    """What to do about pixels that the masks' files mark as no data."""
    share = f"{train.ignored / train.pixels:.1%}"
    if mask.nodata is not None:
        return f"The masks declare {mask.nodata:g} as nodata, so {share} of the pixels are ignored. If it is a class, "
    if mask.alpha:
        return (
            f"{share} of the pixels are transparent in the masks ({mask.path.name}), so they are ignored. If the transparency is the mask, "
            "save it as a grey picture; if it means nothing, save the masks without it."
        )
    return f"{share} of the pixels are NaN in the masks ({mask.path.name}), so they are ignored. If they are a class, write its id there."


def _remedy_of_one_class(train: SplitCount, seen: int, task: Task, remedies: Remedies, *, declared: bool) -> str:
    mask = _ignored_by_files(train)
    if mask is not None:
        text = _remedy_of_ignored(train, mask)
        if mask.nodata is None:
            return text
        if declared or task.num_classes > 2 or not mask.nodata.is_integer():  # which class it is, the numbers do not tell
            return f"{text}say which: a rule of value_map that names the value ('*' does not), or its colour.{remedies.note('value_map')}"
        rest = "" if mask.nodata == task.ignore_index else f",{task.ignore_index}:ignore"
        return f'{text}say so: value_map="{seen}:{seen},{int(mask.nodata)}:{1 - seen}{rest}".{remedies.note("value_map")}'
    if train.ignored and seen == 0 and task.num_classes == 2 and not declared:
        return (
            f"{train.ignored / train.pixels:.1%} of the pixels are ignored, for they hold {task.ignore_index}. If the masks are 0 and "
            f'{task.ignore_index} for {task.class_names[0]} and {task.class_names[1]}, say so: value_map="0:0,{task.ignore_index}:1".'
            + remedies.note("value_map")
        )
    if train.ignored:
        return f"{train.ignored / train.pixels:.1%} of the pixels are ignored (label value {task.ignore_index}): is this value a class?"
    return "Are the masks those of these images, and is the class that you look for in the list of classes?"


def problems_of_masks(counts: Sequence[SplitCount], task: Task, remedies: Remedies, *, declared: bool = False) -> Iterator[Problem]:
    """Masks that write one class in two ways: by 1 and by 255, or by one palette index in several colours.

    ``declared``: the options give each value its class, so that 1 and 255 are what they are declared to be. A dataset without the option
    ``value_map`` knows its own labels: two kinds of masks are a warning there.
    """
    zero = [name for count in counts for name in count.only_zero]
    ones = [name for count in counts for name in count.without_ignored]
    if not declared and _two_kinds(counts, task):
        yield Problem(
            f"two kinds of masks: {counted(len(ones), 'mask')} of 0 and 1 ({ones[0]}), {counted(len(zero), 'mask')} of 0 and "
            f"{task.ignore_index}, which is ignored ({zero[0]}). If both numbers mean {task.class_names[1]}, say so: "
            f'value_map="0:0,1:1,{task.ignore_index}:1"; if {task.ignore_index} is unlabelled: '
            f'value_map="0:0,1:1,{task.ignore_index}:ignore".{remedies.note("value_map")}',
            "error" if "value_map" in remedies else "warning",
        )
    masks = [facts for count in counts for facts in count.facts if facts.role == "mask"]
    yield from _palette_conflict([facts for facts in masks if facts.palette is not None], task, remedies)
    yield from _colour_twice([facts for facts in masks if facts.palette is not None], task)
    inverted = [facts for facts in masks if facts.inverted]
    if inverted and len(inverted) < len(masks):
        yield Problem(
            f"{counted(len(inverted), 'mask')} of {len(masks)} store white as 0 ({inverted[0].path.name}); their numbers are taken as "
            "stored. Are classes the same in all?",
            "warning",
        )
    turned = [facts for facts in masks if facts.orientation != 1]
    if turned:
        yield Problem(
            f"{counted(len(turned), 'mask')} with an orientation tag ({turned[0].path.name}: EXIF {turned[0].orientation}), which is "
            "applied to images but never to masks. Where viewers show the mask upright, save it so, without the tag (segbench data preview "
            "shows how image and mask lie).",
            "warning",
        )


def _two_kinds(counts: Sequence[SplitCount], task: Task) -> bool:
    """True where masks of 0 and 1 lie beside masks of 0 and the ignore index: a tenth of all, or all of a split that has any object."""
    zero, ones = (sum(map(len, kind)) for kind in ([c.only_zero for c in counts], [c.without_ignored for c in counts]))
    if task.num_classes != 2 or not zero or not ones or any(count.with_both for count in counts):
        return False
    return zero >= _MANY_OF_A_KIND * ones or any(count.only_zero and not count.without_ignored for count in counts)


def _palette_conflict(masks: Sequence[FileFacts], task: Task, remedies: Remedies) -> Iterator[Problem]:
    first: dict[int, tuple[Colour, FileFacts]] = {}
    for facts in masks:
        for index, colour in facts.palette or ():
            known, holder = first.setdefault(index, (colour, facts))
            if known == colour or index == task.ignore_index:
                continue
            colours = list(dict.fromkeys(c for one in masks for _, c in one.palette or ()))
            form = ",".join(f"{name}:R G B" for name in task.class_names[:2]) + (",.." if task.num_classes > 2 else "")
            yield Problem(
                f"{PALETTES_DISAGREE}: index {index} is {_colour(known)} in {holder.path.name} and {_colour(colour)} in {facts.path.name}. "
                f'If the colours tell the classes, read them instead of the indices: colours="{form}", with the colour of each class. '
                f"Colours here: {', '.join(map(_colour, colours[:_MOST_COLOURS]))}. If the indices tell the classes, save the masks "
                f"without palettes.{remedies.note('colours')}"
            )
            return


def _colour_twice(masks: Sequence[FileFacts], task: Task) -> Iterator[Problem]:
    """One colour under two indices, as palettes of painting tools have it; palettes of a single colour say nothing and are left out."""
    for facts in masks:
        entries = [(index, colour) for index, colour in facts.palette or () if index != task.ignore_index]
        if len({colour for _, colour in entries}) < 2:
            continue
        first: dict[Colour, int] = {}
        for index, colour in entries:
            if first.setdefault(colour, index) != index:
                yield Problem(
                    f"in {facts.path.name} the indices {first[colour]} and {index} have one colour, {_colour(colour)}: a person sees one "
                    "class where two are scored. Which is meant?",
                    "warning",
                )
                return


def _colour(colour: Colour) -> str:
    return f"({colour[0]}, {colour[1]}, {colour[2]})"


def problems_between_splits(
    counts: Sequence[SplitCount], train: SplitCount | None, unions: Mapping[str, Sequence[str]], task: Task, remedies: Remedies
) -> Iterator[Problem]:
    """Images that two splits share, exactly or nearly, and classes that are scored but not in the training split."""
    for position, first in enumerate(counts):
        for second in counts[position + 1 :]:
            if first.split in unions.get(second.split, ()) or second.split in unions.get(first.split, ()):
                continue
            yield from _shared(first, second)
            yield from _alike(first, second, remedies)
    for count in counts:
        if train is None or count is train or not train.class_pixels.total():
            continue
        unseen = [n for i, n in enumerate(task.class_names) if count.class_pixels[i] and not train.class_pixels[i]]
        if unseen:
            text = f"{', '.join(unseen)} in '{count.split}' cannot be learnt: '{train.split}' has no pixel of it"
            yield Problem(text, "warning", where=count.split)


def problems_between_folds(counts: Sequence[SplitCount], scenes: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    """Images that look like images of another scene: folds keep scenes whole, so that one may be trained on and the other scored.

    ``scenes`` maps split and sample id to the scene; a sample without one is a scene by itself.
    """
    names = [id for count in counts for id in count.ids]
    of_sample = [scenes.get(count.split, {}).get(id, f"{count.split}/{id}") for count in counts for id in count.ids]
    structures = [one for count in counts for one in count.structures]
    pairs = [f"{names[pair.second]} ~ {names[pair.first]}" for pair in alike_pairs(structures, structures, of_sample)]
    if pairs:
        yield Problem(
            f"{counted(len(pairs), 'image')} look like images of other scenes, copied, mirrored or turned: {list_ids(pairs)}. They may "
            "come into different folds, and scores would be too good. Remove them, or name what belongs together as one scene.",
            "warning",
        )


def _shared(first: SplitCount, second: SplitCount) -> Iterator[Problem]:
    shared = [f"{first.contents[d]} = {second.contents[d]}" for d in first.contents if d in second.contents]
    if shared:
        many = len(shared) > _MANY_SHARED * min(len(first.contents), len(second.contents))
        yield Problem(
            f"splits '{first.split}' and '{second.split}' share {counted(len(shared), 'image')}: {list_ids(shared)}. "
            "Scores would be too good: remove them from one of the two.",
            "error" if many else "warning",
            where=second.split,
        )


def _alike(first: SplitCount, second: SplitCount, remedies: Remedies) -> Iterator[Problem]:
    same = set(first.contents) & set(second.contents)
    exact = {second.contents[digest] for digest in same}
    pairs = [pair for pair in alike_pairs(first.structures, second.structures) if second.ids[pair.second] not in exact]
    if pairs:
        names = [f"{second.ids[pair.second]} ~ {first.ids[pair.first]}" for pair in pairs]
        remedy = ' Keep what belongs together in one split: group="PATTERN" names the scene in file names.' if "group" in remedies else ""
        yield Problem(
            f"{counted(len(pairs), 'image')} of '{second.split}' look like images of '{first.split}', copied, mirrored or turned: "
            f"{list_ids(names)}. Scores would be too good.{remedy}",
            "warning",
            where=second.split,
        )


def problems_of_dtypes(counts: Sequence[SplitCount]) -> Iterator[Problem]:
    """Inputs whose files store numbers in different ways, so that the same brightness is another number."""
    totals: dict[str, Counter[str]] = {}
    for count in counts:
        for name, dtypes in count.dtypes.items():
            totals.setdefault(name, Counter()).update({_family(dtype): images for dtype, images in dtypes.items()})
    for name, dtypes in totals.items():
        if len(dtypes) > 1:
            kinds = ", ".join(f"{dtype} ({counted(images, 'image')})" for dtype, images in dtypes.most_common())
            yield Problem(
                f"'{name}' is stored in several ways: {kinds}. If the same brightness is another number, convert them to one.", "warning"
            )


def problems_of_ranges(count: SplitCount) -> Iterator[Problem]:
    """Images of one split in two scales, such as 0 to 1 and 0 to 255, where no image lies between. Constant pictures are left out."""
    for name, extremes in count.extremes.items():
        if len({_family(dtype) for dtype in count.dtypes[name]}) > 1:
            continue  # named by the dtypes already
        ordered = sorted(extremes)
        gaps = [i for i in range(1, len(ordered)) if ordered[i][0] > _RANGES_APART * ordered[i - 1][0]]
        least = max(2, _MANY_OF_A_KIND * len(ordered))
        gap = next((i for i in gaps if least <= i <= len(ordered) - least), None)
        if gap is not None:
            (low, small), (high, large) = ordered[gap - 1], ordered[gap]
            yield Problem(
                f"'{name}' has two scales: values up to {low:g} in {counted(gap, 'image')} ({small}), from {high:g} up in "
                f"{len(ordered) - gap} ({large}). If the same brightness is another number, convert them to one.",
                "warning",
                where=count.split,
            )


def problems_of_undeclared(count: SplitCount) -> Iterator[Problem]:
    """Usual marks of missing pixels that files do not declare, so that they are trained on as values."""
    for name, marks in count.undeclared.items():
        for value, ids in marks.items():
            yield Problem(
                f"the lowest value of '{name}' is {value:g} in {list_ids(ids)}: a usual mark of missing pixels, which the files do not "
                f"declare, so it counts as a value. If it is a mark, declare it: gdal_edit.py -a_nodata {value:.17g} FILE (arrays: NaN).",
                "warning",
                where=count.split,
            )


def _family(dtype: str) -> str:
    return {"float64": "float32", "uint1": "uint8", "uint2": "uint8", "uint4": "uint8"}.get(dtype, dtype)


def list_ids(ids: Sequence[str]) -> str:
    """Names in a message: the first few, and how many more."""
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more
