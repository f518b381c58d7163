"""Datasets that a folder describes itself, in its ``dataset.toml``: ``--dataset FOLDER`` is all that it takes.

``dataset`` names the dataset plugin that reads the folder, ``[options]`` are that plugin's options, and ``[provenance]`` is for people:
where the data came from. The text of such a dataset in results and checkpoints is the plugin's with these
options, without the folder's path.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.errors import ConfigError, did_you_mean
from segbench.plugin.choice import Choice, parse_choice
from segbench.plugin.registry import load_catalog

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATASET_FILE = "dataset.toml"
_KEYS = ("dataset", "options", "provenance")


def dataset_in_folder(text: str) -> tuple[Choice, Path] | None:
    """The dataset and the data folder that ``FOLDER`` or ``FOLDER[key=value]`` stands for; None where ``text`` is the name of a dataset.

    Options in brackets win over those of the file. Where a dataset of segbench has the very name, the name wins: write ``./NAME`` for the
    folder. Raises :class:`ConfigError` for a path that is no folder with a ``dataset.toml``.
    """
    head, bracket, rest = ("", "", "") if Path(text).expanduser().is_dir() else text.partition("[")
    name = (head or text).strip()
    folder = Path(name).expanduser()
    is_path = any(mark in name for mark in ("/", "\\")) or name.startswith(("~", "."))
    if not is_path and (not (folder / DATASET_FILE).is_file() or name in load_catalog().names("datasets")):
        return None
    if not (folder / DATASET_FILE).is_file():
        raise ConfigError(f"dataset '{name}' {_fault(folder)}")
    choice = read_dataset_file(folder / DATASET_FILE)
    given = dict(parse_choice(f"x[{rest}").options) if bracket else {}
    return choice.with_options(**given), folder.resolve()


def read_dataset_file(file: Path) -> Choice:
    """The dataset with its options that a ``dataset.toml`` names; raises :class:`ConfigError` with the file and what is wrong in it."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    for key in document:
        if key not in _KEYS:
            raise ConfigError(f"{file}: unknown key '{key}'.{did_you_mean(key, _KEYS)} It has: {', '.join(_KEYS)}.")
    name, options = document.get("dataset"), document.get("options", {})
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise ConfigError(f'{file}: expected dataset = "folder" (or another name of segbench list datasets) and a table [options].')
    return Choice(parse_choice(name).name, tuple((key, _frozen(value)) for key, value in options.items()))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fault(folder: Path) -> str:
    if folder.is_dir():
        return (
            f"is a folder without {DATASET_FILE}. For plain folders of images and masks: "
            f"--dataset 'folder[images=..,masks=..,classes=(..)]' --data {folder}; for annotations: segbench data convert"
        )
    if folder.exists():
        return f"is a file. Give the folder that holds {DATASET_FILE}."
    return (
        f"does not exist. Give a folder that holds {DATASET_FILE} (segbench data convert writes one), or a name of segbench list datasets."
    )
