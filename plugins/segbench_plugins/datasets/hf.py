"""A local dataset of the ``datasets`` library: Parquet files, or a folder written by ``save_to_disk`` (Arrow files).

A split is a Parquet file or folder whose name begins with the split's name (``train-00000-of-00004.parquet``,
``data/test/0.parquet``), or a sub-folder of a saved ``DatasetDict``. Pictures and masks are cells with ``bytes`` (an encoded picture)
or ``path`` (a file below the dataset), as the library's ``Image`` feature stores them, or plain bytes. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from segbench import DataError, OptionError, Problem, Sample, Task, read_image, read_mask
from segbench_plugins.datasets import HfOptions, hf_splits
from segbench_plugins.datasets.files import Array, Samples, tensor
from segbench_plugins.datasets.labels import LabelRules, ignored_values, value_rules

PYARROW_HINT = "reading Parquet and Arrow files needs pyarrow: pip install 'segbench[hf]'"
_STATE = "state.json"
_DICT = "dataset_dict.json"
_OTHER_NAMES = {"validation": ("val", "valid", "dev")}


def task(options: HfOptions) -> Task:
    """The task that the options declare."""
    ignored = ignored_values(options.ignore)
    if options.channels == 2 or len(options.classes) < 2 or not ignored or 0 <= ignored[0] < len(options.classes):
        raise OptionError(
            f"hf: give at least two classes, an ignore value outside of their ids 0 to {len(options.classes) - 1}, and 1 or 3 channels"
        )
    _rules(options)
    headline = options.classes[1] if len(options.classes) == 2 else None
    rgb = ("image",) if options.channels == 3 else ()
    return Task(class_names=options.classes, inputs={"image": options.channels}, ignore_index=ignored[0], headline=headline, rgb=rgb)


def check(task: Task, options: HfOptions) -> list[str]:
    """pyarrow has to be installed."""
    return [] if importlib.util.find_spec("pyarrow") else [PYARROW_HINT]


@dataclass(frozen=True)
class TableSamples(Samples):
    """Rows of Parquet or Arrow files; a file is opened in the process that reads it."""

    ids: tuple[str, ...]
    rows: tuple[tuple[Path, int], ...]
    columns: tuple[str, str]
    channels: int
    rules: LabelRules

    def read(self, index: int) -> Sample:
        file, row = self.rows[index]
        image, mask = (_open_cell(_read_cell(file, row, column), file, row, column) for column in self.columns)
        pixels = read_image(image, channels=self.channels, name=f"{file} row {row}, {self.columns[0]}").pixels
        label = self._read_label(mask, f"{file} row {row}, {self.columns[1]}")
        return Sample({"image": tensor(pixels)}, tensor(label), self.ids[index])

    def _read_label(self, source: Any, name: str) -> Array:
        mask = read_mask(source, name=name)
        known = np.ones(mask.values.shape, bool) if mask.valid is None else mask.valid
        label = np.full(mask.values.shape, self.rules.ignore_index, np.int64)
        label[known] = self.rules.apply(mask.values[known], Path(name))
        return label


def load(root: Path, split: str, options: HfOptions) -> TableSamples:
    """The rows of one split, in the order of the files."""
    if not importlib.util.find_spec("pyarrow"):
        raise DataError(PYARROW_HINT)
    rows = []
    for file in _files(root / options.path, getattr(options, split)):
        _check_columns(file, options)
        rows += [(file, row) for row in range(_open_table(file).num_rows)]
    ids = tuple(f"{split}/{index}" for index in range(len(rows)))
    return TableSamples(ids, tuple(rows), (options.image, options.mask), options.channels, _rules(options))


def check_data(root: Path, options: HfOptions) -> list[Problem]:
    """Splits and columns that are not there."""
    problems: list[Problem] = []
    for split in hf_splits(options):
        try:
            load(root, split, options)
        except DataError as error:
            problems.append(Problem(str(error), "warning" if split == "test" and not problems else "error", split))
    return problems


def _rules(options: HfOptions) -> LabelRules:
    return value_rules(options.value_map, options.ignore, num_classes=len(options.classes))


def _files(place: Path, name: str) -> list[Path]:
    """The files of a split, in order."""
    if place.is_file():
        return [place]  # the only split
    if not place.is_dir():
        raise DataError(f"{place} is not there. Give the Parquet file or the saved folder as hf[path=..], below --data DIR.")
    if (place / _STATE).is_file():
        return _saved_files(place)
    saved = [place / known for known in _names(name) if (place / known / _STATE).is_file()]
    if saved:
        return _saved_files(saved[0])
    if (place / _DICT).is_file():
        has = ", ".join(json.loads((place / _DICT).read_text())["splits"])
        raise DataError(f"{place} has no split '{name}'. It has: {has}. Name them: hf[train=..,val=..,test=..], with val=\"\" for none.")
    found = sorted(place.rglob("*.parquet"))
    chosen = [file for file in found if _belongs(file.relative_to(place), name)]
    if not chosen:
        has = ", ".join(str(file.relative_to(place)) for file in found[:4]) or "no Parquet file"
        raise DataError(f"{place} has no Parquet file of the split '{name}': it has {has}. Name your splits: hf[train=..,val=..,test=..].")
    return chosen


def _names(name: str) -> tuple[str, ...]:
    return (name, *_OTHER_NAMES.get(name, ()))


def _belongs(file: Path, name: str) -> bool:
    """True where a file is of a split: its stem or a folder above it is the name, or begins with the name and a separator."""
    parts = [part.lower() for part in (*file.parts[:-1], file.stem)]
    return any(
        part == known or part.startswith((f"{known}-", f"{known}_", f"{known}.")) for part in parts for known in _names(name.lower())
    )


def _saved_files(folder: Path) -> list[Path]:
    state = json.loads((folder / _STATE).read_text())
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(f"{folder} is a selection of rows that was saved with its indices. Save flatten_indices() of it anew.")
    return [folder / entry["filename"] for entry in state["_data_files"]]


@lru_cache(maxsize=8)
def _open_table(file: Path) -> Any:
    """What gives ``num_rows``, ``schema`` and rows: a Parquet file, or the memory-mapped table of an Arrow file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            return _ParquetRows(pq.ParquetFile(file))
        return _ArrowRows(pa.ipc.open_stream(pa.memory_map(str(file))).read_all())
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {file}: {error}. Is it complete? Copy or download it again.") from error


