from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import segbench_plugins.datasets
from segbench import DatasetSpec
from segbench.testing import DatasetConformance

SPECS: dict[str, DatasetSpec] = {spec.name: spec for spec in segbench_plugins.datasets.segbench_datasets()}


class TestShapes(DatasetConformance):
    spec = SPECS["shapes"]
    options: ClassVar[Mapping[str, Any]] = {"size": 32, "train": 12, "val": 4, "test": 4}


class TestFloodShapes(DatasetConformance):
    spec = SPECS["flood-shapes"]
    options: ClassVar[Mapping[str, Any]] = {"size": 32, "train": 12, "val": 4, "test": 4}


class TestFolder(DatasetConformance):
    spec = SPECS["folder"]

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path: Path) -> None:
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        for index in range(10):
            Image.fromarray(np.full((6, 8, 3), index * 9, np.uint8)).save(tmp_path / "images" / f"{index}.png")
            Image.fromarray(np.array([[0, 1] * 4] * 6, np.uint8)).save(tmp_path / "masks" / f"{index}.png")
        self.root = tmp_path
