"""The plugins of this package. It imports no torch: segbench reads it each time it lists what is installed."""

from __future__ import annotations

from segbench import (
    AugmentationSpec,
    Claim,
    DatasetSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    Options,
    Task,
    hookimpl,
    option,
)


class UnetOptions(Options):
    """Options of ``example-unet``."""

    channels: int = option(
        16,
        minimum=1,
        help="channels at full resolution; doubled at each of three levels",
    )


class TverskyOptions(Options):
    """Options of ``example-tversky``."""

    alpha: float = option(0.3, minimum=0, help="weight of false positives")
    beta: float = option(0.7, minimum=0, help="weight of false negatives")


class StripesOptions(Options):
    """Options of ``example-stripes``."""

    samples: int = option(32, minimum=2, help="training images; half as many for validation")
    size: int = option(64, minimum=16, help="height and width in pixels")
    seed: int = 0


class RotateOptions(Options):
    """Options of ``example-rotate``."""

    degrees: float = option(20.0, minimum=0, maximum=180, help="largest angle, in both directions")


def stripes_task(options: StripesOptions) -> Task:
    """Background and stripe, on RGB images."""
    return Task(
        class_names=("background", "stripe"),
        palette=((40, 40, 40), (230, 160, 30)),
        headline="stripe",
    )


UNET = ModelSpec(
    name="example-unet",
    summary="Small U-Net with three levels",
    build="segbench_example.unet:build",
    options=UnetOptions,
    size_multiple=8,
    parts={"encoder": ("down.",), "decoder": ("up.", "merge."), "head": ("head.",)},
    head=("head.",),
    source="Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, arXiv:1505.04597",
)

TVERSKY = LossSpec(
    name="example-tversky",
    summary="1 - Tversky index: Dice with separate weights for false positives and negatives",
    build="segbench_example.tversky:build",
    options=TverskyOptions,
    source="Salehi et al. 2017, Tversky loss function for image segmentation, arXiv:1706.05721, eq. 3",
)

STRIPES = DatasetSpec(
    name="example-stripes",
    summary="Bright stripes on noise, drawn on access",
    task=stripes_task,
    splits=("train", "val"),
    load="segbench_example.stripes:load",
    options=StripesOptions,
    embedded=True,
)

SMALL = Claim(
    name="example/unet-params",
    summary="example-unet has 482 754 parameters for two classes",
    subject="example-unet",
    quantity="params",
    comparator="about",
    value=482_754,
    tolerance=0.0,
    conditions={"num_classes": 2},
    source="README of segbench-example",
)


AREA_ERROR = MetricSpec(
    name="example_area_error",
    summary="Error of the area of all classes but the first, image by image",
    from_image="segbench_example.area:area_error",
    title="area error",
    better="lower",
    meaning="difference between predicted and true area of everything but the background, as a share of the image; mean over images.",
    column=True,
)

ROTATE = AugmentationSpec(
    name="example-rotate",
    summary="Mirror images and rotation by a random angle",
    build="segbench_example.rotate:build",
    options=RotateOptions,
)


@hookimpl
def segbench_models() -> list[ModelSpec]:
    """One model."""
    return [UNET]


@hookimpl
def segbench_losses() -> list[LossSpec]:
    """One loss."""
    return [TVERSKY]


@hookimpl
def segbench_datasets() -> list[DatasetSpec]:
    """One dataset."""
    return [STRIPES]


@hookimpl
def segbench_claims() -> list[Claim]:
    """One claim."""
    return [SMALL]


@hookimpl
def segbench_metrics() -> list[MetricSpec]:
    """One metric."""
    return [AREA_ERROR]


@hookimpl
def segbench_augmentations() -> list[AugmentationSpec]:
    """One augmentation."""
    return [ROTATE]
