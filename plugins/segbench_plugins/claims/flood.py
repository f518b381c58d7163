"""The figures of the "Efficient Flood Segmentation Model" guide (dual-branch SAR + optical networks).

The guide names no device, size or dataset; its recipe works at 512 x 512, which is the size asked for here, and its scores are held
against Sen1Floods11's test split (90 chips). "~" is read as within 5 %, a factor as within 0.05. Not here: "~70 % faster attention", which
no part of either network can be timed for, and "~40 % less memory", which is its "~0.6x" said again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from segbench import Claim

ORIGINAL = "flood-original"
EFFICIENT = "flood-efficient"

CLASSES: Mapping[str, Any] = {"num_classes": 2}
TEST: Mapping[str, Any] = {"dataset": "sen1floods11", "split": "test", "images": 90, "recipe": "flood", "train.epochs": 50}
INFERENCE_512: Mapping[str, Any] = {"input_size": 512}
TRAINING_512: Mapping[str, Any] = {"image_size": 512}


def claims() -> Iterator[Claim]:
    """All of the guide's figures, in the order of its sections."""
    yield from _architecture()
    yield from _counts()
    yield from _factors()
    yield from _accuracy()


def _source(section: str) -> str:
    return f"the flood guide, {section}"


def _architecture() -> Iterator[Claim]:
    yield Claim(
        name="flood/without-attention-macs",
        summary="removing ASPP and CBAM saves 40-60 % of the computation",
        subject=f"{ORIGINAL}[aspp=false,cbam=false]",
        baseline=ORIGINAL,
        quantity="macs",
        reading="reduction",
        comparator="range",
        value=0.4,
        high=0.6,
        conditions=CLASSES,
        source=_source("Removed Heavy Attention Modules"),
    )
    section = _source("Simplified Architecture")
    yield _relative("params-reduction", "params", "reduction", 0.5, "~50 % fewer parameters", section, CLASSES)
    yield _relative("size-reduction", "size_mb", "reduction", 0.6, "~60 % smaller", _source("Expected Results"), CLASSES)


def _counts() -> Iterator[Claim]:
    section = _source("Performance Comparison")
    yield _count("original-params", ORIGINAL, "params", 45e6, "the original has ~45 M parameters", section)
    yield _count("efficient-params", EFFICIENT, "params", 18e6, "the efficient model has ~18 M parameters", section)
    small = f"{EFFICIENT}[encoder=resnet18]"
    encoders = _source("Available Encoders")
    yield _count("resnet18-params", small, "params", 11e6, "with resnet18 ~11 M parameters, read as those of the network", encoders)
    yield _count("resnet18-encoder", small, "encoder_params", 11e6, "with resnet18 ~11 M parameters, read as the encoder's", encoders)


def _factors() -> Iterator[Claim]:
    section = _source("Performance Comparison")
    yield _factor("training-speed", "~2.5x training speed", "train_images_per_second", 2.5, TRAINING_512, section)
    yield _factor("inference-speed", "~3x inference speed", "latency_ms", 3.0, INFERENCE_512, _source("Expected Results"))
    yield _memory("training-memory", "~0.6x memory, read as that of training", "training_memory_mb", TRAINING_512, section)
    yield _memory("inference-memory", "~0.6x memory, read as that of inference", "inference_memory_mb", INFERENCE_512, section)


def _accuracy() -> Iterator[Claim]:
    for name, quantity, reading in (("pixel-accuracy", "pixel_accuracy", "pixel accuracy"), ("miou", "miou", "mIoU")):
        yield Claim(
            name=f"flood/{name}-kept",
            summary=f"95-98 % of the accuracy, read as {reading}",
            subject=EFFICIENT,
            baseline=ORIGINAL,
            quantity=quantity,
            reading="ratio",
            comparator="range",
            value=0.95,
            high=0.98,
            unit="%",
            conditions=TEST,
            source=_source("Expected Results"),
        )
        yield Claim(
            name=f"flood/{name}-about",
            summary=f"~95 % of the baseline, read as {reading}",
            subject=EFFICIENT,
            baseline=ORIGINAL,
            quantity=quantity,
            reading="ratio",
            comparator="about",
            value=0.95,
            tolerance=0.01,
            unit="%",
            conditions=TEST,
            source=_source("Performance Comparison"),
        )


def _count(name: str, subject: str, quantity: str, value: float, summary: str, source: str) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        subject=subject,
        quantity=quantity,
        comparator="about",
        value=value,
        tolerance=0.05,
        good="lower",
        conditions=CLASSES,
        source=source,
    )


def _factor(name: str, summary: str, quantity: str, value: float, conditions: Mapping[str, Any], source: str) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        subject=EFFICIENT,
        baseline=ORIGINAL,
        quantity=quantity,
        reading="speedup",
        comparator="at least",
        value=value,
        tolerance=0.05 / value,
        conditions=conditions,
        source=source,
    )


def _memory(name: str, summary: str, quantity: str, conditions: Mapping[str, Any], source: str) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        subject=EFFICIENT,
        baseline=ORIGINAL,
        quantity=quantity,
        reading="ratio",
        comparator="at most",
        value=0.6,
        tolerance=0.05 / 0.6,
        good="lower",
        conditions=conditions,
        source=source,
    )


def _relative(
    name: str, quantity: str, reading: Literal["reduction"], value: float, summary: str, source: str, conditions: Mapping[str, Any]
) -> Claim:
    return Claim(
        name=f"flood/{name}",
        summary=f"the efficient model is {summary}" if quantity == "size_mb" else f"the efficient model has {summary}",
        subject=EFFICIENT,
        baseline=ORIGINAL,
        quantity=quantity,
        reading=reading,
        comparator="about",
        value=value,
        tolerance=0.05,
        conditions=conditions,
        source=source,
    )
