from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import segbench_plugins.datasets
from segbench import Problem, Sample, Task
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import resolve

Array = npt.NDArray[Any]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The built-in datasets alone, so that no other plugin matters here."""
    catalog = Catalog()
    catalog.add(segbench_plugins.datasets, Plugin(name="datasets", package="segbench"))
    return catalog


@pytest.fixture
def load(catalog: Catalog) -> Callable[[str, Path | None, str], Sequence[Sample]]:
    def load_split(dataset: str, root: Path | None, split: str) -> Sequence[Sample]:
        chosen = catalog.dataset(dataset)
        samples: Sequence[Sample] = resolve(chosen.spec.load)(root, split, chosen.options)
        return samples

    return load_split


@pytest.fixture
def problems(catalog: Catalog) -> Callable[[str, Path], list[Problem]]:
    def check(dataset: str, root: Path) -> list[Problem]:
        chosen = catalog.dataset(dataset)
        assert chosen.spec.check_data is not None
        return list(resolve(chosen.spec.check_data)(root, chosen.options))

    return check


@pytest.fixture
def groups(catalog: Catalog) -> Callable[[str, Path, str], list[str]]:
    def scenes(dataset: str, root: Path, split: str) -> list[str]:
        chosen = catalog.dataset(dataset)
        assert chosen.spec.groups is not None
        return list(resolve(chosen.spec.groups)(root, split, chosen.options))

    return scenes


@pytest.fixture
def task_of(catalog: Catalog) -> Callable[..., Task]:
    def task(dataset: str, root: Path | None = None) -> Task:
        chosen = catalog.dataset(dataset)
        return chosen.spec.make_task(chosen.options, root)

    return task


@pytest.fixture
def picture() -> Callable[[Path, Array], Path]:
    """Write an array (H, W) or (H, W, 3) uint8 as a picture, with the folders it needs."""

    def write(path: Path, pixels: Array) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def geotiff() -> Callable[[Path, Array], Path]:
    """Write bands (C, H, W) as a GeoTIFF of their dtype."""
    rasterio = pytest.importorskip("rasterio")

    def write(path: Path, bands: Array) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = bands.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rasterio minds that these files lie nowhere on earth
            with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype) as file:
                file.write(bands)
        return path

    return write


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """A folder of the real data that developers have beside the checkout; the test is skipped where there is none."""

    def folder(name: str) -> Path:
        path = Path(__file__).resolve().parents[4] / "shared" / "data" / name
        if not path.is_dir():
            pytest.skip(f"needs the real data in {path}")
        return path

    return folder
