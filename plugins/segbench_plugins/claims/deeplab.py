"""Claims from the "Optimized Lightweight Segmentation Model Guide" (DeepLabV3+ on MobileNetV3, Pascal VOC 2012).

Scores are measured on VOC's validation split, scored whole (1 449 images), after training as the guide says. Its figures on speed and
memory name no device (the report names the one they were tested on) and no size; 512 x 512 is the guide's default. Percentages of mIoU
are read as points, which is how its tables use them. A size in MB is read as 2^20 bytes, which is what its 26.06 and 9.60 are; "below
10 MB" is judged in both units. "30-40 % faster" is judged as less time, which is how the guide's summary gives the figure, and as more
speed.

The guide's example of a single convolution, 3x3 from 160 to 128 channels, is the first of the optimized decoder: the claims count the
modules of the network, and of the network with ``decoder=standard``. By its own formula the separable form has
9 * 160 + 160 * 128 = 21 920 parameters, not 20 928.

Not here: figures that no measurement can meet or miss ("fast convergence").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from segbench import Claim

ORIGINAL = "deeplab-original"
OPTIMIZED = "deeplab-optimized"

STANDARD_DECODER = f"{OPTIMIZED}[decoder=standard]"
"""The optimized network with the decoder's two convolutions in the standard form, 160 to 128 channels each."""

BRANCHES = ("aspp.branches",)
CHANNELS = ("aspp.project.0.1",)
SEPARABLE = ("decoder.inner.0.0", "decoder.inner.1.0")
SEPARABLE_OUTER = ("decoder.outer.0.0", "decoder.outer.1.0")
"""Modules of the built-in networks: the depthwise and the pointwise convolution without their BatchNorms."""

CLASSES: Mapping[str, Any] = {"num_classes": 21}
VOC_VAL: Mapping[str, Any] = {"dataset": "voc2012", "split": "val", "images": 1449}
STANDARD: Mapping[str, Any] = {**VOC_VAL, "train.split": "train", "train.augmentation": "standard", "image_size": 512}
ENHANCED: Mapping[str, Any] = {**STANDARD, "train.augmentation": "enhanced"}
TRAINVAL: Mapping[str, Any] = {**ENHANCED, "train.split": "trainval"}
OPTIMAL: Mapping[str, Any] = {**VOC_VAL, "train.augmentation": "enhanced", "image_size": 512, "train.epochs": (100, 150)}
VOC_512: Mapping[str, Any] = {"dataset": "voc2012", "image_size": 512, "batch_size": 8}
ANY_RECIPE: Mapping[str, Any] = {
    **VOC_VAL,
    "recipe": ("quick-test", "enhanced", "quick-baseline", "efficient", "budget-gpu"),
    "train.epochs": (30, 50, 80, 100),
}


def claims() -> Iterator[Claim]:
    """All of the guide's figures, in the order of its sections."""
    yield from _sizes()
    yield from _architecture()
    yield from _expected_scores()
    yield from _gains()
    yield from _losses()
    yield from _tables()
    yield from _durations()
    yield from _curves()
    yield from _against_the_original()
    yield from _further_optimizations()


def _source(section: str) -> str:
    return f"the DeepLab guide, {section}"


def _sizes() -> Iterator[Claim]:
    section = _source("Parameter Reduction")
    for preset, params, size in ((ORIGINAL, 6.83, 26.06), (OPTIMIZED, 2.52, 9.60)):
        name = preset.removeprefix("deeplab-")
        yield _count(f"{name}-params", preset, "params", params * 1e6, 0.005e6, f"the {name} model has {params} M parameters", section)
        yield _count(f"{name}-size", preset, "size_mb", size, 0.005, f"the {name} model takes {size:.2f} MB of 2^20 bytes", section)
    for quantity, what in (("params", "63 % fewer parameters"), ("size_mb", "63 % smaller")):
        yield _relative(
            f"{quantity.removesuffix('_mb')}-reduction",
            quantity,
            "reduction",
            0.63,
            summary=f"the optimized model has {what}" if quantity == "params" else f"the optimized model is {what}",
            source=section,
            conditions=CLASSES,
            tolerance=0.005 / 0.63,
        )
    for name, quantity, unit in (("mobile-app", "size_mb", "2^20"), ("mobile-app-decimal", "size_decimal_mb", "10^6")):
        yield Claim(
            name=f"deeplab/{name}",
            summary="for a mobile app: must be, and is, below 10 MB",
            reading_of="" if name == "mobile-app" else "deeplab/mobile-app",
            read_as=f"MB of {unit} bytes",
            subject=OPTIMIZED,
            quantity=quantity,
            comparator="at most",
            value=10.0,
            good="lower",
            conditions=CLASSES,
            source=_source("Real-World Trade-offs"),
        )


