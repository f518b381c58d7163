"""Catalogue of the built-in models: two DeepLabs for images, two networks for floods from radar and optical images, and files.

Each pair of networks is one comparison: what the second saves, and what it costs. Their options are the steps between the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from segbench import ModelSpec, Options, hookimpl, option
from segbench_plugins.models import smp, timm, torchvision, transformers

RECONSTRUCTION = "the text of a guide on efficient flood segmentation, which gives no code of any layer"
"""What both flood networks were made from: their layers are chosen here, so that claims about them are judged of this reconstruction."""

_PRETRAINED = "start the encoder from timm's weights (from the hub, unless weights names a file)"
_WEIGHTS = "local file with the encoder's weights (safetensors or torch); implies pretrained"


class DeepLabOptions(Options):
    """``deeplab-original``. Every mixture of these is a network."""

    encoder: str = option("mobilenetv3_small_100", help="timm encoder with features at strides 4, 8 and 16 (or dilatable to 16)")
    aspp_channels: int = option(256, minimum=1, help="channels of each ASPP branch and of their projection")
    aspp_rates: tuple[int, ...] = option((1, 6, 12, 18), minimum=1, help="dilation of each ASPP branch; pooling comes on top")
    aspp_dropout: float = option(0.3, minimum=0, maximum=0.9, help="share of values dropped after the ASPP projection")
    low_channels: int = option(48, minimum=1, help="channels of the skip at stride 4")
    mid_channels: int = option(0, minimum=0, help="channels of the skip at stride 8, 0 for none")
    decoder_channels: int = option(256, minimum=1, help="channels of both decoder convolutions")
    decoder: Literal["standard", "separable"] = option("standard", help="kind of the decoder convolutions")
    pretrained: bool = option(False, help=_PRETRAINED)
    weights: str | None = option(None, help=_WEIGHTS)


class DeepLabOptimizedOptions(DeepLabOptions):
    """``deeplab-optimized``: the same network with other defaults."""

    aspp_channels: int = option(128, minimum=1, help="channels of each ASPP branch and of their projection")
    aspp_rates: tuple[int, ...] = option((1, 6, 12), minimum=1, help="dilation of each ASPP branch; pooling comes on top")
    aspp_dropout: float = option(0.1, minimum=0, maximum=0.9, help="share of values dropped after the ASPP projection")
    low_channels: int = option(32, minimum=1, help="channels of the skip at stride 4")
    mid_channels: int = option(32, minimum=0, help="channels of the skip at stride 8, 0 for none")
    decoder_channels: int = option(128, minimum=1, help="channels of both decoder convolutions")
    decoder: Literal["standard", "separable"] = option("separable", help="kind of the decoder convolutions")


class FloodOptions(Options):
    """``flood-original``."""

    encoder: str = option("resnet50", help="timm encoder with a feature at stride 32, shared by both inputs")
    aspp: bool = option(True, help="an ASPP block between encoder and decoders")
    cbam: bool = option(True, help="CBAM after the fusion of the inputs, and after ASPP")
    dual_decoder: bool = option(True, help="a transformer branch beside the CNN branch")
    fusion: Literal["gate", "weighted"] = option("gate", help="how two branches become one: a gate per pixel or one learnt weight")
    pretrained: bool = option(False, help=_PRETRAINED)
    weights: str | None = option(None, help=_WEIGHTS)


class FloodEfficientOptions(FloodOptions):
    """``flood-efficient``: a lighter network of the same plan, with other defaults."""

    encoder: str = option("resnet34", help="timm encoder with a feature at stride 32, shared by both inputs")
    aspp: bool = option(False, help="an ASPP block between encoder and decoders")
    cbam: bool = option(False, help="CBAM after the fusion of the inputs, and after ASPP")
    fusion: Literal["gate", "weighted"] = option("weighted", help="how two branches become one: a gate per pixel or one learnt weight")


class FileOptions(Options):
    """``file``. What a file says of itself need not be said here."""

    path: str = option("", help="the network's file: .onnx, .xml (OpenVINO), .pt or .ts (TorchScript), .pt2 (torch.export)")
    layout: Literal["auto", "NCHW", "NHWC"] = option("auto", help="of its image; auto: by its shape, or by trying")
    scale: float | None = option(None, help="factor of stored values; by default 1/255 where mean and std are at most 1, else 1")
    mean: tuple[float, ...] = option((), help="taken off scaled values, one for all channels or one for each")
    std: tuple[float, ...] = option((), minimum=1e-6, help="what that is divided by")
    classes: str | tuple[str, ...] | None = option(None, help="names of its classes in order, or a file with one in each line")
    output: Literal["auto", "logits", "probabilities", "ids"] = option("auto", help="what it gives; auto: by its values")
    output_name: str | None = option(None, help="which output, where there are several")
    size: int | str | None = option(None, help="N or HxW, the one size that it takes, where its shape does not say")
    multiple: int | None = option(None, minimum=1, help="of which height and width must be multiples: images are padded")


@hookimpl
def segbench_models() -> Iterable[ModelSpec]:
    """The four networks that are written here, those of four libraries by name, and files of networks."""
    return [
        _deeplab("deeplab-original", "DeepLabV3+ on MobileNetV3-Small: wide ASPP, one skip, plain decoder", DeepLabOptions),
        _deeplab("deeplab-optimized", "the same at half the width, with a second skip and a separable decoder", DeepLabOptimizedOptions),
        _flood("flood-original", "radar and optical through one ResNet-50; ASPP, CBAM, two decoders", "build_original", FloodOptions),
        _flood("flood-efficient", "the same plan on ResNet-34 with pooled attention and no ASPP", "build_efficient", FloodEfficientOptions),
        smp.SPEC,
        torchvision.SPEC,
        transformers.SPEC,
        timm.SPEC,
        _file(),
    ]


def _file() -> ModelSpec:
    return ModelSpec(
        name="file",
        summary="a network as it lies in a file (ONNX, OpenVINO, TorchScript, torch.export), never trained",
        build="segbench_plugins.models.files:build",
        options=FileOptions,
        normalise="segbench_plugins.models.files:normalise",
        deployed="segbench_plugins.models.files:deployed",
        given="segbench_plugins.models.files:given",
        counts="segbench_plugins.models.files:counts",
    )


def _deeplab(name: str, summary: str, options: type[DeepLabOptions]) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        build="segbench_plugins.models.deeplab:build",
        options=options,
        min_size=32,
        parts={"encoder": ("encoder.",), "context": ("aspp.",), "decoder": ("decoder.",), "head": ("head.",)},
        head=("head.",),
        normalise="segbench_plugins.models.checks:normalise_image",
        check="segbench_plugins.models.checks:check_deeplab",
        source="Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, ECCV 2018",
    )


def _flood(name: str, summary: str, build: str, options: type[FloodOptions]) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=f"{summary} (a reconstruction)",
        build=f"segbench_plugins.models.flood:{build}",
        options=options,
        inputs=("sar", "optical"),
        min_size=32,
        parts={
            "encoder": ("project_sar.", "project_optical.", "encoder."),
            "context": ("context.",),
            "decoder": ("decoder.",),
            "head": ("head.",),
        },
        head=("head.",),
        check="segbench_plugins.models.checks:check_flood",
        reconstruction=RECONSTRUCTION,
        source="ASPP: Chen et al. 2017; CBAM: Woo et al., ECCV 2018; non-local attention: Wang et al., CVPR 2018",
    )
