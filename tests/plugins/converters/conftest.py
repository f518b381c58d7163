from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import segbench_plugins.converters
from segbench import Conversion
from segbench.data.convert import convert_dataset
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog

Array = npt.NDArray[Any]
SQUARE = [2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]
"""Ten by ten pixels."""


@pytest.fixture(scope="session")
def converters() -> Catalog:
    catalog = Catalog()
    catalog.add(segbench_plugins.converters, Plugin(name="converters", package="segbench"))
    return catalog


@pytest.fixture
def convert(converters: Catalog, tmp_path: Path) -> Callable[..., Conversion]:
    def run(converter: str, source: Path, **flags: Any) -> Conversion:
        return convert_dataset(converters.converter(converter), source, tmp_path / "out", **flags)

    return run


@pytest.fixture
def mask(tmp_path: Path) -> Callable[[str], Array]:
    def read(stem: str) -> Array:
        return np.asarray(Image.open(tmp_path / "out" / "masks" / f"{stem}.png"))

    return read


def picture(path: Path, size: tuple[int, int] = (32, 24), orientation: int = 1) -> None:
    """A picture of (width, height), with an orientation tag where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(size[0]).integers(0, 255, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    Image.fromarray(noise).save(path, exif=exif)


def annotation(image: int, outline: Any, category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "segmentation": outline, "bbox": [2, 2, 10, 10], "area": 1, **more}


def coco(
    root: Path,
    annotations: Sequence[Mapping[str, Any]],
    *,
    names: Sequence[str] = ("a.jpg",),
    file: str = "annotations/instances_train2017.json",
    images: str = "train2017",
    size: tuple[int, int] = (32, 24),
    categories: Mapping[int, str] | None = None,
    **missing: bool,
) -> Path:
    """A COCO tree; the pictures are written, too."""
    listed = [{"id": i, "file_name": name, "width": size[0], "height": size[1]} for i, name in enumerate(names, 1)]
    named = [{"id": key, "name": name} for key, name in (categories or {1: "disk", 18: "cat"}).items()]
    target = root / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"images": listed, "annotations": list(annotations), "categories": named}))
    for name in names if not missing else ():
        picture(root / images / name, size)
    return root
