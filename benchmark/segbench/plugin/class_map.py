"""Class map: which class of a network stands for which class of a dataset, by name or as the user says."""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.errors import ConfigError, did_you_mean
from segbench.results.scored_classes import NO_COUNTERPART
from segbench.util.sequences import counted

IGNORE = "ignore"

Pair = tuple[str | None, str | None]
"""A class of the network and one of the dataset; None stands for the word ``ignore``."""

_FORM = (
    'Write NETWORK:DATASET pairs, as in --class-map "sky:background,car:vehicle", or a FILE with a pair in each line. NETWORK:ignore: '
    "pixels predicted as that class count as wrong. ignore:DATASET: pixels labelled so do not count."
)
_SHOWN = 8
_PART = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^",:]*))\s*(?P<end>[:,]|$)')


@dataclass(frozen=True)
class ClassMap:
    """From the classes of a network to those of a dataset; several may become one.

    targets  for each class of the network the index of the dataset's class; None where it has no counterpart: what is predicted as
             such a class is wrong, so it counts as a missed pixel of its true class, and as a false one of no class
    ignored  indices of the dataset's classes whose labels do not count, so that they have no IoU
    """

    network: tuple[str, ...]
    dataset: tuple[str, ...]
    targets: tuple[int | None, ...]
    ignored: tuple[int, ...] = ()

    @property
    def is_identity(self) -> bool:
        """True where nothing is to be changed."""
        return self.network == self.dataset and self.targets == tuple(range(len(self.dataset))) and not self.ignored

    @property
    def is_order(self) -> bool:
        """True where the classes are the same and only their order differs."""
        return not self.ignored and [self.dataset[index] for index in self.targets if index is not None] == list(self.network)

    @property
    def merges(self) -> bool:
        """True where several classes of the network become one."""
        reached = [index for index in self.targets if index is not None]
        return len(set(reached)) < len(reached)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The scored classes: the dataset's, and one for predictions without counterpart where there may be such."""
        return (*self.dataset, NO_COUNTERPART) if None in self.targets else self.dataset

    @property
    def prediction_ids(self) -> tuple[int, ...]:
        """For each class of the network its index in :attr:`class_names`."""
        return tuple(len(self.dataset) if index is None else index for index in self.targets)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The network's classes, those that become one together, each group where its first class is.

        Classes without counterpart are not one class: each is a group of its own.
        """
        groups: dict[int, list[int]] = {}
        for index, target in enumerate(self.targets):
            groups.setdefault(-1 - index if target is None else target, []).append(index)
        return tuple(map(tuple, groups.values()))

    @property
    def text(self) -> str:
        """All pairs in one line."""
        pairs: list[Pair] = [(name, None if to is None else self.dataset[to]) for name, to in zip(self.network, self.targets, strict=True)]
        return format_class_map([*pairs, *((None, self.dataset[index]) for index in self.ignored)])

    def notes(self, *, of_masks: bool = False) -> tuple[str, ...]:
        """What was mapped, and what follows for the scores, in sentences for a result's row: of a network, or of masks that are there."""
        if self.is_identity or self.is_order:
            return self._order_notes("masks hold" if of_masks else "the network has")
        notes = [f"scored by a class map: {self._renamed()}"]
        if self._without_counterpart:
            notes.append(f"what is predicted as {_some(self._without_counterpart)} counts as wrong: the class map names no class for it")
        if self.ignored:
            notes.append(f"labels of {_some([self.dataset[index] for index in self.ignored])} do not count, by the class map: no IoU")
        if self.merges:
            notes.append(
                "pixels of classes that become one were put together: masks hold no probabilities that could be summed"
                if of_masks
                else "the probabilities of classes that become one were summed before the highest was chosen"
            )
        return tuple(notes)

    def prediction_notes(self) -> tuple[str, ...]:
        """What was mapped, in sentences for predictions."""
        if self.is_identity or self.is_order:
            return self._order_notes()
        without = [f"what is predicted as {_some(self._without_counterpart)} gets the ignore index"] if self._without_counterpart else []
        return (f"class map: {self._renamed()}", *without)

    def _order_notes(self, subject: str = "the network has") -> tuple[str, ...]:
        moved = f"classes were matched by name: {subject} them in another order than the dataset"
        return () if self.is_identity else (moved,)

    @property
    def _without_counterpart(self) -> list[str]:
        return [name for name, index in zip(self.network, self.targets, strict=True) if index is None]

    def _renamed(self) -> str:
        pairs = [(name, self.dataset[to]) for name, to in zip(self.network, self.targets, strict=True) if to is not None]
        return _some([f"{name} to {to}" for name, to in pairs if name != to]) or "equal names stand for each other"


