from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation, Task
from segbench.prediction.predictor import Predictor
from segbench.results.predictions import PredictedNetwork
from segbench.util.image_size import Size

TASK = Task(
    class_names=("dark", "bright"),
    inputs={"image": 3},
    normalisation={"image": Normalisation((0.5,) * 3, (0.5,) * 3, 1 / 255)},
    palette=((10, 20, 30), (200, 210, 220)),
)


def brightness(images: tuple[Tensor, ...]) -> Tensor:
    """Class 1 where the mean of the channels is above the middle: each pixel by itself."""
    mean = images[0].mean(dim=1, keepdim=True)
    return torch.cat([-mean, mean], dim=1)


@pytest.fixture
def predictor_of() -> Callable[..., Predictor]:
    def make(
        task: Task = TASK, logits: Any = brightness, trained: Size = (32, 32), canvas: Size | None = None, digest: str = "a"
    ) -> Predictor:
        groups = tuple((name,) for name in task.inputs)
        plan = InputPlan(groups, tuple(task.inputs.values()), task.normalisation)
        record = PredictedNetwork(model="brightness", kind="checkpoint", file="best.pt", file_sha256=digest, weights_sha256=digest)
        return Predictor(logits, task, plan, "cpu", trained, canvas, record)

    return make


@pytest.fixture
def predictor(predictor_of: Callable[..., Predictor]) -> Predictor:
    return predictor_of()


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture of noise, the same for the same seed."""

    def write(name: str, size: Size = (20, 30), *, seed: int = 0, mode: str = "RGB", folder: Path | None = None) -> Path:
        path = (folder or tmp_path / "images") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        channels: tuple[int, ...] = () if mode == "L" else (len(mode),)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8), mode).save(path)
        return path

    return write


@pytest.fixture
def geotiff(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GeoTIFF; ``values`` (C, H, W)."""
    rasterio = pytest.importorskip("rasterio")

    def write(name: str, values: Any, *, crs: str | None = "EPSG:32631", origin: Sequence[float] = (500000, 4600000), **more: Any) -> Path:
        path = tmp_path / "tiffs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {"crs": crs, "transform": rasterio.Affine(10, 0, origin[0], 0, -10, origin[1])} if crs else {}
        count, height, width = values.shape
        shape = {"count": count, "height": height, "width": width, "dtype": str(values.dtype)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(path, "w", driver="GTiff", **shape, **place, **more)
        with file:
            file.write(values)
        return path

    return write
