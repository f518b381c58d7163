"""The built-in datasets: their options, what they contain and how they are laid out. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

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


class ReadyOptions(Options):
    """A published dataset in its official layout."""

    partial: bool = option(False, help="use the samples that are on disk and leave the others out")


class VocOptions(ReadyOptions):
    """Pascal VOC 2012."""

    augmented: bool = option(False, help="train on the SBD masks in SegmentationClassAug; val keeps its own masks")


class CamvidOptions(ReadyOptions):
    """CamVid, SegNet version."""

    test: bool = option(True, help="false where your copy has no test split: then val is what is scored")


class Sen1Floods11Options(ReadyOptions):
    """Sen1Floods11, hand-labelled chips."""

    fill_db: tuple[float, ...] = option(
        (-13.0, -21.0), help="value of missing radar pixels for VV and VH in dB; the default is half-way between land and water"
    )


class PascalContextOptions(ReadyOptions):
    """Pascal-Context."""

    background: bool = option(False, help="score the pixels outside of the 59 classes as a class of their own (60 in all)")


class CocoStuffOptions(ReadyOptions):
    """COCO-Stuff."""

    coarse: bool = option(False, help="27 groups of classes instead of 171 classes")


class LovedaOptions(ReadyOptions):
    """LoveDA."""

    scene: Literal["both", "urban", "rural"] = option("both", help="towns, the country, or both")


class IsprsOptions(ReadyOptions):
    """Potsdam and Vaihingen."""

    eroded: bool = option(False, help="labels with eroded boundaries, which the contest scores: a band around each object does not count")


class HfOptions(Options):
    """A local Parquet file or folder, or a folder that the datasets library saved."""

    path: str = option(".", help="Parquet file, folder of Parquet files, or saved folder, below --data DIR")
    image: str = option("image", help="column of the pictures")
    mask: str = option("mask", help="column of the masks")
    classes: tuple[str, ...] = option(("background", "foreground"), help="class names in the order of their ids")
    ignore: int | tuple[int, ...] = option(255, help="mask value of pixels that do not count, or several: (255,254)")
    value_map: str = option("", help='mask value:class id, as in "0:0,255:1"; also "1-9:1", "*:0" and "7:ignore"')
    channels: int = option(3, minimum=1, maximum=3, help="channels of the pictures: 1 or 3")
    train: str = option("train", help="name of the training split")
    val: str = option("validation", help="name of the validation split (empty: there is none)")
    test: str = option("test", help="name of the test split (empty: there is none)")


class FolderOptions(Options):
    """Any folders of images and masks with equal file stems."""

    name: str = option("", help="what results call this dataset")
    images: str | tuple[str, ...] = option(
        "images", help='image folder with its sub-folders or a pattern ("data/**/*_rgb.png"), one per input'
    )
    masks: str = option("masks", help='mask folder or pattern; a second star takes several masks per image: "data/*_mask*.png"')
    inputs: tuple[str, ...] = option(("image",), help="name of each input")
    bands: tuple[int, ...] = option((3,), minimum=1, help="channels of each input")
    pages: Literal["", "bands", "samples"] = option("", help="files of several pages: each page is a band, or a sample (default: refused)")
    split: tuple[float, ...] = option((0.7, 0.15, 0.15), minimum=0.0, maximum=1.0, help="shares of train, val (and test), by hashed stem")
    split_by: str = option("", help='"blocks[size=2000]": georeferenced tiles in one square of the map are not divided (size in its units)')
    group: str = option("", help="regular expression: what it matches in a stem names the scene, and no scene is divided between splits")
    train: str | None = option(None, help="instead of 'split': sub-folder or list file of the training split")
    val: str | None = option(None, help="sub-folder or list file of the validation split")
    test: str | None = option(None, help="sub-folder or list file of the test split")
    classes: str | tuple[str, ...] = option(
        (),
        help="class names in the order of their ids, or a file with one a line (default: those of colours, or background, foreground)",
    )
    headline: str | None = option(None, help="class whose IoU is quoted (default: the second of two)")
    colours: str = option("", help='masks in colours: "background:0 0 0,disk:128 0 0", class_dict.csv, labelmap.txt, or palette')
    ignore: int | tuple[int, ...] = option(255, help="mask value of pixels that do not count, or several: (255,254)")
    reduce_zero: bool = option(False, help="label 0 is ignored and classes begin at 1")
    value_map: str = option("", help='mask value:class id, as in "0:0,255:1"; also "1-9:1", "*:0", "7:ignore" and shifts, "1-150:-1"')
    image_suffix: str | tuple[str, ...] = option("", help='ending of image stems that mask stems lack ("_rgb"), or one per input')
    mask_suffix: str = option("", help='ending of mask stems that image stems lack ("_mask")')
    rgb: bool = option(True, help="inputs of 3 channels are colours, which augmentation may jitter")
    scale: float = option(1.0, help="factor before mean and std")
    mean: tuple[float, ...] = option((), help="mean per channel of all inputs (default: computed from the training split)")
    std: tuple[float, ...] = option((), help="deviation per channel of all inputs (default: computed)")
    fill: float | None = option(None, help="value that replaces missing pixels: NaN, declared nodata")
    ignore_missing: bool = option(False, help="labels of pixels at which no image has data (nodata, transparent, NaN) do not count")


def camvid_splits(options: CamvidOptions) -> tuple[str, ...]:
    """All three splits, or those of a copy without test frames."""
    return ("train", "val", "test") if options.test else ("train", "val")


def folder_splits(options: FolderOptions) -> tuple[str, ...]:
    """Splits of a ``folder`` dataset: those named one by one, else one for each share in ``split``."""
    named = tuple(name for name in ("train", "val", "test") if getattr(options, name) is not None)
    return named or ("train", "val", "test")[: len(options.split)]


def hf_splits(options: HfOptions) -> tuple[str, ...]:
    """The splits that have a name of their own."""
    return tuple(name for name in ("train", "val", "test") if getattr(options, name))


@hookimpl
def segbench_datasets() -> Iterable[DatasetSpec]:
    """The datasets that come with segbench."""
    return [
        _spec("shapes", "Generated shapes on textured ground, 6 classes; the embedded default.", ShapesOptions, embedded=True),
        _spec("flood-shapes", "Generated flood scenes: radar 2, optical 13 bands.", FloodShapesOptions, embedded=True),
        *_published(),
        _spec(
            "hf",
            "A local Parquet file, or a folder that the datasets library saved.",
            HfOptions,
            splits=hf_splits,
            check=True,
            remedies=("value_map", "ignore"),
        ),
        _spec(
            "folder",
            "Your own images and masks, paired by name.",
            FolderOptions,
            splits=folder_splits,
            groups=True,
            unused=True,
            remedies=("value_map", "ignore", "colours", "group"),
        ),
    ]


def _published() -> Iterable[DatasetSpec]:
    """Published datasets, each in the layout of its authors. Road scenes first, then photographs, the air, and the rest."""
    return [
        _spec(
            "camvid",
            "CamVid road scenes, SegNet version, 11 classes (367 train, 101 val, 233 test).",
            CamvidOptions,
            splits=camvid_splits,
            groups=True,
            source="Brostow et al., Pattern Recognition Letters 2009; split of Badrinarayanan et al., arXiv 1511.00561",
        ),
        _spec(
            "cityscapes",
            "Cityscapes road scenes, fine labels, 19 of 34 ids (2 975 train, 500 val).",
            ReadyOptions,
            splits=("train", "val"),
            source="Cordts et al., CVPR 2016; ids and colours: cityscapesScripts, helpers/labels.py",
        ),
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
            "pascal-context",
            "Pascal-Context, 59 classes; background is not scored, or a class with background=true (4 998 train, 5 105 val).",
            PascalContextOptions,
            splits=("train", "val"),
            source="Mottaghi et al., CVPR 2014",
        ),
        _spec(
            "ade20k",
            "ADE20K scene parsing, 150 classes; label 0, other, is not scored (20 210 train, 2 000 val).",
            ReadyOptions,
            splits=("train", "val"),
            source="Zhou et al., CVPR 2017",
        ),
        _spec(
            "coco-stuff",
            "COCO-Stuff 164k, 171 classes, or 27 with coarse=true (118 287 train, 5 000 val).",
            CocoStuffOptions,
            splits=("train", "val"),
            source="Caesar et al., CVPR 2018; 27 classes: Ji et al., ICCV 2019",
        ),
        _spec(
            "loveda",
            "LoveDA land cover, towns and country, 7 classes; label 0, no data, is not scored (2 522 train, 1 669 val).",
            LovedaOptions,
            splits=("train", "val"),
            source="Wang et al., NeurIPS Datasets and Benchmarks 2021",
        ),
        _spec(
            "potsdam",
            "ISPRS Potsdam aerial tiles, RGB, 6 classes (17 train, 7 val, 14 test).",
            IsprsOptions,
            splits=("train", "val", "test", "trainval"),
            unions={"trainval": ("train", "val")},
            source="Rottensteiner et al., ISPRS Annals 2012; validation tiles of Volpi and Tuia, TGRS 2017",
        ),
        _spec(
            "vaihingen",
            "ISPRS Vaihingen aerial tiles, infrared-red-green, 6 classes (11 train, 5 val, 17 test).",
            IsprsOptions,
            splits=("train", "val", "test", "trainval"),
            unions={"trainval": ("train", "val")},
            source="Rottensteiner et al., ISPRS Annals 2012; validation tiles of Volpi and Tuia, TGRS 2017",
        ),
        _spec(
            "deepglobe-roads",
            "DeepGlobe roads from above, 2 classes; the 6 226 labelled images divided by hash.",
            ReadyOptions,
            source="Demir et al., CVPR Workshops 2018",
        ),
        _spec(
            "floodnet",
            "FloodNet after a hurricane, 10 classes (1 445 train, 450 val, 448 test).",
            ReadyOptions,
            source="Rahnemoonfar et al., IEEE Access 2021",
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
        _spec(
            "isbi-em",
            "ISBI 2012 electron microscopy, cells and membranes; 30 slices divided 20, 5, 5.",
            ReadyOptions,
            source="Arganda-Carreras et al., Frontiers in Neuroanatomy 2015",
        ),
        _spec(
            "crackforest",
            "CrackForest road cracks, 2 classes; 118 images divided 78, 20, 20.",
            ReadyOptions,
            source="Shi et al., IEEE Transactions on Intelligent Transportation Systems 2016",
        ),
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
    unused: bool = False,
    fetch: bool = False,
    remedies: tuple[str, ...] = (),
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
        unused=f"{module}:unused" if unused else None,
        fetch=f"{module}:downloads" if fetch else None,
        remedies=remedies,
        embedded=embedded,
        recipe=recipe,
        source=source,
    )
