"""Images to predict on: the files of each, and its inputs (C, h, w) by name for any window."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from segbench.data.reader.georeference import Georeference
from segbench.data.reader.layers import Layer, nearest, to_stored_dtype
from segbench.data.reader.read import IMAGE_SUFFIXES, open_image
from segbench.data.samples import load_sample
from segbench.data.window import Window
from segbench.errors import ConfigError, DataError
from segbench.plugin.choice import slug
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Sample, Task
from segbench.util.image_size import Size
from segbench.util.sequences import counted


class OpenScene(Protocol):
    """An open image."""

    @property
    def size(self) -> Size: ...
    @property
    def raster(self) -> bool: ...
    @property
    def georeference(self) -> Georeference: ...

    def read(self, window: Window) -> dict[str, Tensor]: ...

    def missing(self, window: Window) -> Tensor | None: ...

    def small(self, name: str, size: Size) -> Tensor: ...


class Scene(Protocol):
    """An image to predict on, by its id: opened when its turn comes."""

    @property
    def id(self) -> str: ...
    @property
    def files(self) -> tuple[Path, ...]: ...

    def open(self, task: Task, plan: InputPlan) -> contextlib.AbstractContextManager[OpenScene]: ...


@dataclass(frozen=True)
class FileScene:
    """One file per input of the task, or one for all of them with their bands one after the other (under the name "")."""

    id: str
    paths: Mapping[str, Path]
    bands: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.paths.values())

    @contextlib.contextmanager
    def open(self, task: Task, plan: InputPlan) -> Iterator[OpenFiles]:
        """Open all files. Raises :class:`DataError` where one cannot be read, does not fit the task, or they do not fit each other."""
        channels = {name: sum(task.inputs.values()) if not name else task.inputs[name] for name in self.paths}
        with contextlib.ExitStack() as stack:
            layers = {
                n: stack.enter_context(open_image(p, channels=channels[n], bands=self.bands, name=p.name)) for n, p in self.paths.items()
            }
            for name, layer in layers.items():
                _check_layer(layer, name, channels[name], task)
            _check_together(list(layers.values()))
            yield OpenFiles(layers, task)


@dataclass(frozen=True)
class OpenFiles:
    """The open files of one image."""

    layers: Mapping[str, Layer]
    task: Task

    @property
    def first(self) -> Layer:
        return next(iter(self.layers.values()))

    @property
    def size(self) -> Size:
        return self.first.size

    @property
    def raster(self) -> bool:
        return self.first.raster

    @property
    def georeference(self) -> Georeference:
        georeferences = [layer.georeference for layer in self.layers.values() if layer.georeference.is_known]
        return georeferences[0] if georeferences else Georeference()

    def read(self, window: Window) -> dict[str, Tensor]:
        """Inputs (C, h, w) by name in their stored dtype."""
        return self._split_inputs({name: layer.read(window) for name, layer in self.layers.items()})

    def missing(self, window: Window) -> Tensor | None:
        """True where no input has a value (h, w); None where none can be missing."""
        masks = [layer.missing(window) for layer in self.layers.values()]
        gaps = [gap for gap in masks if gap is not None]
        return torch.from_numpy(np.logical_and.reduce(gaps)) if len(gaps) == len(masks) else None

    def small(self, name: str, size: Size) -> Tensor:
        """One input (C, *size) for an overlay."""
        layer = self.layers.get(name, self.first)
        return self._split_inputs({name if name in self.layers else "": layer.small(size)})[name]

    def _split_inputs(self, arrays: Mapping[str, Any]) -> dict[str, Tensor]:
        tensors = {}
        for name, bands in arrays.items():
            if name:
                tensors[name] = _to_tensor(bands, self.task.inputs[name])
                continue
            start, all_inputs = 0, _to_tensor(bands, sum(self.task.inputs.values()))
            for part, channels in self.task.inputs.items():
                tensors[part] = all_inputs[start : start + channels]
                start += channels
        return tensors


@dataclass(frozen=True)
class SampleScene:
    """A sample of a dataset; its label is not looked at."""

    id: str
    samples: Sequence[Sample]
    index: int

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @contextlib.contextmanager
    def open(self, task: Task, plan: InputPlan) -> Iterator[OpenSample]:
        """Read the sample. Raises :class:`DataError` where it cannot be read or lacks an input."""
        sample = load_sample(self.samples, self.index)
        sizes = {tuple(sample.inputs[name].shape[-2:]) for name in task.inputs if name in sample.inputs}
        lacking = [name for name, channels in task.inputs.items() if name not in sample.inputs or len(sample.inputs[name]) != channels]
        if lacking or len(sizes) != 1:
            raise DataError(f"sample '{sample.id}' does not have what the network takes: {', '.join(lacking) or 'inputs of one size'}.")
        yield OpenSample(sample)


@dataclass(frozen=True)
class OpenSample:
    """A sample that has been read."""

    sample: Sample
    raster: bool = False
    georeference: Georeference = field(default_factory=Georeference)

    @property
    def size(self) -> Size:
        height, width = next(iter(self.sample.inputs.values())).shape[-2:]
        return int(height), int(width)

    def read(self, window: Window) -> dict[str, Tensor]:
        """Inputs (C, h, w) by name."""
        return {name: window.crop(values) for name, values in self.sample.inputs.items()}

    def missing(self, window: Window) -> None:
        """None: a sample marks missing values in its label alone."""

    def small(self, name: str, size: Size) -> Tensor:
        """One input (C, *size)."""
        return torch.from_numpy(nearest(self.sample.inputs[name].numpy(), size))


def image_scenes(paths: Sequence[Path], *, bands: tuple[int, ...] = ()) -> list[FileScene]:
    """Images from files and folders (all pictures and rasters in each), sorted, with ids that differ.

    Raises :class:`ConfigError` for a path that is not there and for a folder without images.
    """
    files: list[Path] = []
    for path in paths:
        files += _image_files(path)
    files = list(dict.fromkeys(files))
    return [FileScene(name, {"": path}, bands) for name, path in zip(_ids(files), files, strict=True)]


def paired_scenes(patterns: Mapping[str, str], task: Task) -> list[FileScene]:
    """Images from one place per input: a folder, whose files are matched by stem, or a pattern whose ``*`` is what they share.

    Raises :class:`ConfigError` where a place is missing or files are without a partner.
    """
    wrong = sorted(set(patterns) - set(task.inputs))
    lacking = [name for name in task.inputs if name not in patterns]
    if wrong or lacking:
        takes = " and ".join(f"{name} ({counted(channels, 'channel')})" for name, channels in task.inputs.items())
        what = f"there is no input '{wrong[0]}'" if wrong else f"'{lacking[0]}' is missing"
        raise ConfigError(f"--input: {what}. The network takes {takes}: --input {' --input '.join(f'{name}=DIR' for name in task.inputs)}")
    files_by_input = {name: _files_by_key(patterns[name], name) for name in task.inputs}
    shared = set.intersection(*(set(files) for files in files_by_input.values()))
    unpaired = {name: sorted(set(files) - shared) for name, files in files_by_input.items()}
    examples = [f"{name}: {files_by_input[name][keys[0]].name}" for name, keys in unpaired.items() if keys]
    if examples:
        count = sum(map(len, unpaired.values()))
        raise ConfigError(
            f"--input: {counted(count, 'file')} without a partner of the same name ({'; '.join(examples)}). "
            "Where names end differently, give patterns "
            "whose * is what they share, as in --input 'sar=S1/*_S1Hand.tif' --input 'optical=S2/*_S2Hand.tif'."
        )
    return [FileScene(key, {name: files[key] for name, files in files_by_input.items()}) for key in sorted(shared)]


def sample_scenes(samples: Sequence[Sample], limit: int | None = None) -> list[SampleScene]:
    """The samples of a split; ids become file names."""
    ids = getattr(samples, "ids", None)
    names = [str(ids[index]) if ids is not None else load_sample(samples, index).id for index in range(len(samples))]
    return [SampleScene(slug(name), samples, index) for index, name in enumerate(names)][:limit]


def _image_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"there is no image or folder '{path}'.")
    files = _images_in_folder(path)
    if not files:
        folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        inside = f" It has folders ({', '.join(folders[:3])}{', ..' if len(folders) > 3 else ''}): give those." if folders else ""
        raise ConfigError(f"'{path}' holds no images ({' '.join(sorted(IMAGE_SUFFIXES))}).{inside}")
    return files


def _images_in_folder(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file() and not f.name.startswith("."))


def _ids(files: Sequence[Path]) -> list[str]:
    """Stems; where two are equal their endings, too, then their folders, then a number."""
    names = [file.stem for file in files]
    for longer in (lambda f: f.name.replace(".", "_"), lambda f: f"{f.absolute().parent.name}-{f.name.replace('.', '_')}"):
        counts = Counter(names)
        names = [longer(file) if counts[name] > 1 else name for name, file in zip(names, files, strict=True)]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def _files_by_key(pattern: str, name: str) -> dict[str, Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        return {file.stem: file for file in _image_files(path)}
    if path.is_file():
        return {"image" if not path.stem else path.stem: path}
    if path.name.count("*") != 1 or "*" in str(path.parent):
        hint = " A pattern has one * in the file's name." if "*" in pattern else ""
        raise ConfigError(f"--input {name}: there is no folder or file '{pattern}'.{hint}")
    before, _, after = path.name.partition("*")
    files = sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    if not files:
        raise ConfigError(f"--input {name}: no file is like '{pattern}'.")
    return {file.name.removeprefix(before).removesuffix(after): file for file in files}


def _check_layer(layer: Layer, name: str, channels: int, task: Task) -> None:
    if layer.bands != channels and not (layer.bands == 1 and channels == 3):
        inputs = f"'{name}'" if name else " + ".join(f"{n} ({c})" for n, c in task.inputs.items())
        several = len(task.inputs) > 1 and not name
        advice = f" Give each input by itself: {' '.join(f'--input {n}=DIR' for n in task.inputs)}." if several else ""
        choose = " Choose some with --bands." if layer.raster and layer.bands > channels and not several else ""
        bands = "1 band" if layer.bands == 1 else f"{layer.bands} bands"
        raise DataError(f"{layer.path.name} has {bands}, the network takes {channels}: {inputs}.{advice}{choose}")


def _check_together(layers: Sequence[Layer]) -> None:
    first = layers[0]
    for other in layers[1:]:
        if other.size != first.size:
            sizes = f"{first.path.name} has {_size_text(first.size)} pixels, {other.path.name} {_size_text(other.size)}"
            raise DataError(f"{sizes}: inputs must be of one size.")
        if not first.georeference.agrees(other.georeference):
            raise DataError(f"{first.path.name} and {other.path.name} do not cover the same ground: warp one onto the other's grid first.")


def _size_text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _to_tensor(bands: Any, channels: int) -> Tensor:
    values = to_stored_dtype(bands)
    if len(values) == 1 and channels == 3:  # grey: as datasets read it
        values = np.repeat(values, 3, axis=0)
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))
