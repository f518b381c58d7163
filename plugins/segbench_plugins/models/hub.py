"""What published networks have in common: packages that may be missing, files on the model hub, and names of classes.

Nothing here imports torch or an adapted library before it is needed.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segbench import CheckpointError, Normalisation, Task, first_line

CONFIG = "config.json"
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def missing_package(module: str, package: str, extra: str) -> list[str]:
    """What to install where a library is missing; empty where it is there.

    >>> missing_package("no_such_module", "no-such-module", "smp")
    ["it needs no-such-module: pip install 'segbench[smp]'"]
    """
    return [] if importlib.util.find_spec(module) else [f"it needs {package}: pip install 'segbench[{extra}]'"]


def is_rgb(task: Task) -> bool:
    """Whether the one input of a task is a colour image, which a published mean and deviation can fit."""
    return tuple(task.inputs.values()) == (3,) and set(task.inputs) <= set(task.rgb)


def same_classes(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether two label spaces have the same names in the same order; case, spaces and punctuation do not count.

    >>> same_classes(["background", "potted plant"], ["__background__", "pottedplant"])
    True
    """
    return [_plain(name) for name in ours] == [_plain(name) for name in theirs]


def own_file(name: str, file: str) -> Path | None:
    """A file of a local folder or of a repository on the hub (fetched where it is not cached); None where there is no such file.

    Raises CheckpointError where a repository is neither cached nor can be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    cached = cached_file(name, file)
    if cached is not None or unreachable(name) is None:
        return cached or _fetch(name, file)
    if cached_file(name, CONFIG) is not None:
        return None  # the repository is cached as far as it was needed
    raise CheckpointError(str(unreachable(name)))


def own_json(name: str, file: str) -> dict[str, Any] | None:
    """The content of a JSON file of a folder or repository, None where it has none; raises CheckpointError where it cannot be read."""
    path = own_file(name, file)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"'{path}' cannot be read as JSON ({first_line(error)}). Fetch or write it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' holds no JSON object. Fetch or write it again.")
    return content


def cached_file(repository: str, file: str) -> Path | None:
    """A repository's file in the local cache of the hub, if it is there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(repository, file)
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def unreachable(name: str) -> str | None:
    """Why a name is no folder with a configuration and no repository that can be had, with advice; None where it can be had."""
    from huggingface_hub import hf_hub_url

    from segbench_plugins.models.pretrained import reachable

    folder = Path(name).expanduser()
    if folder.is_dir():
        return None if (folder / CONFIG).is_file() else f"the folder '{name}' holds no {CONFIG}. Give a folder that save_pretrained wrote."
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return f"'{name}' is neither a folder nor a repository. Give the path of a folder with {CONFIG}, or OWNER/NAME of a repository."
    if cached_file(name, CONFIG) is not None or reachable(hf_hub_url(name, CONFIG)):
        return None
    return (
        f"'{name}' is no local folder, is not in the local cache of the hub, and the hub does not answer for it. "
        f"Check the name, run once where there is network, or give the path of a folder with {CONFIG}."
    )


def missing_weight_file(name: str, files: Iterable[str] = WEIGHT_FILES) -> str | None:
    """Why the weights of a folder or repository cannot be had, with advice; None where one of the files can be had."""
    from huggingface_hub import hf_hub_url

    from segbench_plugins.models.pretrained import reachable

    files = tuple(files)
    folder = Path(name).expanduser()
    if folder.is_dir():
        has = any((folder / file).is_file() for file in files)
        return None if has else f"the folder '{name}' holds no weights ({' or '.join(files)}). Give a folder that save_pretrained wrote."
    if any(cached_file(name, file) for file in files) or any(reachable(hf_hub_url(name, file)) for file in files):
        return None
    return (
        f"the weights of '{name}' are neither in the local cache of the hub nor can the hub be reached. "
        "Run once where there is network, give a local folder with them, or train from scratch with random ones."
    )


def normalisation_of(values: Mapping[str, Any], *, scale: float) -> Normalisation | None:
    """Mean and deviation of three channels as a library's metadata name them (``mean``, ``std``), in units of ``value * scale``."""
    mean, std = values.get("mean"), values.get("std")
    if not mean or not std or len(mean) != 3 or len(std) != 3:
        return None
    return Normalisation(mean=tuple(map(float, mean)), std=tuple(map(float, std)), scale=scale)


def _fetch(repository: str, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, file))
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"'{file}' of '{repository}' could not be fetched ({first_line(error)}). Try again later.") from error


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
