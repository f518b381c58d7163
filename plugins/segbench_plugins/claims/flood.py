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
    section = "Lightweight Self-Attention"
    for name, words, (quantity, reading, value) in (
        ("macs", "fewer multiply-adds", ("module_macs", "reduction", 0.7)),
        ("less-time", "less time", ("module_ms", "reduction", 0.7)),
        ("more-speed", "more speed", ("module_ms", "speedup", 1.7)),
    ):
        yield _compared(
            f"attention-{name}",
            "~70 % faster attention",
            (quantity, reading, "at least", value),
            section,
            INFERENCE_512,
            tolerance=0.05,
            reading_of="" if name == "macs" else "flood/attention-macs",
            read_as=words,
            modules=("EfficientAttention",),
            baseline_modules=("NonLocalAttention",),
        )


def _counts() -> Iterator[Claim]:
    section = "Performance Comparison"
    yield _count("original-params", ORIGINAL, "params", 45e6, "the original has ~45 M parameters", section)
    yield _count("efficient-params", EFFICIENT, "params", 18e6, "the efficient model has ~18 M parameters", section)
    small, encoders, summary = f"{EFFICIENT}[encoder=resnet18]", "Available Encoders", "with resnet18 ~11 M parameters"
    yield _count("resnet18-params", small, "params", 11e6, summary, encoders, read_as="those of the network")
    first = "flood/resnet18-params"
    yield _count("resnet18-encoder", small, "encoder_params", 11e6, summary, encoders, reading_of=first, read_as="those of the encoder")


def _factors() -> Iterator[Claim]:
    for phase, quantity, factor, conditions, section in (
        ("training", "train_images_per_second", 2.5, TRAINING_512, "Performance Comparison"),
        ("inference", "latency_ms", 3.0, INFERENCE_512, "Expected Results"),
    ):
        summary = f"~{factor:g}x {phase} speed"
        figure = (quantity, "speedup", "at least", factor)
        yield _compared(f"{phase}-speed", summary, figure, section, conditions, tolerance=0.05 / factor)
    for phase, conditions in (("training", TRAINING_512), ("inference", INFERENCE_512)):
        figure = (f"{phase}_memory_mb", "ratio", "at most", 0.6)
        yield _compared(
            f"{phase}-memory",
            "~0.6x memory",
            figure,
            "Performance Comparison",
            conditions,
            tolerance=0.05 / 0.6,
            good="lower",
            reading_of="" if phase == "training" else "flood/training-memory",
            read_as=f"memory of {phase}",
        )


def _accuracy() -> Iterator[Claim]:
    """Two figures for one thing, which are two claims; each is read as pixel accuracy and as mIoU."""
    for name, quantity, words in (("pixel-accuracy", "pixel_accuracy", "pixel accuracy"), ("miou", "miou", "mIoU")):
        for claim, summary, section, figure, more in (
            ("kept", "95-98 % of the accuracy", "Expected Results", (quantity, "ratio", "range", 0.95), {"high": 0.98}),
            ("about", "~95 % of the baseline", "Performance Comparison", (quantity, "ratio", "about", 0.95), {"tolerance": 0.01}),
        ):
            first = "" if name == "pixel-accuracy" else f"flood/pixel-accuracy-{claim}"
            yield _compared(f"{name}-{claim}", summary, figure, section, TEST, unit="%", reading_of=first, read_as=words, **more)


def _count(
    name: str, subject: str, quantity: str, value: float, summary: str, section: str, *, reading_of: str = "", read_as: str = ""
) -> Claim:
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
        reading_of=reading_of,
        read_as=read_as,
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
