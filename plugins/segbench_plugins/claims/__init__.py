"""Published figures of the two guides, the DeepLab guide and the flood guide, as data.

Only figures whose text was available when this page was written stand here. The guides themselves were not, so that their loss
gains, their tables of batch and image sizes, their mIoU ranges and any section numbers are missing: no figure was made up for them.

Where the wording leaves open what was measured, each reading is a claim of its own, and the report shows how each fares:
"30-40 % faster" as less time and as more speed, "0.6x memory" in training and in inference, "95-98 % of the accuracy" as pixel
accuracy and as mIoU. Neither guide's figures on speed and memory come with a device (the report names the one they were tested on);
their standard recipes work at 512 x 512, which is the size asked for here. Scores are held against the guide's own dataset, scored
whole (VOC val, 1 449 images; Sen1Floods11 test, 90 chips), and its own recipes run to their end.

Tolerances: a figure printed to two decimals holds within half of its last digit, a factor within 0.05, "~45 M" and "~18 M" within 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from segbench import Claim, hookimpl

DEEPLAB_GUIDE = "the DeepLab guide: comparison of the original and the optimized model"
FLOOD_GUIDE = "the flood guide: comparison of the original and the efficient model"

VOC_CLASSES: Mapping[str, Any] = {"num_classes": 21}
VOC_VAL: Mapping[str, Any] = {
    "dataset": "voc2012",
    "split": "val",
    "images": 1449,
    "recipe": ("quick-test", "enhanced", "quick-baseline", "efficient", "budget-gpu"),
    "train.epochs": (30, 50, 80, 100),
}
FLOOD_CLASSES: Mapping[str, Any] = {"num_classes": 2}
FLOOD_TEST: Mapping[str, Any] = {"dataset": "sen1floods11", "split": "test", "images": 90, "recipe": "flood", "train.epochs": 50}
INFERENCE_512: Mapping[str, Any] = {"input_size": 512}
TRAINING_512: Mapping[str, Any] = {"image_size": 512}


@hookimpl
def segbench_claims() -> Iterable[Claim]:
    """Every published figure that is known here."""
    return [*_deeplab_claims(), *_flood_claims()]


def _deeplab_claims() -> list[Claim]:
    return [
        _deeplab_count("original", "params", 6.83e6, "the original has 6.83 M parameters"),
        _deeplab_count("optimized", "params", 2.52e6, "the optimized model has 2.52 M parameters"),
        _deeplab_count("original", "size_mb", 26.06, "the original takes 26.06 MB"),
        _deeplab_count("optimized", "size_mb", 9.60, "the optimized model takes 9.60 MB"),
        _deeplab_reduction("params", 1 - 2.52 / 6.83, "from 6.83 M to 2.52 M parameters: 63.1 % fewer"),
        _deeplab_reduction("size_mb", 1 - 9.60 / 26.06, "from 26.06 MB to 9.60 MB: 63.2 % smaller"),
        _deeplab_latency("faster-as-less-time", "30-40 % faster, read as 30-40 % less time", "reduction", 0.3, 0.4),
        _deeplab_latency("faster-as-more-speed", "30-40 % faster, read as 1.3-1.4x the speed", "speedup", 1.3, 1.4),
        Claim(
            name="deeplab/miou-loss",
            summary="the optimized model stays within 1-2 points of mIoU of the original",
            subject="deeplab-optimized",
            baseline="deeplab-original",
            quantity="miou",
            reading="points",
            comparator="range",
            value=-0.02,
            high=-0.01,
            conditions=VOC_VAL,
            source=DEEPLAB_GUIDE,
        ),
    ]


def _deeplab_count(preset: str, quantity: str, value: float, summary: str) -> Claim:
    return Claim(
        name=f"deeplab/{preset}-{quantity.removesuffix('_mb')}",
        summary=summary,
        subject=f"deeplab-{preset}",
        quantity=quantity,
        comparator="about",
        value=value,
        tolerance=(0.005e6 if quantity == "params" else 0.005) / value,
        good="lower",
        conditions=VOC_CLASSES,
        source=DEEPLAB_GUIDE,
    )


def _deeplab_reduction(quantity: str, value: float, summary: str) -> Claim:
    return Claim(
        name=f"deeplab/{quantity.removesuffix('_mb')}-reduction",
        summary=summary,
        subject="deeplab-optimized",
        baseline="deeplab-original",
        quantity=quantity,
        reading="reduction",
        comparator="about",
        value=round(value, 3),
        tolerance=0.001,
        conditions=VOC_CLASSES,
        source=f"{DEEPLAB_GUIDE} (follows from its two figures)",
    )


def _deeplab_latency(name: str, summary: str, reading: Literal["reduction", "speedup"], low: float, high: float) -> Claim:
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject="deeplab-optimized",
        baseline="deeplab-original",
        quantity="latency_ms",
        reading=reading,
        comparator="range",
        value=low,
        high=high,
        conditions=INFERENCE_512,
        source=DEEPLAB_GUIDE,
    )


def _flood_claims() -> list[Claim]:
    return [
        _flood_count("original", 45e6, "the original has ~45 M parameters"),
        _flood_count("efficient", 18e6, "the efficient model has ~18 M parameters"),
        _flood_factor("training-speed", "2.5x training speed", "train_images_per_second", 2.5, TRAINING_512),
        _flood_factor("inference-speed", "3x inference speed", "latency_ms", 3.0, INFERENCE_512),
        _flood_memory("training-memory", "0.6x memory, read as that of training", "training_memory_mb", TRAINING_512),
        _flood_memory("inference-memory", "0.6x memory, read as that of inference", "inference_memory_mb", INFERENCE_512),
        _flood_accuracy("pixel-accuracy", "95-98 % of the accuracy, read as pixel accuracy", "pixel_accuracy"),
        _flood_accuracy("miou", "95-98 % of the accuracy, read as mIoU", "miou"),
    ]


def _flood_count(preset: str, value: float, summary: str) -> Claim:
    return Claim(
        name=f"flood/{preset}-params",
        summary=summary,
        subject=f"flood-{preset}",
        quantity="params",
        comparator="about",
        value=value,
        tolerance=0.05,
        good="lower",
        conditions=FLOOD_CLASSES,
        source=FLOOD_GUIDE,
    )


def _flood_factor(name: str, summary: str, quantity: str, value: float, conditions: Mapping[str, Any]) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        subject="flood-efficient",
        baseline="flood-original",
        quantity=quantity,
        reading="speedup",
        comparator="at least",
        value=value,
        tolerance=0.05 / value,
        conditions=conditions,
        source=FLOOD_GUIDE,
    )


def _flood_memory(name: str, summary: str, quantity: str, conditions: Mapping[str, Any]) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        subject="flood-efficient",
        baseline="flood-original",
        quantity=quantity,
        reading="ratio",
        comparator="at most",
        value=0.6,
        tolerance=0.05 / 0.6,
        good="lower",
        conditions=conditions,
        source=FLOOD_GUIDE,
    )


def _flood_accuracy(name: str, summary: str, quantity: str) -> Claim:
    return Claim(
        name=f"flood/{name}-kept",
        summary=summary,
        subject="flood-efficient",
        baseline="flood-original",
        quantity=quantity,
        reading="ratio",
        comparator="range",
        value=0.95,
        high=0.98,
        unit="%",
        conditions=FLOOD_TEST,
        source=FLOOD_GUIDE,
    )
