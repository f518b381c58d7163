from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from segbench import DataError, OptionError, Problem, Sample, Task
from segbench.plugin.registry import Catalog

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
Array = npt.NDArray[Any]
Write = Callable[[Path, Array], Path]
CRACKS = "folder[images=image,masks=mask_png,classes=(road,crack)]"
CELLS = 'folder[images=image,masks=label,bands=(1),classes=(membrane,cell),value_map="0:0,255:1"]'


@pytest.fixture
def root(tmp_path: Path, picture: Write) -> Path:
    """Ten images with masks of 0 and 1."""
    for index in range(10):
        picture(tmp_path / "images" / f"s{index}.png", np.full((4, 6, 3), index))
        picture(tmp_path / "masks" / f"s{index}.png", np.array([[0, 1] * 3] * 4))
    return tmp_path


def _ids(samples: Sequence[Sample]) -> list[str]:
    return [s.id for s in samples]


def test_hashed_splits_have_exact_shares_and_share_nothing(root: Path, load: Load) -> None:
    parts = {split: _ids(load("folder", root, split)) for split in ("train", "val", "test")}

    assert [len(ids) for ids in parts.values()] == [7, 1, 2]  # cuts at 7, 8.5 (to even: 8) and 10
    assert sorted(name for ids in parts.values() for name in ids) == [f"s{i}" for i in range(10)]


def test_hashed_splits_do_not_depend_on_what_files_are_called_first(root: Path, load: Load) -> None:
    before = _ids(load("folder", root, "val"))
    for folder in ("images", "masks"):
        path = root / folder / "s3.png"
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)

    assert _ids(load("folder", root, "val")) == before


def test_two_shares_make_two_splits(catalog: Catalog, root: Path, load: Load) -> None:
    chosen = catalog.dataset("folder[split=(0.5,0.3)]")

    assert chosen.spec.split_names(chosen.options) == ("train", "val")
    assert len(load("folder[split=(0.5,0.3)]", root, "train")) == 5
    assert len(load("folder[split=(0.5,0.3)]", root, "val")) == 3


def test_no_scene_is_divided_between_splits(
    tmp_path: Path, picture: Write, load: Load, groups: Callable[[str, Path, str], list[str]]
) -> None:
    for scene in range(6):
        for frame in range(3):
            picture(tmp_path / "images" / f"scene{scene}_{frame}.png", np.zeros((4, 4, 3)))
            picture(tmp_path / "masks" / f"scene{scene}_{frame}.png", np.zeros((4, 4)))
    dataset = 'folder[group="(.*)_",split=(0.5,0.5)]'
    scenes = {split: set(groups(dataset, tmp_path, split)) for split in ("train", "val")}

    assert scenes["train"] | scenes["val"] == {f"scene{i}" for i in range(6)}
    assert not scenes["train"] & scenes["val"]
    assert len(load(dataset, tmp_path, "train")) == 9


def test_splits_by_list_files_keep_their_order(root: Path, load: Load, catalog: Catalog) -> None:
    (root / "first.txt").write_text("s4\nimages/s2.png masks/s2.png\n\n")
    (root / "second.txt").write_text("s9.png\n")
    dataset = "folder[train=first.txt,val=second.txt]"
    chosen = catalog.dataset(dataset)

    assert chosen.spec.split_names(chosen.options) == ("train", "val")
    assert _ids(load(dataset, root, "train")) == ["s4", "s2"]
    assert _ids(load(dataset, root, "val")) == ["s9"]


def test_a_list_of_unknown_stems_is_an_error(root: Path, load: Load) -> None:
    (root / "first.txt").write_text("s4\nnobody\n")

    with pytest.raises(DataError, match=r"first\.txt lists stems without image and mask: nobody is not there"):
        load("folder[train=first.txt]", root, "train")