def match_classes(network: Sequence[str], dataset: Sequence[str], text: str | None = None, *, source: str, target: str) -> ClassMap:
    """The class map from a network's class names to a dataset's; ``source`` and ``target`` name both in messages.

    Equal names stand for each other, in whatever order; the pairs of ``text`` (:func:`parse_class_map`) come first. Raises
    :class:`ConfigError`, with a map to type, where a class of either side is left without an answer.
    """
    rules, ignored = _rules(parse_class_map(text) if text else (), network, dataset, source, target)
    named = {name: rules.get(name, name if name in dataset else None) for name in network}
    unsaid = [name for name in network if name not in rules and named[name] is None]
    reached = {name for name in named.values() if name is not None}
    unreached = [name for name in dataset if name not in reached and name not in ignored]
    if unsaid or unreached:
        raise ConfigError(_refusal(network, rules, ignored, unsaid, unreached, source, target))
    if reached <= ignored:
        raise ConfigError(f"class map: no class of {source} stands for one of {target} that counts, so there is nothing to score. {_FORM}")
    index = {name: place for place, name in enumerate(dataset)}
    targets = tuple(None if to is None else index[to] for to in named.values())
    return ClassMap(tuple(network), tuple(dataset), targets, tuple(index[name] for name in dataset if name in ignored))


def class_map_text(value: str) -> str:
    """A class map as one line: the pairs of an inline map, or of the file that is named. Raises :class:`ConfigError`.

    >>> class_map_text('sky : background, "a,b":ignore')
    'sky:background,"a,b":ignore'
    """
    return format_class_map(_read(value))


def parse_class_map(text: str) -> tuple[Pair, ...]:
    """Pairs of one line; a name with a comma, a colon or quotes, or one that is ``ignore`` itself, stands in double quotes.

    >>> parse_class_map("sky:background,car:ignore")
    (('sky', 'background'), ('car', None))
    """
    parts: list[tuple[str | None, str]] = []
    place = 0
    while place < len(text):
        part = _PART.match(text, place)
        if part is None:
            raise ConfigError(f"class map '{text}': cannot read '{text[place:]}'. {_FORM}")
        parts.append((_name(part), part["end"]))
        place = part.end()
    pairs = []
    for (left, colon), (right, end) in zip(parts[::2], parts[1::2], strict=False):
        if colon != ":" or end == ":":
            raise ConfigError(f"class map '{text}': '{left or IGNORE}' is not part of a NETWORK:DATASET pair. {_FORM}")
        pairs.append(_pair(left, right, text))
    if len(parts) % 2 or not pairs:
        raise ConfigError(f"class map '{text}' is not made of NETWORK:DATASET pairs. {_FORM}")
    return tuple(pairs)


def format_class_map(pairs: Sequence[Pair]) -> str:
    """The line that :func:`parse_class_map` reads."""
    return ",".join(f"{_quoted(left)}:{_quoted(right)}" for left, right in pairs)


def _read(value: str) -> tuple[Pair, ...]:
    path = Path(value)
    if not _is_file(path):
        if ":" not in value:
            raise ConfigError(f"class map '{value}': there is no such file, and it holds no pairs. {_FORM}")
        return parse_class_map(value)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"class map '{path}' cannot be read as text: {error}") from None
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    pairs = _csv_pairs(path, lines) if path.suffix.lower() == ".csv" else [pair for line in lines for pair in parse_class_map(line)]
    if not pairs:
        raise ConfigError(f"class map '{path}' is empty. {_FORM}")
    return tuple(pairs)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a path may be
        return False


