"""Networks on datasets with other class names or another order of them: matched by name, refused, or mapped as the user says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SPLITS = {"train": 6, "val": 3}
RUN = ("--models", "dot", "--losses", "ce", "--recipe", "tiny", "--set", "execute.where=inline", "--set", "measure.latency=false")


def _disks(root: Path, ids: tuple[int, int]) -> Path:
    """Bright disks on dark noise; ``ids`` are those of background and disk."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24]
    for index in range(sum(SPLITS.values())):
        centre = rng.integers(8, 16, 2)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 30
        picture = rng.integers(0, 60, (24, 24, 3)) + 150 * inside[..., None]
        for folder, values in (("images", picture), ("masks", np.where(inside, ids[1], ids[0]))):
            path = root / folder / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
    return root


def _folder(*classes: str) -> str:
    return f"folder[images=images,masks=masks,classes=({','.join(classes)})]"


@pytest.fixture
def trained(segbench: Any, mishaps: Any, tmp_path: Path) -> Path:
    data = _disks(tmp_path / "data", (0, 1))
    done = segbench("run", *RUN, "--dataset", _folder("background", "disk"), "--data", data, "--out", tmp_path / "run", "--device", "cpu")
    assert done.code == 0, done.err
    _disks(tmp_path / "swapped", (1, 0))
    return tmp_path / "run"


def _evaluate(segbench: Any, *arguments: Any) -> dict[str, Any]:
    answer = segbench("evaluate", *arguments, "--device", "cpu", "--set", "execute.where=inline", "--json")
    assert answer.code == 0, answer.err
    (cell,) = json.loads(answer.out)["cells"]
    return dict(cell)


def _scores(cell: dict[str, Any]) -> dict[str, Any]:
    quality = cell["quality"]
    named = {key: dict(zip(quality["class_names"], quality[key], strict=True)) for key in ("iou_per_class", "boundary_iou_per_class")}
    return {**named, **{key: quality[key] for key in ("miou", "miou_micro", "miou_imagewise", "boundary_iou", "ece", "pixel_accuracy")}}


def test_the_same_names_in_another_order_score_alike(segbench: Any, trained: Path, tmp_path: Path) -> None:
    (file,) = trained.glob("checkpoints/*/best.pt")
    own = _evaluate(segbench, "--checkpoint", file, "--dataset", _folder("background", "disk"), "--data", tmp_path / "data")
    swapped = ("--dataset", _folder("disk", "background"), "--data", tmp_path / "swapped")
    other, of_run = _evaluate(segbench, "--checkpoint", file, *swapped), _evaluate(segbench, trained, *swapped)
    assert own["quality"]["class_names"] != other["quality"]["class_names"]
    assert _scores(own) == _scores(other) == _scores(of_run), "to the last digit"
    assert not any("matched by name" in note for note in own["notes"])
    assert any("matched by name" in note for note in other["notes"])
    assert any("matched by name" in note for note in of_run["notes"])


def test_other_names_are_refused_or_mapped(segbench: Any, trained: Path, tmp_path: Path) -> None:
    (file,) = trained.glob("checkpoints/*/best.pt")
    foreign = ("--dataset", _folder("ground", "cloud"), "--data", tmp_path / "data")
    for subject in (("--checkpoint", file), (trained,)):
        refused = segbench("evaluate", *subject, *foreign, "--device", "cpu")
        assert refused.code == 2
        assert "only the network has background, disk" in refused.err
        assert "--class-map" in refused.err
    own = _evaluate(segbench, "--checkpoint", file, "--dataset", _folder("background", "disk"), "--data", tmp_path / "data")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("network,dataset\nbackground,ground\ndisk,cloud\n")
    mapped = _evaluate(segbench, "--checkpoint", file, *foreign, "--class-map", pairs)
    assert mapped["quality"]["iou_per_class"] == own["quality"]["iou_per_class"]
    assert mapped["quality"]["ece"] == own["quality"]["ece"]
    assert "scored by a class map: background to ground, disk to cloud" in mapped["notes"]
    assert mapped["resolved"]["eval"]["class_map"] == "background:ground,disk:cloud", "the file may be gone later"
    merged = _evaluate(segbench, trained, *foreign, "--class-map", "background:ground,disk:ground,ignore:cloud")
    assert merged["quality"]["iou_per_class"] == [1.0, None]
    assert merged["quality"]["ece"] == pytest.approx(0, abs=1e-6), "both probabilities sum to 1, and the answer is right"


def test_masks_of_a_dataset_hold_its_classes(segbench: Any, trained: Path, tmp_path: Path) -> None:
    (file,) = trained.glob("checkpoints/*/best.pt")

    def masks(out: str, *classes: str, flags: tuple[str, ...] = ()) -> tuple[list[Any], Any]:
        answer = segbench(
            "predict", file, "--dataset", _folder(*classes), "--data", tmp_path / "data", "--split", "val", "--out", out, *flags
        )
        return [np.asarray(Image.open(path)) for path in sorted((tmp_path / out / "masks").glob("*.png"))], answer

    own, _ = masks("own", "background", "disk")
    other, answer = masks("other", "disk", "background")
    assert "matched by name" in answer.err
    assert len(own) == len(other) > 0
    assert all(np.array_equal(1 - a, b) for a, b in zip(own, other, strict=True))
    _, refused = masks("foreign", "ground", "cloud")
    assert (refused.code, "only the network has background, disk" in refused.err) == (2, True)
    kept, answer = masks("kept", "ground", "cloud", flags=("--class-map", "network"))
    assert "masks hold the network's classes (0 background, 1 disk), not those of dataset" in answer.err
    assert all(np.array_equal(a, b) for a, b in zip(own, kept, strict=True))
    gaps, _ = masks("gaps", "ground", "cloud", flags=("--class-map", "background:ground,disk:ignore,ignore:cloud"))
    assert all(np.array_equal(np.where(a == 1, 255, 0), b) for a, b in zip(own, gaps, strict=True))
    record = json.loads((tmp_path / "gaps" / "predictions.json").read_text())
    assert sum(image.get("pixels_without_class", 0) for image in record["images"]) == sum(int((a == 1).sum()) for a in own)
    _, again = masks("kept", "ground", "cloud", flags=("--class-map", "background:ground,disk:cloud"))
    assert (again.code, "predictions of other classes" in again.err) == (2, True)


def test_values_of_another_kind_are_not_scored_in_silence(segbench: Any, trained: Path, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    (file,) = trained.glob("checkpoints/*/best.pt")
    deep = tmp_path / "deep"
    for folder in ("images", "masks"):
        (deep / folder).mkdir(parents=True)
        for path in (tmp_path / "data" / folder).iterdir():
            values = np.asarray(Image.open(path))
            if folder == "masks":
                Image.fromarray(values).save(deep / folder / path.name)
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                picture = rasterio.open(
                    deep / folder / f"{path.stem}.tif", "w", driver="GTiff", width=24, height=24, count=3, dtype="float32"
                )
            with picture:
                picture.write((values / 255).astype(np.float32).transpose(2, 0, 1))
    data = ("--dataset", _folder("background", "disk"), "--data", deep)
    refused = segbench("evaluate", "--checkpoint", file, *data, "--device", "cpu", "--set", "execute.where=inline", "--json")
    assert refused.out, refused.err
    (cell,) = json.loads(refused.out)["cells"]
    assert (refused.code, cell["quality"]) == (1, None)
    assert "the network was trained on uint8 from 0 to" in cell["error"]["message"]
    scored = _evaluate(segbench, "--checkpoint", file, *data, "--set", "eval.any_values=true")
    assert scored["quality"]["miou"] is not None
