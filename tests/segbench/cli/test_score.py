"""``segbench score``: masks of a network score as the network does, and what other commands make of the result."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.results.store import load_run

DOTS = ("--dataset", "dots[test=12,size=24]", "--split", "test")
QUALITY = (
    "miou",
    "miou_micro",
    "miou_imagewise",
    "miou_worst_decile",
    "miou_frequency_weighted",
    "boundary_iou",
    "boundary_iou_uncut",
    "pixel_accuracy",
    "mean_accuracy",
    "iou_per_class",
    "f1_per_class",
    "boundary_iou_per_class",
    "miou_ci95",
)


def _label(index: int) -> Any:
    label = np.zeros((24, 24), np.uint8)
    label[:, 12 + index % 2 :] = 1
    return label


def _masks(folder: Path, wrong: int = 0, *, name: str = "test-{}", count: int = 12, values: tuple[int, int] = (0, 1)) -> Path:
    """Masks of ``dots``, right but for so many columns."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        label = _label(index)
        label[:, :wrong] = 1
        Image.fromarray(np.where(label == 1, values[1], values[0]).astype(np.uint8)).save(folder / f"{name.format(index)}.png")
    return folder


def _dataset(root: Path) -> Path:
    """The images and masks of ``dots`` as files, and one more to train on."""
    _masks(root / "masks", count=13)
    (root / "images").mkdir()
    for index in range(13):
        picture = np.repeat((_label(index) * 200 + index)[..., None], 3, axis=2)
        Image.fromarray(picture).save(root / "images" / f"test-{index}.png")
    (root / "train.txt").write_text("test-12")
    (root / "val.txt").write_text("\n".join(f"test-{index}" for index in range(12)))
    return root


def _renamed(folder: Path, name: str) -> None:
    for index in range(12):
        (folder / f"test-{index}.png").rename(folder / f"{name.format(index)}.png")


@pytest.mark.parametrize("class_map", [None, "dark:lit,bright:unlit", "dark:unlit,bright:ignore,ignore:lit"])
def test_masks_score_as_the_network_that_made_them(segbench: Any, untrained: Any, tmp_path: Path, class_map: str | None) -> None:
    cell = untrained(tmp_path / "run", "dot", "dots")
    best = cell.parent / "checkpoints" / cell.name / "best.pt"
    assert segbench("predict", best, *DOTS, "--out", "made").code == 0
    data: tuple[Any, ...] = DOTS
    mapped: tuple[str, ...] = ("--metrics", "mean_dice")
    if class_map is not None:
        images = _dataset(tmp_path / "data")
        folder = "folder[images=images,masks=masks,classes=(unlit,lit),train=train.txt,val=val.txt]"
        data, mapped = ("--dataset", folder, "--data", str(images), "--split", "val"), (*mapped, "--class-map", class_map)
    network = segbench("evaluate", "--checkpoint", best, *data, *mapped, "--set", "execute.where=inline", "--device", "cpu", "--json")
    masks = segbench("score", "made", *data, *mapped, "--json")
    assert (network.code, masks.code) == (0, 0), network.err + masks.err
    (own,), (scored,) = (json.loads(answer.out)["cells"] for answer in (network, masks))
    for key in QUALITY:
        assert scored["quality"][key] == pytest.approx(own["quality"][key], abs=1e-9), key
    dice, own_dice = scored["quality"]["metrics"]["mean_dice"], own["quality"]["metrics"]["mean_dice"]
    assert (dice["value"], dice["title"]) == (pytest.approx(own_dice["value"], abs=1e-9), "Dice")
    assert 0 < scored["quality"]["miou"] < 1, "a perfect score would hide most faults"
    assert (scored["kind"], scored["model"], scored["loss"], scored["quality"]["ece"]) == ("masks", "made", None, None)
    assert any("no calibration, as masks hold no probabilities" in note for note in scored["notes"])
    assert any("made these masks with dot" in note for note in scored["notes"])
    if class_map is not None:
        assert scored["resolved"]["eval"]["class_map"] == class_map
        assert any(note.startswith("scored by a class map") for note in scored["notes"])