def _architecture() -> Iterator[Claim]:
    section, convolutions = _source("Parameter Reduction"), _source("Architecture Improvements")
    for preset, branches in ((ORIGINAL, 4), (OPTIMIZED, 3)):
        name = preset.removeprefix("deeplab-")
        summary = f"{name}: an ASPP of {branches} dilation rates"
        yield _part(f"{name}-branches", preset, "module_count", branches, summary, BRANCHES, section)
    yield _fewer("branches-reduction", "module_count", 0.25, "25 % fewer branches with a dilation rate", BRANCHES, section)
    yield _fewer("channels-reduction", "module_params", 0.5, "half the channels of the ASPP (in its last BatchNorm)", CHANNELS, section)
    for name, subject, params, form, modules in (
        ("standard-convolution", STANDARD_DECODER, 184_320, "standard", ("decoder.inner.0",)),
        ("separable-convolution", OPTIMIZED, 20_928, "depthwise separable", SEPARABLE),
    ):
        summary = f"a {form} 3x3 convolution from 160 to 128 channels has {params:,} parameters".replace(",", " ")
        yield _part(name, subject, "module_params", params, summary, modules, convolutions)
    for name, factor, half_digit, summary, both, source in (
        ("separable-factor", 8.8, 0.05, "the separable form of that convolution has 8.8 times fewer parameters", False, convolutions),
        ("decoder-factor", 8.0, 0.5, "a separable decoder has ~8 times fewer parameters per convolution", True, section),
    ):
        yield Claim(
            name=f"deeplab/{name}",
            summary=summary,
            subject=OPTIMIZED,
            baseline=STANDARD_DECODER,
            quantity="module_params",
            reading="speedup",
            comparator="about",
            value=factor,
            tolerance=half_digit / factor,
            modules=(*SEPARABLE, *SEPARABLE_OUTER) if both else SEPARABLE,
            baseline_modules=("decoder.inner.0", "decoder.outer.0") if both else ("decoder.inner.0",),
            source=source,
        )


def _expected_scores() -> Iterator[Claim]:
    baseline = {**STANDARD, "train.epochs": 50}
    yield Claim(
        name="deeplab/original-miou",
        summary="the original reaches 58.03 % mIoU after 50 epochs on train",
        subject=ORIGINAL,
        quantity="miou",
        comparator="about",
        value=0.5803,
        tolerance=0.00005 / 0.5803,
        conditions=baseline,
        source=_source("Current Baseline"),
    )
    targets = _source("Optimized Model Targets")
    yield _score("target-basic", "ce", 55, 58, STANDARD, "no enhancements: 55-58 % mIoU", targets)
    yield _score("target-focal", "focal", 56, 59, STANDARD, "with focal loss: 56-59 % mIoU", targets)
    yield _score("target-enhanced", "focal", 57, 60, ENHANCED, "with enhanced augmentation: 57-60 % mIoU", targets)
    yield _score("target-trainval", "focal", 60, 63, TRAINVAL, "with the trainval split: 60-63 % mIoU", targets)
    yield _score("target-full", "focal", 62, 66, TRAINVAL, "trainval, focal loss and enhanced augmentation: 62-66 % mIoU", targets)
    strategies = (
        ("quick-test", "focal", 55, 58, {**STANDARD, "train.epochs": 50}, "1"),
        ("enhanced", "focal", 58, 61, {**ENHANCED, "train.epochs": 100}, "2"),
        ("maximum", "combined", 62, 66, {**TRAINVAL, "train.epochs": 150}, "3"),
        ("fine-tune", "focal", 60, 64, {**TRAINVAL, "train.epochs": 100, "recipe": "fine-tune"}, "4"),
    )
    for recipe, loss, low, high, conditions, number in strategies:
        summary = f"{recipe}: {low}-{high} % mIoU"
        yield _score(f"strategy-{recipe}", loss, low, high, conditions, summary, _source(f"Training Strategies, {number}"))
    yield Claim(
        name="deeplab/optimal-training",
        summary="60-66 % mIoU with optimal training, read as enhanced augmentation for 100 or 150 epochs",
        subject=OPTIMIZED,
        quantity="miou",
        comparator="range",
        value=0.60,
        high=0.66,
        conditions=OPTIMAL,
        source=_source("Summary"),
    )


