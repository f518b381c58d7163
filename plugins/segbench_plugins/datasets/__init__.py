"""The built-in datasets: their options, what they contain and how they are laid out. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import DatasetSpec, Options, hookimpl, option

_PACKAGE = "segbench_plugins.datasets"


class ShapesOptions(Options):
    """Generated pictures of shapes."""

    size: int = option(96, minimum=32, maximum=1024, help="height and width in pixels")
    train: int = option(256, minimum=2, help="images to train on")
    val: int = option(64, minimum=1, help="images to select on")
    test: int = option(64, minimum=1, help="images to score on")
    noise: float = option(0.06, minimum=0.0, maximum=1.0, help="deviation of the pixel noise, as a share of full brightness")
    seed: int = option(0, minimum=0, help="another seed gives other pictures")


class FloodShapesOptions(Options):
    """Generated flood scenes: radar and optical."""

    size: int = option(128, minimum=32, maximum=1024, help="height and width in pixels")
    train: int = option(128, minimum=2, help="scenes to train on")
    val: int = option(32, minimum=1, help="scenes to select on")
    test: int = option(32, minimum=1, help="scenes to score on")
    clouds: float = option(0.5, minimum=0.0, maximum=1.0, help="share of scenes with clouds (they hide optical bands, never radar)")
    unlabelled: float = option(0.25, minimum=0.0, maximum=1.0, help="share of scenes with an unlabelled patch")
    seed: int = option(0, minimum=0, help="another seed gives other scenes")


class VocOptions(Options):
    """Pascal VOC 2012."""

    augmented: bool = option(False, help="train on the SBD masks in SegmentationClassAug; val keeps its own masks")


class CamvidOptions(Options):
    """CamVid, SegNet version."""

    test: bool = option(True, help="false where your copy has no test split: then val is what is scored")


class Sen1Floods11Options(Options):
    """Sen1Floods11, hand-labelled chips."""

    fill_db: tuple[float, ...] = option(
        (-13.0, -21.0), help="value of missing radar pixels for VV and VH in dB; the default is half-way between land and water"
    )
    partial: bool = option(False, help="use the listed chips that are on disk and leave the others out")


class FolderOptions(Options):
    """Any folders of images and masks with equal file stems."""

    name: str = option("", help="what results call this dataset")
    images: str | tuple[str, ...] = option("images", help="image folder, or one folder per input")
    masks: str = option("masks", help="mask folder: single-channel or paletted files, one class id per pixel")
    inputs: tuple[str, ...] = option(("image",), help="name of each input")
    bands: tuple[int, ...] = option((3,), minimum=1, help="channels of each input")
    split: tuple[float, ...] = option((0.7, 0.15, 0.15), minimum=0.0, maximum=1.0, help="shares of train, val (and test), by hashed stem")
    group: str = option("", help="regular expression: what it matches in a stem names the scene, and no scene is divided between splits")
    train: str | None = option(None, help="instead of 'split': sub-folder or list file of the training split")
    val: str | None = option(None, help="sub-folder or list file of the validation split")
    test: str | None = option(None, help="sub-folder or list file of the test split")
    classes: tuple[str, ...] = option(("background", "foreground"), help="class names in the order of their ids")
    headline: str | None = option(None, help="class whose IoU is quoted (default: the second of two)")
    ignore: int = option(255, help="mask value of pixels that do not count")
    value_map: str = option("", help='mask value:class id, as in "0:0,255:1"; also "1-9:1", "*:0" and "7:ignore"')
    image_suffix: str | tuple[str, ...] = option("", help='ending of image stems that mask stems lack ("_rgb"), or one per input')
    mask_suffix: str = option("", help='ending of mask stems that image stems lack ("_mask")')
    rgb: bool = option(True, help="inputs of 3 channels are colours, which augmentation may jitter")
    scale: float = option(1.0, help="factor before mean and std")
    mean: tuple[float, ...] = option((), help="mean per channel of all inputs (default: computed from the training split)")
    std: tuple[float, ...] = option((), help="deviation per channel of all inputs (default: computed)")
    fill: float | None = option(None, help="value that replaces NaN in GeoTIFFs of floats")


def camvid_splits(options: CamvidOptions) -> tuple[str, ...]:
    """All three splits, or those of a copy without test frames."""
    return ("train", "val", "test") if options.test else ("train", "val")


def folder_splits(options: FolderOptions) -> tuple[str, ...]:
    """Splits of a ``folder`` dataset: those named one by one, else one for each share in ``split``."""
    named = tuple(name for name in ("train", "val", "test") if getattr(options, name) is not None)
    return named or ("train", "val", "test")[: len(options.split)]


@hookimpl
def segbench_datasets() -> Iterable[DatasetSpec]:
    """The datasets that come with segbench."""
    return [
        _spec("shapes", "Generated shapes on textured ground, 6 classes; the embedded default.", ShapesOptions, embedded=True),
        _spec("flood-shapes", "Generated flood scenes: radar 2, optical 13 bands.", FloodShapesOptions, embedded=True),
        _spec(
            "voc2012",
            "Pascal VOC 2012 segmentation, 21 classes (1 464 train, 1 449 val).",
            VocOptions,
            splits=("train", "val", "trainval"),
            unions={"trainval": ("train", "val")},
            fetch=True,
            source="Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2015",
        ),
        _spec(
            "camvid",
            "CamVid road scenes, SegNet version, 11 classes (367 train, 101 val, 233 test).",
            CamvidOptions,
            splits=camvid_splits,
            groups=True,
            source="Brostow et al., Pattern Recognition Letters 2009; split of Badrinarayanan et al., arXiv 1511.00561",
        ),
        _spec(
            "sen1floods11",
            "Sen1Floods11 hand-labelled flood chips, radar 2, optical 13 bands (252 train, 89 val, 90 test, 15 Bolivia).",
            Sen1Floods11Options,
            splits=("train", "val", "test", "bolivia"),
            groups=True,
            check=True,
            fetch=True,
            recipe="flood",
            source="Bonafilia et al., Sen1Floods11, CVPR Workshops 2020",
        ),
        _spec("folder", "Your own images and masks in two folders.", FolderOptions, splits=folder_splits, groups=True),
    ]


def _spec(
    name: str,
    summary: str,
    options: type[Options],
    *,
    splits: object = ("train", "val", "test"),
    unions: dict[str, tuple[str, ...]] | None = None,
    groups: bool = False,
    check: bool = False,
    fetch: bool = False,
    embedded: bool = False,
    recipe: str | None = None,
    source: str = "",
) -> DatasetSpec:
    """A spec whose functions stand under their usual names in the module of the same name."""
    module = f"{_PACKAGE}.{name.replace('-', '_')}"
    return DatasetSpec(
        name=name,
        summary=summary,
        options=options,
        task=f"{module}:task",
        load=f"{module}:load",
        splits=splits,  # type: ignore[arg-type]
        unions=unions or {},
        groups=f"{module}:groups" if groups else None,
        check=f"{module}:check" if check else None,
        check_data=None if embedded else f"{module}:check_data",
        fetch=f"{module}:downloads" if fetch else None,
        embedded=embedded,
        recipe=recipe,
        source=source,
    )