def test_two_folders_are_compared_and_every_command_takes_the_result(segbench: Any, tmp_path: Path) -> None:
    _masks(tmp_path / "a" / "masks", 1)
    _masks(tmp_path / "b" / "masks", 4)
    answer = segbench("score", "good=a/masks", "b/masks", *DOTS, "--out", "out")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "masks scores 20.9 points lower in mIoU" in said
    assert "these two folders of masks" in said
    assert "checkpoint" not in said
    assert "Data:   out/run.json" in answer.out
    run = load_run(tmp_path / "out")
    assert [cell.model for cell in run.cells] == ["good", "masks"]
    (verdict,) = [one for one in run.comparisons if one.quantity == "miou"]
    assert (verdict.verdict, verdict.scope, verdict.n) == ("worse", "these two folders of masks", 12)
    report = (tmp_path / "out" / "report.md").read_text()
    for absent in ("params", "MACs", "latency", "Compared with one seed", "architectures"):
        assert absent not in report.replace(run.cells[0].notes[0], ""), absent
    assert "images with the lowest mIoU" in report
    assert "predictions/good/test-" in report
    assert (tmp_path / "out" / "report.html").exists()
    assert segbench("schema", "--validate", "out/run.json").code == 0
    assert segbench("report", "out", "--format", "csv", "--stdout").code == 0
    assert "no difference shown" in segbench("compare", "out", "out").out
    assert segbench("publish", "out", "--out", "site").code == 0
    again = segbench("score", "a/masks", *DOTS, "--out", "out")
    assert (again.code, "is not empty" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (lambda f: (f / "test-3.png").unlink(), (), "1 of the 12 images of 'test' have no mask: test-3"),
        (lambda f: (f / "test-3.png").rename(f / "test-9.png"), (), "Add them, or score those that are there: --partial"),
        (lambda f: shutil.copy(f / "test-3.png", f / "val-0.png"), (), "1 mask is of no image of 'test': val-0"),
        (lambda f: shutil.copy(f / "test-3.png", f / "test-3.bmp"), (), "are two masks of one image"),
        (lambda f: _renamed(f, "TEST-{}"), (), "upper and lower case: rename the masks"),
        (lambda f: _renamed(f, "test-0{}"), (), "leading zeros: rename the masks"),
        (lambda f: _renamed(f, "test-{}_pred"), (), "try --suffix=_pred"),
        (lambda f: _renamed(f, "frame{}"), (), "masks of another dataset or split?"),
        (lambda f: Image.new("L", (10, 12)).save(f / "test-2.png"), (), "test-2.png is 12x10, its label 24x24"),
        (lambda f: _masks(f, values=(0, 7)), (), "hold values that are no class: 7 (3312 pixels)"),
        (lambda f: _masks(f, values=(0, 255)), (), "If 255 is 'bright', type --classes '0:dark,255:bright'"),
        (lambda f: (f / "test-0.png").write_bytes(b"no picture"), (), "cannot read"),
        (lambda f: Image.new("RGB", (24, 24), (1, 2, 3)).save(f / "test-0.png"), (), "1 2 3 (576 pixels)), but no table says"),
        (lambda f: None, ("--classes", "sun,moon"), "only the network has sun, moon"),
        (lambda f: None, ("--class-map", "sun:dark"), "no masks have a class 'sun'"),
        (lambda f: None, ("--colours", "dataset"), "declares no colours"),
        (lambda f: None, ("--classes", "nothing"), "there is no such file, and it is no list"),
        (lambda f: None, ("--split", "tset"), "Did you mean 'test'?"),
        (shutil.rmtree, (), "is not there"),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit_are_refused_in_one_message(segbench: Any, tmp_path: Path, change: Any, flags: Any, message: str) -> None:
    change(_masks(tmp_path / "masks"))
    answer = segbench("score", "masks", *DOTS, *flags, "--out", "out")
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert message in answer.err
    assert answer.err.count("Error") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_what_is_there_is_scored_without_a_rank(segbench: Any, tmp_path: Path) -> None:
    _masks(tmp_path / "all", 2)
    _masks(tmp_path / "some", 2, count=4)
    answer = segbench("score", "all", "some", *DOTS, "--partial", "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    whole, part = document["cells"]
    assert (whole["quality"]["split_images"], part["quality"]["images"], part["quality"]["split_images"]) == (None, 4, 12)
    assert "scored on 4 of 12 images of the split: not ranked, not compared, not judged against claims" in part["notes"]
    assert document["comparisons"] == []
    told = segbench("score", "all", "some", *DOTS, "--partial")
    assert "Some rows, named below the table, are scored on 4 of 12 images" in told.out


def test_forms_of_masks_and_names_that_mean_the_same_score_alike(segbench: Any, tmp_path: Path) -> None:
    first = _masks(tmp_path / "plain", 3)
    deep = tmp_path / "deep" / unicodedata.normalize("NFD", "schön")
    for index in range(12):
        ids = np.asarray(Image.open(first / f"test-{index}.png"))
        (deep / "x").mkdir(parents=True, exist_ok=True)
        np.save(deep / "x" / f"test-{index}_pred.npy", ids.astype(np.int16))
        (tmp_path / "colour").mkdir(exist_ok=True)
        Image.fromarray(np.stack([ids * 200, ids * 0, ids * 0], axis=2)).save(tmp_path / "colour" / f"test-{index}.png")
        (tmp_path / "large").mkdir(exist_ok=True)
        Image.fromarray(ids.astype(np.uint16) * 300).resize((72, 72), Image.Resampling.NEAREST).save(
            tmp_path / "large" / f"test-{index}.png"
        )
    runs = [
        ("plain", ()),
        ("deep", ("--suffix", "_pred")),
        ("colour", ("--colours", "dark:0 0 0,bright:#c80000")),
        ("large", ("--resize", "nearest", "--classes", "0:dark,300:bright")),
    ]
    cells = []
    for folder, flags in runs:
        answer = segbench("score", folder, *DOTS, *flags, "--json")
        assert answer.code == 0, answer.err
        cells += json.loads(answer.out)["cells"]
    assert [cell["quality"]["iou_per_class"] for cell in cells] == [cells[0]["quality"]["iou_per_class"]] * 4
    assert "12 of 12 masks brought to the label's size: each pixel takes the nearest of the mask" in cells[3]["notes"]
    # by hand: three columns of 24 pixels of dark are called bright; dark is 12 or 13 columns wide
    dark, bright = 12 * 12.5 * 24, 12 * 11.5 * 24
    wrong = 12 * 3 * 24
    assert cells[0]["quality"]["iou_per_class"] == pytest.approx([(dark - wrong) / dark, bright / (bright + wrong)])


def _scored(segbench: Any, *arguments: Any) -> list[dict[str, Any]]:
    answer = segbench("score", *arguments, "--json")
    assert answer.code == 0, answer.err
    return list(json.loads(answer.out)["cells"])


def test_classes_in_another_order_and_classes_that_become_one_score_alike(segbench: Any, tmp_path: Path) -> None:
    _masks(tmp_path / "own", 3)
    _masks(tmp_path / "swapped", 3, values=(1, 0))
    many = _masks(tmp_path / "many", 3)
    for path in many.iterdir():
        ids = np.array(Image.open(path))
        ids[::2] += 2  # dark, lamp, night, sun
        Image.fromarray(ids).save(path)
    (own,) = _scored(segbench, "own", *DOTS)
    (swapped,) = _scored(segbench, "swapped", *DOTS, "--classes", "bright,dark")
    names = ("--classes", "dark,lamp,night,sun", "--class-map", "night:dark,lamp:bright,sun:bright")
    (merged,) = _scored(segbench, "many", *DOTS, *names)
    assert swapped["quality"]["iou_per_class"] == own["quality"]["iou_per_class"] == merged["quality"]["iou_per_class"]
    assert "classes were matched by name: masks hold them in another order than the dataset" in swapped["notes"]
    assert "scored by a class map: lamp to bright, night to dark, sun to bright" in merged["notes"]
    assert any("masks hold no probabilities that could be summed" in note for note in merged["notes"])


def test_pixels_without_a_class_are_wrong_and_all_rows_have_the_same_classes(segbench: Any, tmp_path: Path) -> None:
    _masks(tmp_path / "whole")
    for path in _masks(tmp_path / "holes").iterdir():
        ids = np.array(Image.open(path))
        ids[:, :6] = 255
        Image.fromarray(ids).save(path)
    whole, holes = _scored(segbench, "whole", "holes", *DOTS)
    assert whole["quality"]["class_names"] == holes["quality"]["class_names"] == ["dark", "bright", "(no counterpart)"]
    assert whole["quality"]["miou"] == 1
    assert holes["quality"]["iou_per_class"] == pytest.approx([6.5 / 12.5, 1, None]), "by hand: six of 12.5 dark columns are missed"
    assert "25 % of the labelled pixels have no class in the masks (ignored value or no data): they count as wrong" in holes["notes"]


def test_masks_of_images_that_were_trained_on_have_a_training_score(segbench: Any, untrained: Any, tmp_path: Path) -> None:
    cell = untrained(tmp_path / "run", "dot", "dots")
    best = cell.parent / "checkpoints" / cell.name / "best.pt"
    assert segbench("predict", best, "--dataset", "dots", "--split", "train", "--out", "made").code == 0
    (known,) = _scored(segbench, "made", "--dataset", "dots", "--split", "train")
    assert (known["quality"]["miou"], known["quality"]["training_score"] is None) == (None, False)
    (tmp_path / "made" / "predictions.json").unlink()
    (unknown,) = _scored(segbench, "made/masks", "--dataset", "dots", "--split", "train")
    assert unknown["quality"]["miou"] == known["quality"]["training_score"]
    assert "whether what made these masks was trained on 'train' is not known" in unknown["notes"]