def _gains() -> Iterator[Claim]:
    section = _source("Training Strategies, 2")
    yield _points(
        "enhanced-gain",
        "enhanced augmentation gains 2-4 points of mIoU",
        (2, 4),
        source=section,
        conditions={**VOC_VAL, "train.augmentation": "enhanced"},
        baseline_conditions={"train.augmentation": "standard"},
    )
    yield _points(
        "trainval-gain",
        "training on trainval gains 3-5 points of mIoU",
        (3, 5),
        source=_source("Training Strategies, 3"),
        conditions={**VOC_VAL, "train.split": "trainval"},
        baseline_conditions={"train.split": "train", "split": "val"},
    )
    yield Claim(
        name="deeplab/maximum-gain",
        summary="maximum training gains 4-8 points of mIoU over the baseline, the original after 50 epochs on train",
        subject=f"{OPTIMIZED}|combined",
        baseline=ORIGINAL,
        quantity="miou",
        reading="points",
        comparator="range",
        value=0.04,
        high=0.08,
        conditions={**TRAINVAL, "train.epochs": 150},
        baseline_conditions={**STANDARD, "recipe": "quick-test", "train.epochs": 50},
        source=_source("Training Strategies, 3"),
    )
    yield Claim(
        name="deeplab/combined-over-focal",
        summary="adding Dice to the focal loss gains 1-2 points of mIoU",
        subject=f"{OPTIMIZED}|combined",
        baseline=f"{OPTIMIZED}|focal",
        quantity="miou",
        reading="points",
        comparator="range",
        value=0.01,
        high=0.02,
        conditions=VOC_VAL,
        source=_source("Training Strategies, 3"),
    )


def _losses() -> Iterator[Claim]:
    for loss, low, high in (("focal", 2, 3), ("dice", 1, 2), ("combined", 3, 4)):
        yield Claim(
            name=f"deeplab/{loss}-gain",
            summary=f"{loss} loss gains {low}-{high} points of mIoU over cross-entropy",
            subject=f"{OPTIMIZED}|{loss}",
            baseline=f"{OPTIMIZED}|ce",
            quantity="miou",
            reading="points",
            comparator="range",
            value=low / 100,
            high=high / 100,
            conditions=VOC_VAL,
            source=_source("Loss Function Comparison"),
        )


def _tables() -> Iterator[Claim]:
    batches, sizes = _source("Batch Size"), _source("Image Size")
    for batch, points in ((4, -1.0), (16, 0.5)):
        yield _points(
            f"batch-{batch}-miou",
            f"batch {batch} instead of 8: {points:+g} points of mIoU",
            (points, points),
            source=batches,
            conditions={**VOC_VAL, "train.batch_size": batch},
            baseline_conditions={"train.batch_size": 8},
        )
    for batch in (4, 8, 16):
        yield Claim(
            name=f"deeplab/batch-{batch}-memory",
            summary=f"batch {batch} needs a GPU of {batch} GB",
            subject=OPTIMIZED,
            quantity="training_memory_mb",
            comparator="at most",
            value=batch * 1024.0,
            good="lower",
            conditions={"device": "cuda", "image_size": 512, "batch_size": batch},
            source=batches,
        )
    for size, points in ((256, -5.0), (384, -2.0), (640, 1.0)):
        yield _points(
            f"size-{size}-miou",
            f"training at {size} instead of 512: {points:+g} points of mIoU",
            (points, points),
            source=sizes,
            conditions={**VOC_VAL, "train.image_size": size},
            baseline_conditions={"train.image_size": 512},
        )


