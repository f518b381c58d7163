"""Published datasets, each on a generated tree in its official layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from PIL import Image

import segbench_plugins.datasets
from segbench import DataError, Problem, Sample, Task
from segbench.plugin.registry import Catalog
from segbench.testing.plugins.datasets import CHECKS, DatasetSubject
from segbench_plugins.datasets.deepglobe_roads import split_of

Array = npt.NDArray[Any]
Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
TaskOf = Callable[[str], Task]

SIZE = (6, 8)


def write(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


class Tree:
    """Pictures that all differ, and labels that hold the values of ``row``."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0

    def image(self, name: str, *, bands: int = 3) -> None:
        self.count += 1
        rng = np.random.default_rng(self.count)
        write(self.root / name, rng.integers(0, 255, (*SIZE, bands) if bands > 1 else SIZE))

    def label(self, name: str, *row: int) -> None:
        write(self.root / name, np.resize(row, SIZE))

    def colours(self, name: str, *row: tuple[int, int, int]) -> None:
        write(self.root / name, np.resize(np.array(row), (*SIZE, 3)))

    def text(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)


def cityscapes(tree: Tree) -> None:
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau")):
        tree.image(f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png")
        tree.label(f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelIds.png", 7, 8, 0, 33, 29, 31, 26, 4)
        tree.label(f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_instanceIds.png", 1)


def ade20k(tree: Tree) -> None:
    for split, stems in (("training", ("ADE_train_00000001", "ADE_train_00000002")), ("validation", ("ADE_val_00000001",))):
        for stem in stems:
            tree.image(f"ADEChallengeData2016/images/{split}/{stem}.jpg")
            tree.label(f"ADEChallengeData2016/annotations/{split}/{stem}.png", 0, 1, 2, 150)


def pascal_context(tree: Tree) -> None:
    for split, stem in (("train", "2008_000002"), ("val", "2008_000003")):
        tree.image(f"VOCdevkit/VOC2010/JPEGImages/{stem}.jpg")
        tree.label(f"59_context_labels/{stem}.png", 0, 1, 2, 59)
        tree.text(f"VOCdevkit/VOC2010/ImageSets/Main/{split}.txt", f"{stem}\n")


def coco_stuff(tree: Tree) -> None:
    for split, stems in (("train", ("000000000009", "000000000025")), ("val", ("000000000139",))):
        for stem in stems:
            tree.image(f"images/{split}2017/{stem}.jpg")
            tree.label(f"annotations/{split}2017/{stem}.png", 0, 1, 12, 91, 181, 255)


def loveda(tree: Tree) -> None:
    for number, folder in enumerate(("Train/Urban", "Train/Rural", "Val/Urban", "Val/Rural")):
        tree.image(f"{folder}/images_png/{number}.png")
        tree.label(f"{folder}/masks_png/{number}.png", 0, 1, 7)


WHITE, BLUE, CYAN, GREEN, YELLOW, RED = (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)


def potsdam(tree: Tree) -> None:
    for tile in (*tiles("potsdam", "train"), *tiles("potsdam", "val"), "2_13"):
        tree.image(f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif")
        tree.colours(f"5_Labels_all/top_potsdam_{tile}_label.tif", WHITE, BLUE, CYAN, GREEN, YELLOW, RED)
    for tile in tiles("potsdam", "test")[1:]:
        tree.image(f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif")
        tree.colours(f"5_Labels_all/top_potsdam_{tile}_label.tif", (252, 255, 0))


def vaihingen(tree: Tree) -> None:
    for split in ("train", "val", "test"):
        for tile in tiles("vaihingen", split):
            tree.image(f"top/top_mosaic_09cm_area{tile}.tif")
            folder = "ISPRS_semantic_labeling_Vaihingen_ground_truth"
            tree.colours(f"{folder}_COMPLETE/top_mosaic_09cm_area{tile}.tif", WHITE, BLUE, CYAN, GREEN, YELLOW, RED)
            tree.colours(f"{folder}_eroded_COMPLETE/top_mosaic_09cm_area{tile}_noBoundary.tif", WHITE, (0, 0, 0))


def tiles(dataset: str, split: str) -> tuple[str, ...]:
    from segbench_plugins.datasets import potsdam, vaihingen

    return {"potsdam": potsdam.TILES, "vaihingen": vaihingen.TILES}[dataset][split]


def deepglobe_roads(tree: Tree) -> None:
    for number in range(100, 160):
        tree.image(f"train/{number}_sat.jpg")
        tree.colours(f"train/{number}_mask.png", (0, 0, 0), (3, 3, 3), (127, 127, 127), (128, 128, 128), (255, 255, 255))
    tree.image("valid/999_sat.jpg")


def floodnet(tree: Tree) -> None:
    for split in ("train", "val", "test"):
        tree.image(f"FloodNet-Supervised_v1.0/{split}/{split}-org-img/6{len(split)}.jpg")
        tree.label(f"FloodNet-Supervised_v1.0/{split}/{split}-label-img/6{len(split)}_lab.png", 0, 1, 9)


def isbi_em(tree: Tree) -> None:
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 255, SIZE, np.uint8)) for _ in range(30)]
    pages[0].save(tree.root / "train-volume.tif", save_all=True, append_images=pages[1:])
    labels = [Image.fromarray(np.resize(np.array([0, 255, 255], np.uint8), SIZE)) for _ in range(30)]
    labels[0].save(tree.root / "train-labels.tif", save_all=True, append_images=labels[1:])


def crackforest(tree: Tree) -> None:
    (tree.root / "groundTruth").mkdir()
    for number in range(1, 52):
        tree.image(f"image/{number:03}.jpg")
        segments = np.resize(np.array([1, 2, 3, 1], np.uint8), SIZE)
        value = {"groundTruth": {"Segmentation": segments, "Boundaries": segments > 1}}
        scipy.io.savemat(tree.root / f"groundTruth/{number:03}.mat", value)


BUILDERS: dict[str, Callable[[Tree], None]] = {
    "cityscapes": cityscapes,
    "ade20k": ade20k,
    "pascal-context": pascal_context,
    "coco-stuff": coco_stuff,
    "loveda": loveda,
    "potsdam": potsdam,
    "vaihingen": vaihingen,
    "deepglobe-roads": deepglobe_roads,
    "floodnet": floodnet,
    "isbi-em": isbi_em,
    "crackforest": crackforest,
}
FIRST_ROW = {  # dataset with options: split, labels of the first row of its first sample
    "cityscapes": ("train", [0, 1, 255, 18, 255, 16, 13, 255]),
    "ade20k": ("train", [255, 0, 1, 149]),
    "pascal-context": ("train", [255, 0, 1, 58]),
    "pascal-context[background=true]": ("train", [0, 1, 2, 59]),
    "coco-stuff": ("train", [0, 1, 11, 80, 170, 255]),
    "coco-stuff[coarse=true]": ("train", [9, 11, 8, 17, 24, 255]),
    "loveda": ("train", [255, 0, 6]),
    "potsdam": ("train", [0, 1, 2, 3, 4, 5]),
    "vaihingen": ("train", [0, 1, 2, 3, 4, 5]),
    "vaihingen[eroded=true]": ("test", [0, 255]),
    "deepglobe-roads": ("train", [0, 0, 0, 1, 1]),
    "floodnet": ("train", [0, 1, 9]),
    "isbi-em": ("train", [1, 0, 0]),
    "crackforest": ("train", [0, 1, 255, 0]),
}
COUNTS = {
    "cityscapes": {"train": 2, "val": 1},
    "coco-stuff": {"train": 2, "val": 1},
    "loveda": {"train": 2, "val": 2},
    "loveda[scene=rural]": {"train": 1, "val": 1},
    "potsdam": {"train": 17, "val": 7, "test": 14, "trainval": 24},
    "vaihingen": {"train": 11, "val": 5, "test": 17, "trainval": 16},
    "isbi-em": {"train": 20, "val": 5, "test": 5},
    "crackforest": {"train": 31, "val": 10, "test": 10},
}


def build(name: str, root: Path) -> Path:
    BUILDERS[name.partition("[")[0]](Tree(root))
    return root


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DatasetSubject:
    spec = next(s for s in segbench_plugins.datasets.segbench_datasets() if s.name == request.param)
    return DatasetSubject(spec, spec.options.resolve(), build(spec.name, tmp_path_factory.mktemp("tree")))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_tree_in_the_official_layout_conforms(subject: DatasetSubject, check: Any) -> None:
    check.run(subject)


@pytest.mark.parametrize(("dataset", "split", "row"), [(name, *expected) for name, expected in FIRST_ROW.items()])
def test_stored_labels_are_the_official_classes(dataset: str, split: str, row: list[int], tmp_path: Path, load: Load) -> None:
    mask = load(dataset, build(dataset, tmp_path), split)[0].mask

    assert mask.shape == SIZE
    assert mask.flatten()[: len(row)].tolist() == row


@pytest.mark.parametrize("dataset", COUNTS)
def test_splits_are_the_official_ones(dataset: str, tmp_path: Path, load: Load) -> None:
    root = build(dataset, tmp_path)

    assert {split: len(load(dataset, root, split)) for split in COUNTS[dataset]} == COUNTS[dataset]


CLASSES = {
    "cityscapes": (19, {"road": (128, 64, 128), "bicycle": (119, 11, 32)}),
    "ade20k": (150, {"wall": (120, 120, 120), "flag": (92, 0, 255), "bed": (204, 5, 255)}),
    "pascal-context": (59, {"aeroplane": (128, 0, 0)}),
    "pascal-context[background=true]": (60, {"background": (0, 0, 0), "aeroplane": (128, 0, 0)}),
    "coco-stuff": (171, {"person": (128, 0, 0)}),
    "coco-stuff[coarse=true]": (27, {}),
    "loveda": (7, {"background": (255, 255, 255), "agriculture": (255, 195, 128)}),
    "potsdam": (6, {"car": (255, 255, 0)}),
    "vaihingen": (6, {"clutter": (255, 0, 0)}),
    "deepglobe-roads": (2, {}),
    "floodnet": (10, {"grass": (4, 250, 7)}),
    "isbi-em": (2, {}),
    "crackforest": (2, {}),
}


@pytest.mark.parametrize("dataset", CLASSES)
def test_classes_have_their_official_number_and_colours(dataset: str, task_of: TaskOf) -> None:
    task = task_of(dataset)
    count, colours = CLASSES[dataset]
    palette = dict(zip(task.class_names, task.palette, strict=True))

    assert task.num_classes == count
    assert {name: palette[name] for name in colours} == colours


@pytest.mark.parametrize("dataset", sorted(BUILDERS))
def test_one_split_needs_its_own_files_only(dataset: str, tmp_path: Path, load: Load, catalog: Catalog) -> None:
    root = build(dataset, tmp_path)
    last = catalog.dataset(dataset).spec.split_names(catalog.dataset(dataset).options)[-1]
    samples = [s.id for s in load(dataset, root, last)]
    used = {path for name in samples for path in root.rglob("*") if path.is_file() and _belongs(path, name, dataset)}
    for path in root.rglob("*"):
        if path.is_file() and path not in used and path.suffix != ".txt":
            path.unlink()
    for file in root.rglob("train.txt"):
        file.unlink()

    assert [s.id for s in load(dataset, root, last)] == samples
    assert load(dataset, root, last)[0].mask.shape == SIZE


def _belongs(path: Path, name: str, dataset: str) -> bool:
    if dataset == "isbi-em":
        return True
    stem = name.rpartition("/")[2]
    return stem in path.name.replace("area", "").replace(".", "_").split("_") or path.stem.startswith(stem) or f"_{stem}_" in path.name


@pytest.mark.parametrize("dataset", sorted(set(BUILDERS) - {"isbi-em"}))
def test_a_missing_file_is_an_error_unless_partial(dataset: str, tmp_path: Path, load: Load, problems: Check) -> None:
    root = build(dataset, tmp_path)
    split = "train" if len(load(dataset, root, "train")) > 1 else "val"
    samples: Any = load(dataset, root, split)
    if len(samples) == 1:  # a second one, for the one that is lost
        pytest.skip("this layout's tree has one sample per split")
    victim: Path = samples.files[0][1]
    victim.unlink()

    with pytest.raises(DataError, match=rf"{victim.name} is not there.*partial=true"):
        load(dataset, root, split)
    assert any(victim.name in p.message and p.severity == "error" for p in problems(dataset, root))
    assert [s.id for s in load(f"{dataset}[partial=true]", root, split)] == list(samples.ids[1:])
    assert not [p for p in problems(f"{dataset}[partial=true]", root) if p.severity == "error"]


def test_another_label_value_is_named_with_its_count(tmp_path: Path, load: Load) -> None:
    root = build("floodnet", tmp_path)
    Tree(root).label("FloodNet-Supervised_v1.0/val/val-label-img/63_lab.png", 0, 11)

    with pytest.raises(
        DataError, match=r"63_lab\.png holds label values that this dataset does not have: 11 \(24 pixels\).*Expected: 0 to 9"
    ):
        load("floodnet", root, "val")[0]


def test_pixels_that_a_label_file_marks_as_missing_are_ignored(tmp_path: Path, load: Load) -> None:
    root = build("floodnet", tmp_path)
    values = np.resize(np.array([3, 77], np.uint8), SIZE)
    alpha = np.where(values == 77, 0, 255).astype(np.uint8)
    file = root / "FloodNet-Supervised_v1.0/val/val-label-img/63_lab.png"
    Image.merge("LA", [Image.fromarray(values), Image.fromarray(alpha)]).save(file)

    assert load("floodnet", root, "val")[0].mask[0, :4].tolist() == [3, 255, 3, 255]


def test_another_colour_is_refused(tmp_path: Path, load: Load) -> None:
    root = build("vaihingen", tmp_path)
    name = "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE/top_mosaic_09cm_area1.tif"
    Tree(root).colours(name, WHITE, (1, 2, 3))

    with pytest.raises(DataError, match=r"area1\.tif.*1 2 3 \(24 pixels\)"):
        load("vaihingen", root, "train")[0]


def test_a_shortened_copy_is_a_warning_with_the_official_number(tmp_path: Path, problems: Check) -> None:
    found = problems("cityscapes", build("cityscapes", tmp_path))

    assert [p.severity for p in found] == ["warning", "warning"]
    assert "split 'val' has 1 of the 500 samples of the whole dataset" in found[1].message


@pytest.mark.parametrize("dataset", sorted(BUILDERS))
def test_another_folder_is_refused_with_the_layout(dataset: str, tmp_path: Path, load: Load, problems: Check) -> None:
    with pytest.raises(DataError, match="Expected: "):
        load(dataset, tmp_path, "train")
    with pytest.raises(DataError, match="is not there"):
        load(dataset, tmp_path / "nowhere", "val")
    assert "error" in {p.severity for p in problems(f"{dataset}[partial=true]", tmp_path)}


def test_pictures_of_mmsegmentation_have_another_order_of_classes(tmp_path: Path, load: Load, task_of: TaskOf) -> None:
    tree = Tree(tmp_path)
    pascal_context(tree)
    (tmp_path / "59_context_labels").rename(tmp_path / "VOCdevkit/VOC2010/SegmentationClassContext")
    names = task_of("pascal-context").class_names
    mask = load("pascal-context", tmp_path, "train")[0].mask

    assert [names[i] if i != 255 else "-" for i in mask[0, :4].tolist()] == ["-", "aeroplane", "bag", "wood"]


def test_the_full_annotation_of_pascal_context_gives_the_same_classes(tmp_path: Path, load: Load, task_of: TaskOf) -> None:
    tree = Tree(tmp_path)
    pascal_context(tree)
    (tmp_path / "59_context_labels").rename(tmp_path / "elsewhere")
    (tmp_path / "trainval").mkdir()
    labels = np.resize(np.array([2, 397, 458, 459, 80], np.uint16), SIZE)
    scipy.io.savemat(tmp_path / "trainval" / "2008_000002.mat", {"LabelMap": labels})
    names = task_of("pascal-context").class_names
    mask = load("pascal-context", tmp_path, "train")[0].mask

    assert [names[i] if i != 255 else "-" for i in mask[0, :5].tolist()] == ["aeroplane", "diningtable", "wood", "-", "clothes"]


def test_slices_may_lie_in_folders(tmp_path: Path, load: Load) -> None:
    tree = Tree(tmp_path)
    for number in range(20):
        tree.image(f"image/{number}.png", bands=1)
        tree.label(f"label/{number}.png", 0, 255)

    assert {split: [s.id for s in load("isbi-em", tmp_path, split)] for split in ("val", "test")} == {
        "val": ["10", "11", "12", "13", "14"],
        "test": ["15", "16", "17", "18", "19"],
    }
    assert load("isbi-em", tmp_path, "train")[0].mask[0, :2].tolist() == [1, 0]
    assert load("isbi-em", tmp_path, "train")[0].inputs["image"].shape == (1, *SIZE)


def test_stacks_of_unequal_length_are_refused(tmp_path: Path, load: Load) -> None:
    build("isbi-em", tmp_path)
    Image.new("L", (8, 6)).save(tmp_path / "train-labels.tif")

    with pytest.raises(DataError, match=r"train-volume\.tif has 30 pages, but .*train-labels\.tif has 1"):
        load("isbi-em", tmp_path, "train")


def test_png_masks_of_cracks_are_read_in_both_forms(tmp_path: Path, load: Load) -> None:
    tree = Tree(tmp_path)
    for number, row in ((1, (0, 1, 255)), (2, (0, 255, 255))):
        tree.image(f"image/{number:03}.jpg")
        tree.label(f"mask_png/{number:03}.png", *row)
    first, second = load("crackforest", tmp_path, "train")

    assert first.mask[0, :3].tolist() == [0, 1, 255]
    assert second.mask[0, :3].tolist() == [0, 1, 1]


def test_the_split_of_a_road_image_depends_on_its_id_alone() -> None:
    splits = [split_of(str(number)) for number in range(4000)]

    shares = {split: splits.count(split) / 4000 for split in ("train", "val", "test")}
    assert shares == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.04)


def test_the_real_cracks_and_slices_are_read(real_data: Callable[[str], Path], load: Load) -> None:
    cracks, slices = real_data("crackforest"), real_data("isbi_em")

    assert {split: len(load("crackforest", cracks, split)) for split in ("train", "val", "test")} == {"train": 60, "val": 10, "test": 10}
    assert {split: len(load("isbi-em", slices, split)) for split in ("train", "val", "test")} == {"train": 10, "val": 5, "test": 5}
    shares = [(s.mask == 1).float().mean().item() for s in load("crackforest", cracks, "train")]
    assert 0.01 < np.mean(shares) < 0.025


def test_every_dataset_on_disk_is_documented() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    names = {spec.name for spec in segbench_plugins.datasets.segbench_datasets() if not spec.embedded}

    assert {name for name in names if f"`{name}" not in text} == set()
