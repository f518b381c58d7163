"""The built-in converters: their options and the formats that they read. Nothing here needs torch, numpy or pycocotools."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Literal

from segbench import ConverterSpec, NoOptions, Options, hookimpl, option

_PACKAGE = "segbench_plugins.converters"
_MODULES = {"pycocotools": "pycocotools", "yaml": "pyyaml"}


class CocoOptions(Options):
    """COCO instances."""

    crowd: Literal["ignore", "object"] = option("ignore", help="pixels of crowd regions (iscrowd): ignored, or painted as their category")


@hookimpl
def segbench_converters() -> Iterable[ConverterSpec]:
    """The converters that come with segbench."""
    return [
        _spec(
            "coco",
            "COCO instances: annotations/instances_*.json, or _annotations.coco.json in a folder per split.",
            CocoOptions,
            source="https://cocodataset.org/#format-data",
        ),
        _spec(
            "yolo",
            "YOLO segmentation: data.yaml and a text file of polygons per image.",
            source="https://docs.ultralytics.com/datasets/segment/",
        ),
        _spec("labelme", "labelme: a json file per image.", source="https://github.com/wkentaro/labelme"),
        _spec("cvat", "CVAT for images 1.1: annotations.xml.", source="https://docs.cvat.ai/docs/manual/advanced/xml_format/"),
    ]


def check(options: Options) -> list[str]:
    """The packages that are not installed, and how to get them; empty where all are."""
    missing = [package for module, package in _MODULES.items() if importlib.util.find_spec(module) is None]
    return [f"needs {' and '.join(missing)}: pip install 'segbench[convert]'"] if missing else []


def _spec(name: str, summary: str, options: type[Options] = NoOptions, *, source: str) -> ConverterSpec:
    return ConverterSpec(
        name=name, summary=summary, options=options, convert=f"{_PACKAGE}.{name}:convert", check=f"{_PACKAGE}:check", source=source
    )