def _durations() -> Iterator[Claim]:
    targets = _source("Optimized Model Targets")
    epochs = (("standard", "train", 20, 30), ("enhanced", "train", 25, 35), ("enhanced", "trainval", 40, 60))
    for augmentation, split, low, high in epochs:
        yield Claim(
            name=f"deeplab/epoch-{augmentation}-{split}",
            summary=f"an epoch takes {low}-{high} minutes ({augmentation} augmentation, {split})",
            subject=OPTIMIZED,
            quantity="train_seconds_per_epoch",
            comparator="range",
            value=low * 60.0,
            high=high * 60.0,
            good="lower",
            conditions={**VOC_512, "train.augmentation": augmentation, "train.split": split},
            source=targets,
        )
    for recipe, low, high in (("quick-baseline", 1, 2), ("efficient", 3, 4), ("maximum", 8, 12)):
        yield Claim(
            name=f"deeplab/hours-{recipe}",
            summary=f"the recipe {recipe} takes {low}-{high} hours",
            subject=OPTIMIZED,
            quantity="training_hours",
            comparator="range",
            value=float(low),
            high=float(high),
            good="lower",
            conditions={"dataset": "voc2012", "recipe": recipe},
            source=_source("Training Recipes"),
        )
    longer = "training takes 20-30 % longer (due to enhanced augmentation)"
    yield Claim(
        name="deeplab/enhanced-time",
        summary=longer,
        read_as="against itself with standard augmentation",
        subject=OPTIMIZED,
        baseline=OPTIMIZED,
        quantity="train_seconds_per_epoch",
        reading="ratio",
        comparator="range",
        value=1.2,
        high=1.3,
        good="lower",
        conditions={"dataset": "voc2012", "train.augmentation": "enhanced"},
        baseline_conditions={"train.augmentation": "standard"},
        source=_source("Summary"),
    )
    yield Claim(
        name="deeplab/enhanced-time-against-original",
        summary=longer,
        reading_of="deeplab/enhanced-time",
        read_as="against the original with standard augmentation",
        subject=OPTIMIZED,
        baseline=ORIGINAL,
        quantity="train_seconds_per_epoch",
        reading="ratio",
        comparator="range",
        value=1.2,
        high=1.3,
        good="lower",
        conditions={"dataset": "voc2012", "train.augmentation": "enhanced"},
        baseline_conditions={"train.augmentation": "standard"},
        source=_source("Summary"),
    )


def _curves() -> Iterator[Claim]:
    """The ends of the guide's stretches of epochs. Its only training of 150 epochs is the one with the combined loss."""
    for quantity, name, points in (
        ("epoch_val_miou", "miou", ((1, 20, 0.5), (20, 45, 0.5), (50, 55, 0.5), (100, 60, 0.5))),
        ("epoch_train_loss", "loss", ((1, 1.5, 0.05), (20, 0.6, 0.05), (50, 0.4, 0.05), (100, 0.3, 0.05), (150, 0.25, 0.005))),
    ):
        scale = 100 if name == "miou" else 1
        for epoch, figure, half_digit in points:
            yield Claim(
                name=f"deeplab/curve-{name}-{epoch}",
                summary=f"after epoch {epoch}: {f'{figure} % validation mIoU' if name == 'miou' else f'a training loss of {figure}'}",
                subject=f"{OPTIMIZED}|combined",
                quantity=quantity,
                comparator="about",
                value=figure / scale,
                tolerance=half_digit / figure,
                good="higher" if name == "miou" else "lower",
                conditions={"dataset": "voc2012", "image_size": 512, "train.epochs": 150, "epoch": epoch},
                source=_source("Expected Training Curves"),
            )


def _against_the_original() -> Iterator[Claim]:
    section = _source("Benchmarking Your Results")
    size = {"input_size": 512}
    yield _relative(
        "faster-as-less-time",
        "latency_ms",
        "reduction",
        0.3,
        high=0.4,
        summary="inference is 30-40 % faster",
        read_as="less time",
        source=_source("Summary"),
        conditions=size,
    )
    yield _relative(
        "faster-as-more-speed",
        "latency_ms",
        "speedup",
        1.3,
        high=1.4,
        summary="inference is 30-40 % faster",
        reading_of="deeplab/faster-as-less-time",
        read_as="more speed",
        source=section,
        conditions=size,
    )
    for phase, key in (("inference", "input_size"), ("training", "image_size")):
        yield _relative(
            f"{phase}-memory",
            f"{phase}_memory_mb",
            "reduction",
            0.6,
            summary="60 % less memory",
            reading_of="" if phase == "inference" else "deeplab/inference-memory",
            read_as=f"memory of {phase}",
            source=section,
            conditions={key: 512},
            tolerance=0.005 / 0.6,
        )
    yield Claim(
        name="deeplab/miou-loss",
        summary="the optimized model stays within 1-2 points of mIoU of the original",
        subject=OPTIMIZED,
        baseline=ORIGINAL,
        quantity="miou",
        reading="points",
        comparator="range",
        value=-0.02,
        high=-0.01,
        conditions=ANY_RECIPE,
        source=section,
    )