@pytest.mark.parametrize("inside", [True, False], ids=["train/images", "images/train"])
def test_splits_by_sub_folders_in_both_orders(tmp_path: Path, picture: Write, load: Load, inside: bool) -> None:
    for split, count in (("train", 3), ("validation", 2)):
        for index in range(count):
            for kind, pixels in (("images", np.zeros((4, 4, 3))), ("masks", np.zeros((4, 4)))):
                folder = tmp_path / split / kind if inside else tmp_path / kind / split
                picture(folder / f"{index}.png", pixels)
    dataset = "folder[train=train,val=validation]"

    assert len(load(dataset, tmp_path, "train")) == 3
    assert len(load(dataset, tmp_path, "val")) == 2
    with pytest.raises(DataError, match="there is no such list file or sub-folder"):
        load("folder[train=training]", tmp_path, "train")


def test_values_are_mapped_to_classes(root: Path, picture: Write, load: Load) -> None:
    for path in (root / "masks").iterdir():
        picture(path, np.array([[0, 255, 7, 3]]))
    mask = load('folder[value_map="0:0,255:1,1-3:0,*:ignore",ignore=99]', root, "train")[0].mask

    assert mask.dtype == torch.int64
    assert mask.tolist() == [[0, 1, 99, 0]]


def test_a_value_without_a_rule_is_named(root: Path, picture: Write, load: Load) -> None:
    picture(root / "masks" / "s0.png", np.array([[0, 255, 37]]))
    samples = [s for split in ("train", "val", "test") for s in [load('folder[value_map="0:0,255:1,1:1"]', root, split)]]

    with pytest.raises(DataError, match=r"s0\.png holds the value 37, which value_map does not name"):
        [sample.mask for split in samples for sample in split]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('value_map="0-0"', "is not of the form value:class"),
        ('value_map="0:0,255:2"', "there is no class 2"),
        ("ignore=1", "an ignore index outside of them"),
        ("classes=(one)", "give at least two"),
        ("classes=(road,crack),headline=crak", "headline = 'crak' is no class. Did you mean 'crack'?"),
        ("inputs=(sar,optical)", "need one entry each per input"),
        ("mean=(0.5),std=(0.5)", "mean and std need 3 values each"),
        ("scale=0.1", "scale needs mean and std"),
        ("split=(0.7,0.7)", "sum to at most 1"),
        ("split=(0.7,0)", "shares above 0"),
        ('group="("', "is not a regular expression"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_data_is_read(
    task_of: Callable[[str], Task], options: str, message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        task_of(f"folder[{options}]")

    assert message in str(caught.value)


def test_mean_and_deviation_are_divided_among_inputs(task_of: Callable[[str], Task]) -> None:
    task = task_of("folder[images=(a,b),inputs=(one,two),bands=(1,3),mean=(1,2,3,4),std=(5,6,7,8),scale=0.5]")

    assert task.normalisation["one"].mean == (1.0,)
    assert task.normalisation["two"].std == (6.0, 7.0, 8.0)
    assert task.normalisation["two"].scale == 0.5
    assert task.rgb == ("two",)
    assert task.headline == "foreground"
    assert not task_of("folder").normalisation


def test_grey_images_have_one_channel_or_three_equal_ones(root: Path, picture: Write, load: Load) -> None:
    for path in (root / "images").iterdir():
        picture(path, np.array([[10, 20]] * 2))

    assert load("folder[bands=(1)]", root, "train")[0].inputs["image"].shape == (1, 2, 2)
    three = load("folder", root, "train")[0].inputs["image"]
    assert three.shape == (3, 2, 2)
    assert torch.equal(three[0], three[2])


def test_colour_images_for_one_declared_channel_are_refused(root: Path, picture: Write, load: Load) -> None:
    for path in (root / "images").iterdir():
        picture(path, np.array([[[10, 20, 30]] * 2] * 2))
    with pytest.raises(DataError, match=r"has 3 channels, but 1 are declared\. Declare what the file has \(bands=\(3\)"):
        load("folder[bands=(1)]", root, "train")[0]


def test_sixteen_bit_images_keep_their_depth(root: Path, load: Load) -> None:
    for path in (root / "images").iterdir():
        Image.fromarray(np.array([[0, 40000]], np.uint16)).save(path)
    image = load("folder[bands=(1)]", root, "train")[0].inputs["image"]

    assert image.dtype == torch.uint16
    assert image.to(torch.int32).tolist() == [[[0, 40000]]]


def test_stems_may_differ_by_declared_endings(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abcd":
        picture(tmp_path / "all" / f"{name}_rgb.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "all" / f"{name}_mask.png", np.zeros((4, 4)))
    samples = load("folder[images=all,masks=all,image_suffix=_rgb,mask_suffix=_mask,split=(0.5,0.5)]", tmp_path, "train")

    assert set(_ids(samples)) < set("abcd")
    assert len(samples) == 2


def test_several_inputs_from_geotiffs(tmp_path: Path, picture: Write, geotiff: Write, load: Load) -> None:
    for name in "abcd":
        radar = np.full((2, 4, 4), -9.5, np.float64)
        radar[0, 0, 0] = np.nan
        geotiff(tmp_path / "S1" / f"{name}_S1.tif", radar)
        geotiff(tmp_path / "S2" / f"{name}_S2.tif", np.full((4, 4, 4), 70000 if name == "x" else 3000, np.int32))
        geotiff(tmp_path / "masks" / f"{name}.tif", np.ones((1, 4, 4), np.int16))
    dataset = "folder[images=(S1,S2),inputs=(sar,optical),bands=(2,4),image_suffix=(_S1,_S2),split=(0.5,0.5),fill=-20]"
    sample = load(dataset, tmp_path, "train")[0]

    assert sample.inputs["sar"].dtype == torch.float32
    assert sample.inputs["sar"][:, 0, 0].tolist() == [-20.0, -9.5]
    assert sample.inputs["optical"].dtype == torch.int16
    assert set(sample.mask.flatten().tolist()) == {1}
    with pytest.raises(DataError, match=r"has 2 channels, but 5 are declared\. Declare what the file has \(bands=\(2\)"):
        load(dataset.replace("(2,4)", "(5,4)"), tmp_path, "train")[0]


def test_an_image_without_mask_is_named(root: Path, load: Load, problems: Check) -> None:
    (root / "masks" / "s7.png").unlink()
    found = problems("folder", root)

    assert [p.severity for p in found] == ["error"]
    assert found[0].message.startswith(f"s7 is in {root / 'images'}, but without a partner of the same stem")
    with pytest.raises(DataError, match="s7 is in"):
        load("folder", root, "train")


def test_a_mask_without_image_is_only_a_warning(root: Path, load: Load, problems: Check) -> None:
    (root / "images" / "s7.png").unlink()

    assert [p.severity for p in problems("folder", root)] == ["warning"]
    assert len(load("folder", root, "train")) == 6


def test_half_empty_and_absent_folders_are_explained(root: Path, load: Load, problems: Check) -> None:
    with pytest.raises(DataError, match=r"mask is not there\. Did you mean 'masks'"):
        load("folder[masks=mask]", root, "train")
    with pytest.raises(DataError, match=r"the data folder .* is not there"):
        load("folder", root / "nowhere", "train")
    for path in (root / "masks").iterdir():
        path.unlink()
    assert "holds no pictures" in problems("folder", root)[0].message


def test_two_files_of_one_stem_are_refused(root: Path, picture: Write, load: Load) -> None:
    picture(root / "images" / "s0.jpg", np.zeros((4, 6, 3)))

    with pytest.raises(DataError, match="have the same stem"):
        load("folder", root, "train")


def test_samples_can_be_sent_to_workers(root: Path, load: Load) -> None:
    sent = pickle.loads(pickle.dumps(load('folder[value_map="0:0,1:1"]', root, "train")))

    assert set(sent[0].mask.flatten().tolist()) == {0, 1}


def test_the_real_cracks(real_data: Callable[[str], Path], load: Load) -> None:
    parts = [load(CRACKS, real_data("crackforest"), split) for split in ("train", "val", "test")]
    cracked = [float((s.mask.numpy() == 1).mean()) for part in parts for s in part]

    assert [len(part) for part in parts] == [56, 12, 12]
    assert sum(cracked) / len(cracked) == pytest.approx(0.016, abs=0.001)


def test_the_real_cells_are_one_channel_where_255_is_a_class(real_data: Callable[[str], Path], load: Load) -> None:
    sample = load(CELLS, real_data("isbi_em"), "train")[0]

    assert sample.inputs["image"].shape == (1, 512, 512)
    assert set(sample.mask.flatten().tolist()) == {0, 1}
