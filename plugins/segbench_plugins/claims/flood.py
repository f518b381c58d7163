"""Claims from the "Efficient Flood Segmentation Model" guide (dual-branch SAR + optical networks).

The guide names no device, size or dataset; its recipe works at 512 x 512, which is the size required here, and its scores are measured
on Sen1Floods11's test split (90 chips). "~" is read as within 5 %, a factor as within 0.05. The guide gives no code of a layer: the
networks that are judged are a reconstruction (see ``segbench_plugins.models``). Not here: "~40 % less memory" and "training time ~2.5x
faster", which repeat its "~0.6x" and "~2.5x".

Its "~70 % faster attention" is judged on the self-attention of both networks as it stands in them: two efficient blocks against one
non-local block. It is read as less computation, as less time and as more speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
    yield from _attention()
    yield from _counts()
    yield from _factors()
    yield from _accuracy()


def _source(section: str) -> str:
    return f"the flood guide, {section}"


def _architecture() -> Iterator[Claim]:
    yield _compared(
        "without-attention-macs",
        "removing ASPP and CBAM saves 40-60 % of the computation",
        ("macs", "reduction", "range", 0.4),
        "Removed Heavy Attention Modules",
        CLASSES,
        subject=f"{ORIGINAL}[aspp=false,cbam=false]",
        high=0.6,
    )
    fewer, smaller = "the efficient model has ~50 % fewer parameters", "the efficient model is ~60 % smaller"
    yield _compared("params-reduction", fewer, ("params", "reduction", "about", 0.5), "Simplified Architecture", CLASSES, tolerance=0.05)
    yield _compared("size-reduction", smaller, ("size_mb", "reduction", "about", 0.6), "Expected Results", CLASSES, tolerance=0.05)


def _attention() -> Iterator[Claim]:
    section, source = "Lightweight Self-Attention", "~70 % faster attention"
    for name, words, (quantity, reading, value) in (
        ("macs", "multiply-adds", ("module_macs", "reduction", 0.7)),
        ("less-time", "less time", ("module_ms", "reduction", 0.7)),
        ("more-speed", "1.7x the speed", ("module_ms", "speedup", 1.7)),
    ):
        yield _compared(
            f"attention-{name}",
            f"{source}, read as {words}",
            (quantity, reading, "at least", value),
            section,
            INFERENCE_512,
            tolerance=0.05,
            modules=("EfficientAttention",),
            baseline_modules=("NonLocalAttention",),
        )


def _counts() -> Iterator[Claim]:
    section = "Performance Comparison"
    yield _count("original-params", ORIGINAL, "params", 45e6, "the original has ~45 M parameters", section)
    yield _count("efficient-params", EFFICIENT, "params", 18e6, "the efficient model has ~18 M parameters", section)
    small, encoders = f"{EFFICIENT}[encoder=resnet18]", "Available Encoders"
    yield _count("resnet18-params", small, "params", 11e6, "with resnet18 ~11 M parameters, read as those of the network", encoders)
    yield _count("resnet18-encoder", small, "encoder_params", 11e6, "with resnet18 ~11 M parameters, read as the encoder's", encoders)


def _factors() -> Iterator[Claim]:
    for phase, quantity, factor, conditions, section in (
        ("training", "train_images_per_second", 2.5, TRAINING_512, "Performance Comparison"),
        ("inference", "latency_ms", 3.0, INFERENCE_512, "Expected Results"),
    ):
        summary = f"~{factor:g}x {phase} speed"
        figure = (quantity, "speedup", "at least", factor)
        yield _compared(f"{phase}-speed", summary, figure, section, conditions, tolerance=0.05 / factor)
    for phase, conditions in (("training", TRAINING_512), ("inference", INFERENCE_512)):
        summary = f"~0.6x memory, read as that of {phase}"
        figure = (f"{phase}_memory_mb", "ratio", "at most", 0.6)
        yield _compared(f"{phase}-memory", summary, figure, "Performance Comparison", conditions, tolerance=0.05 / 0.6, good="lower")


def _accuracy() -> Iterator[Claim]:
    for name, quantity, reading in (("pixel-accuracy", "pixel_accuracy", "pixel accuracy"), ("miou", "miou", "mIoU")):
        kept_summary, about_summary = f"95-98 % of the accuracy, read as {reading}", f"~95 % of the baseline, read as {reading}"
        yield _compared(f"{name}-kept", kept_summary, (quantity, "ratio", "range", 0.95), "Expected Results", TEST, high=0.98, unit="%")
        yield _compared(
            f"{name}-about", about_summary, (quantity, "ratio", "about", 0.95), "Performance Comparison", TEST, tolerance=0.01, unit="%"
        )


def _count(name: str, subject: str, quantity: str, value: float, summary: str, section: str) -> Claim:
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
        source=_source(section),
    )


def _compared(
    name: str, summary: str, figure: tuple[str, Any, Any, float], section: str, conditions: Mapping[str, Any], **more: Any
) -> Claim:
    """A claim about the efficient model against the original; ``figure`` is quantity, reading, comparator and value."""
    quantity, reading, comparator, value = figure
    fields: dict[str, Any] = {"subject": EFFICIENT, "baseline": ORIGINAL, **more}
    return Claim(
        name=f"flood/{name}",
        summary=summary,
        quantity=quantity,
        reading=reading,
        comparator=comparator,
        value=value,
        conditions=conditions,
        source=_source(section),
        **fields,
    )