class _ArrowRows:
    def __init__(self, table: Any) -> None:
        self.table, self.num_rows, self.names = table, table.num_rows, tuple(table.column_names)

    def cell(self, row: int, column: str) -> Any:
        return self.table.column(column)[row].as_py()


class _ParquetRows:
    """Rows of a Parquet file; one group of rows is held, as rows are often read in order."""

    def __init__(self, file: Any) -> None:
        self.file, self.num_rows, self.names = file, file.metadata.num_rows, tuple(file.schema_arrow.names)
        counts = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
        self.starts = np.cumsum([0, *counts])
        self.groups: dict[str, tuple[int, Any]] = {}

    def cell(self, row: int, column: str) -> Any:
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        if self.groups.get(column, (-1, None))[0] != group:
            self.groups[column] = (group, self.file.read_row_group(group, columns=[column]).column(0))
        return self.groups[column][1][row - int(self.starts[group])].as_py()


def _read_cell(file: Path, row: int, column: str) -> Any:
    return _open_table(file).cell(row, column)


def _check_columns(file: Path, options: HfOptions) -> None:
    names: Sequence[str] = _open_table(file).names
    for option_name, column in (("image", options.image), ("mask", options.mask)):
        if column not in names:
            raise DataError(f"{file} has no column '{column}'. It has: {', '.join(names)}. Name yours: hf[{option_name}=..]")


def _open_cell(cell: Any, file: Path, row: int, column: str) -> Any:
    """What the reader takes: a stream of bytes, or the path of a picture."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        return io.BytesIO(data)
    path = cell.get("path") if isinstance(cell, dict) else None
    for candidate in (Path(path), file.parent / path) if path else ():
        if candidate.is_file():
            return candidate
    raise DataError(
        f"{file} row {row}: column '{column}' holds {f'the path {path}, which is not there' if path else type(cell).__name__}, "
        "where an encoded picture was expected: {bytes, path} or bytes."
    )