def _csv_pairs(path: Path, lines: Sequence[str]) -> list[Pair]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    if rows and [cell.lower() for cell in rows[0]] == ["network", "dataset"]:
        rows = rows[1:]
    wrong = next((row for row in rows if len(row) != 2 or not all(row)), None)
    if wrong is not None:
        raise ConfigError(f"class map '{path}': the line '{','.join(wrong)}' does not have two columns, a network's class and a dataset's.")
    pairs = [(None if left == IGNORE else left, None if right == IGNORE else right) for left, right in rows]
    return [_pair(left, right, str(path)) for left, right in pairs]


def _name(part: re.Match[str]) -> str | None:
    if part["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", part["quoted"])
    name = part["bare"].strip()
    return None if name == IGNORE else name


def _pair(left: str | None, right: str | None, where: str) -> Pair:
    if left == "" or right == "" or (left is None and right is None):
        raise ConfigError(f"class map '{where}': a pair lacks a class. {_FORM}")
    return left, right


def _quoted(name: str | None) -> str:
    if name is None:
        return IGNORE
    plain = name != IGNORE and name == name.strip() and not set('",:') & set(name)
    return name if plain else json.dumps(name, ensure_ascii=False)


def _swapped(left: str, right: str | None, network: Sequence[str], target: str) -> str:
    """What to write for a pair that has the dataset's class in front."""
    if right in network:
        return f" Pairs are NETWORK:DATASET: write {_quoted(right)}:{_quoted(left)}."
    return f" It is a class of {target}: write ignore:{_quoted(left)} to leave its labels out."


def _rules(
    pairs: Sequence[Pair], network: Sequence[str], dataset: Sequence[str], source: str, target: str
) -> tuple[dict[str, str | None], set[str]]:
    """What is said of the network's classes, and the dataset's classes that do not count."""
    rules: dict[str, str | None] = {}
    ignored: set[str] = set()
    for left, right in pairs:
        if left is not None and left not in network:
            other = _swapped(left, right, network, target) if left in dataset else ""
            raise ConfigError(f"class map: {source} has no class '{left}'.{did_you_mean(left, network) or other or _classes(network)}")
        if right is not None and right not in dataset:
            raise ConfigError(f"class map: {target} has no class '{right}'.{did_you_mean(right, dataset) or _classes(dataset)}")
        if left is None:
            ignored.add(str(right))
        elif rules.get(left, right) != right:
            raise ConfigError(f"class map: '{left}' is mapped twice, to '{rules[left] or IGNORE}' and to '{right or IGNORE}'.")
        else:
            rules[left] = right
    return rules, ignored


def _refusal(
    network: Sequence[str],
    rules: dict[str, str | None],
    ignored: set[str],
    unsaid: Sequence[str],
    unreached: Sequence[str],
    source: str,
    target: str,
) -> str:
    alone = [f"only the network has {_some(unsaid)}"] if unsaid else []
    alone += [f"no class of the network stands for {_some(unreached)} of the dataset"] if unreached else []
    shared = any(name not in unsaid for name in network)
    pairs = _proposal(network, rules, ignored, unsaid, unreached)
    if shared or any(None not in pair for pair in pairs):
        example = f"Where names spelled alike mean the same and others have no counterpart: --class-map '{format_class_map(pairs)}'"
    else:
        example = f"For each of them: --class-map '{_quoted(network[0])}:NAME,..', where NAME is one of {_some(unreached)}, or {IGNORE}"
    return f"{source} was trained on other classes than {target} has: {'; '.join(alone)}. Say which stands for which. {example}. {_FORM}"


def _proposal(
    network: Sequence[str], rules: dict[str, str | None], ignored: set[str], unsaid: Sequence[str], unreached: Sequence[str]
) -> list[Pair]:
    """A map that would be taken: what was said already, names that are spelled alike, and ``ignore`` for all others."""
    known: list[Pair] = [(name, rules[name]) for name in network if name in rules]
    known += [(None, name) for name in sorted(ignored)]
    free = {_letters(name): name for name in unreached}
    for name in unsaid:
        close = difflib.get_close_matches(_letters(name), list(free), n=1, cutoff=0.85)
        known.append((name, free.pop(close[0]) if close else None))
    known += [(None, name) for name in free.values()]
    return known


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _classes(names: Sequence[str]) -> str:
    return f" It has {counted(len(names), 'class', 'classes')}: {_some(list(names))}."