def _further_optimizations() -> Iterator[Claim]:
    section = _source("Further Optimizations")
    int8: Mapping[str, Any] = {"precision": "int8"}
    fp32: Mapping[str, Any] = {"precision": "fp32"}
    for name, quantity, low, high, summary in (
        ("int8-size", "deployed_file_mb", 4.0, None, "INT8 quantization makes the file 4x smaller"),
        ("int8-speed", "deployed_latency_ms", 2.0, 3.0, "INT8 quantization makes inference 2-3x faster"),
    ):
        yield Claim(
            name=f"deeplab/{name}",
            summary=summary,
            subject=OPTIMIZED,
            baseline=OPTIMIZED,
            quantity=quantity,
            reading="speedup",
            comparator="about" if high is None else "range",
            value=low,
            high=high,
            tolerance=0.5 / 4 if high is None else 0.0,
            conditions=int8,
            baseline_conditions=fp32,
            source=section,
        )
    yield Claim(
        name="deeplab/pruning",
        summary="pruning removes a further 20-30 % of the parameters (the guide names no score to keep)",
        subject=OPTIMIZED,
        baseline=OPTIMIZED,
        quantity="params",
        reading="reduction",
        comparator="range",
        value=0.2,
        high=0.3,
        conditions={"kind": "prune"},
        baseline_conditions={"kind": "train"},
        source=section,
    )


def _count(name: str, subject: str, quantity: str, value: float, half_digit: float, summary: str, source: str) -> Claim:
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=subject,
        quantity=quantity,
        comparator="about",
        value=value,
        tolerance=half_digit / value,
        good="lower",
        conditions=CLASSES,
        source=source,
    )


def _part(name: str, subject: str, quantity: str, value: float, summary: str, modules: tuple[str, ...], source: str) -> Claim:
    """An exact count of a part of the network."""
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=subject,
        quantity=quantity,
        comparator="about",
        value=value,
        good="lower",
        modules=modules,
        source=source,
    )


def _fewer(name: str, quantity: str, share: float, summary: str, modules: tuple[str, ...], source: str) -> Claim:
    """A part of the optimized network against the same part of the original, by exact counts."""
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=OPTIMIZED,
        baseline=ORIGINAL,
        quantity=quantity,
        reading="reduction",
        comparator="about",
        value=share,
        modules=modules,
        source=source,
    )


def _score(name: str, loss: str, low: int, high: int, conditions: Mapping[str, Any], summary: str, source: str) -> Claim:
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=f"{OPTIMIZED}|{loss}",
        quantity="miou",
        comparator="range",
        value=low / 100,
        high=high / 100,
        conditions=conditions,
        source=source,
    )


def _points(
    name: str,
    summary: str,
    points: tuple[float, float],
    *,
    source: str,
    conditions: Mapping[str, Any],
    baseline_conditions: Mapping[str, Any],
) -> Claim:
    """A gain in mIoU by a setting; a single figure holds within half of its last digit."""
    low, high = points
    single = low == high
    half_digit = 0.5 if low == int(low) else 0.05
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=OPTIMIZED,
        baseline=OPTIMIZED,
        quantity="miou",
        reading="points",
        comparator="about" if single else "range",
        value=low / 100,
        high=None if single else high / 100,
        tolerance=half_digit / abs(low) if single else 0.0,
        conditions=conditions,
        baseline_conditions=baseline_conditions,
        source=source,
    )


def _relative(
    name: str,
    quantity: str,
    reading: Literal["reduction", "speedup"],
    value: float,
    *,
    summary: str,
    source: str,
    conditions: Mapping[str, Any],
    high: float | None = None,
    tolerance: float = 0.0,
    reading_of: str = "",
    read_as: str = "",
) -> Claim:
    """The optimized model against the original."""
    return Claim(
        name=f"deeplab/{name}",
        summary=summary,
        subject=OPTIMIZED,
        baseline=ORIGINAL,
        quantity=quantity,
        reading=reading,
        comparator="about" if high is None else "range",
        value=value,
        high=high,
        tolerance=tolerance,
        conditions=conditions,
        source=source,
        reading_of=reading_of,
        read_as=read_as,
    )
