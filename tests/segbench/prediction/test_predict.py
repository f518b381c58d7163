from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from segbench.data.window import Window
from segbench.errors import ConfigError, DataError, StoreError
from segbench.plugin.specs import Normalisation, Sample, Task
from segbench.prediction import predict as module
from segbench.prediction.predict import PredictSettings, PredictSummary, predict
from segbench.prediction.predictor import Predictor, in_classes_of
from segbench.prediction.scenes import OpenSample, image_scenes, sample_scenes
from segbench.results.predictions import FILE

OWN = PredictSettings(size="own")
TASK = Task(class_names=("dark", "bright"), inputs={"image": 3}, normalisation={"image": Normalisation((0.5,) * 3, (0.5,) * 3, 1 / 255)})


def _run(predictor: Predictor, images: Path, out: Path, how: PredictSettings = OWN, **more: Any) -> PredictSummary:
    return predict(predictor, image_scenes([images]), out, how, **more)


def _bright(path: Path) -> Any:
    return (np.asarray(Image.open(path)).astype(np.float64).mean(axis=2) > 127.5).astype(np.uint8)


def test_a_mask_holds_class_ids_in_the_tasks_colours(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    image = photo("street.png")
    done = _run(predictor, image, tmp_path / "out")
    mask = Image.open(tmp_path / "out" / "masks" / "street.png")
    assert mask.mode == "P"
    assert np.array_equal(np.asarray(mask), _bright(image))
    assert mask.convert("RGB").getpixel((0, 0)) in ((10, 20, 30), (200, 210, 220))
    assert np.unique(np.asarray(mask.convert("RGB")).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30], [200, 210, 220]]
    assert (done.predicted, done.kept, dict(done.failed)) == (1, 0, {})


def test_the_record_counts_pixels_and_names_the_network(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    image = photo("a.png")
    _run(predictor, image, tmp_path / "out", PredictSettings(size="own", alpha=None))
    record = json.loads((tmp_path / "out" / FILE).read_text())
    bright = int(_bright(image).sum())
    (entry,) = record["images"]
    assert entry["pixels"] == {"dark": 600 - bright, "bright": bright} == record["pixels"]
    assert entry["shares"]["bright"] == pytest.approx(bright / 600, abs=1e-6)
    assert (entry["id"], entry["overlay"], entry["area_m2"], entry["shown"]) == ("a", None, None, "at its own size")
    assert record["network"]["weights_sha256"] == "a"
    assert not (tmp_path / "out" / "overlays").exists()
    assert str(tmp_path) not in json.dumps(record)


def test_masks_of_a_dataset_sum_the_probabilities_of_merged_classes(predictor_of: Any, photo: Callable[..., Path], tmp_path: Path) -> None:
    def logits(images: tuple[Tensor, ...]) -> Tensor:
        mean = images[0].mean(dim=1, keepdim=True)
        return torch.cat([torch.full_like(mean, value).log() for value in (0.3, 0.4, 0.3)], dim=1)

    network = predictor_of(replace(TASK, class_names=("car", "road", "bus"), palette=()), logits)
    dataset = replace(TASK, class_names=("road", "vehicle"))
    mapped = in_classes_of(network, dataset, "car:vehicle,bus:vehicle", dataset="streets")
    _run(mapped, photo("a.png"), tmp_path / "out")
    assert set(np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png")).ravel()) == {1}, "0.6 is above 0.4"


def test_an_overlay_mixes_image_and_colour_by_alpha(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    image = photo("a.png")
    _run(predictor, image, tmp_path / "out", PredictSettings(size="own", alpha=0.25))
    colours = np.array([(10, 20, 30), (200, 210, 220)])[_bright(image)]
    expected = 0.75 * np.asarray(Image.open(image)) + 0.25 * colours
    shown = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.png"))
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("tile", "overlap", "batch"), [((8, 8), 3, 1), ((8, 8), 3, 4), ((7, 9), 0, 3), ((64, 64), 8, 1)])
def test_tiles_give_what_the_whole_image_gives(
    predictor: Predictor, photo: Callable[..., Path], tmp_path: Path, tile: tuple[int, int], overlap: int, batch: int
) -> None:
    image = photo("a.png", (33, 41))
    _run(predictor, image, tmp_path / "out", PredictSettings(tile=tile, overlap=overlap, batch_size=batch))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png")), _bright(image))


def test_a_picture_is_shown_at_the_size_of_training_and_its_logits_are_resized_back(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    seen: list[tuple[int, ...]] = []

    def logits(images: tuple[Tensor, ...]) -> Tensor:
        seen.append(tuple(images[0].shape))
        return torch.cat([-images[0][:, :1], images[0][:, :1]], dim=1)

    image = photo("a.png", (40, 80))
    done = _run(predictor_of(logits=logits, trained=(32, 32)), image, tmp_path / "out", PredictSettings())
    assert seen == [(1, 3, 16, 32)]
    assert done.record.images["a"]["shown"] == "resized to 16x32"
    small = functional.interpolate(
        torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1)[None].float(), (16, 32), mode="bilinear", antialias=True
    )
    back = functional.interpolate((small.round() / 255 - 0.5)[:, 0:1], (40, 80), mode="bilinear")[0, 0]
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert (mask == (back > 0).numpy()).mean() > 0.99


def test_an_image_larger_than_the_file_of_fixed_size_is_tiled_and_a_smaller_one_padded(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    from segbench.execution.deploy.backend_network import BackendNetwork

    def run(*images: Tensor) -> Tensor:
        assert tuple(images[0].shape) == (1, 3, 16, 16)
        mean = images[0].mean(dim=1, keepdim=True)
        return torch.cat([-mean, mean], dim=1)

    form = BackendNetwork(run, (16, 16))
    predictor = predictor_of(logits=lambda images: form(*images)["logits"], canvas=(16, 16), trained=(16, 16))
    for name, size in (("large.png", (40, 20)), ("small.png", (10, 12))):
        photo(name, size)
    done = _run(predictor, tmp_path / "images", tmp_path / "out")
    assert done.record.images["large"]["shown"] == "in 6 tiles of 16"
    assert done.record.images["small"]["shown"] == "at its own size, on a canvas of 16"
    for name in ("large", "small"):
        mask = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        assert np.array_equal(mask, _bright(tmp_path / "images" / f"{name}.png"))


def test_what_is_done_is_kept_and_what_changed_is_done_again(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        photo(f"{name}.png", seed=seed)
    folder, out = tmp_path / "images", tmp_path / "out"
    assert _run(predictor, folder, out).predicted == 3
    again = _run(predictor, folder, out)
    assert (again.predicted, again.kept) == (0, 3)
    photo("b.png", (9, 9), seed=9)
    (out / "overlays" / "c.png").unlink()
    third = _run(predictor, folder, out)
    assert (third.predicted, third.kept) == (2, 1)
    assert np.array_equal(np.asarray(Image.open(out / "masks" / "b.png")), _bright(folder / "b.png"))
    assert _run(predictor, folder, out, overwrite=True).predicted == 3


def test_an_interruption_keeps_what_was_finished(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    for seed, name in enumerate("abcd"):
        photo(f"{name}.png", seed=seed)

    def stop(kind: str, what: Mapping[str, Any]) -> None:
        if kind == "image" and what["id"] == "c":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(predictor, tmp_path / "images", tmp_path / "out", report=stop)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["a.png", "b.png"]
    done = _run(predictor, tmp_path / "images", tmp_path / "out")
    assert (done.predicted, done.kept) == (2, 2)


def test_other_weights_or_settings_do_not_mix_with_earlier_predictions(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    image = photo("a.png")
    _run(predictor_of(), image, tmp_path / "out")
    with pytest.raises(StoreError, match=r"another network \(brightness, best.pt\)"):
        _run(predictor_of(digest="b"), image, tmp_path / "out")
    with pytest.raises(StoreError, match="tile auto -> 8"):
        _run(predictor_of(), image, tmp_path / "out", PredictSettings(size="own", tile=(8, 8)))
    assert _run(predictor_of(digest="b"), image, tmp_path / "out", overwrite=True).predicted == 1


def test_a_strangers_masks_are_not_written_over(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "dataset" / "masks").mkdir(parents=True)
    with pytest.raises(StoreError, match="no 'segbench predict' wrote"):
        _run(predictor, photo("a.png"), tmp_path / "dataset")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        _run(predictor, photo("a.png"), tmp_path / "file")


@pytest.mark.parametrize("damaged", ["{", "[]", '{"predictions_version": 1, "images": [{"id": "a"}]}', '{"predictions_version": 99}'])
def test_a_damaged_record_is_not_mistaken_for_one(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path, damaged: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FILE).write_text(damaged)
    with pytest.raises(StoreError, match="--overwrite"):
        _run(predictor, photo("a.png"), tmp_path / "out")


def test_an_unreadable_image_costs_only_itself(predictor: Predictor, photo: Callable[..., Path], tmp_path: Path) -> None:
    photo("a.png")
    whole = photo("b.png").read_bytes()
    (tmp_path / "images" / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "images" / "c.png").write_bytes(b"")
    done = _run(predictor, tmp_path / "images", tmp_path / "out")
    assert done.predicted == 1
    assert set(done.failed) == {"b", "c"}
    assert "cannot read b.png" in done.failed["b"]
    record = json.loads((tmp_path / "out" / FILE).read_text())
    assert [entry["id"] for entry in record["failures"]] == ["b", "c"]
    photo("b.png")
    mended = _run(predictor, tmp_path / "images", tmp_path / "out")
    assert (mended.predicted, mended.kept, set(mended.failed)) == (1, 1, {"c"})
    assert not list((tmp_path / "out" / "masks").glob(".*"))


def test_too_little_memory_costs_one_image_and_says_what_helps(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    def logits(images: tuple[Tensor, ...]) -> Tensor:
        if images[0].shape[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.zeros(1, 2, *images[0].shape[-2:])

    photo("a.png", (10, 30))
    photo("b.png", (10, 10))
    done = _run(predictor_of(logits=logits), tmp_path / "images", tmp_path / "out")
    assert done.predicted == 1
    assert done.failed == {"a": "out of memory. Give smaller tiles, as in --tile 512, or --device cpu."}


@pytest.mark.parametrize(
    ("how", "canvas", "message"),
    [
        (PredictSettings(size="trained", tile=(8, 8)), None, "do not go together"),
        (PredictSettings(tile=(8, 8), overlap=8), None, "less than the tile"),
        (PredictSettings(overlap=5000), None, "less than the tile"),
        (PredictSettings(tile=(64, 64)), (32, 32), "exported for 32 and takes nothing larger"),
        (PredictSettings(size=(16, 64)), (32, 32), "exported for 32 and takes nothing larger"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_written(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path, how: PredictSettings, canvas: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _run(predictor_of(canvas=canvas), photo("a.png"), tmp_path / "out", how)
    assert not (tmp_path / "out").exists()


def test_samples_of_a_dataset_are_predicted_without_looking_at_labels(predictor: Predictor, tmp_path: Path) -> None:
    pixels = torch.zeros(3, 6, 8, dtype=torch.uint8)
    pixels[:, :, 4:] = 255
    samples = [Sample({"image": pixels}, torch.full((1, 1), 77), "scenes/one"), Sample({"other": pixels}, torch.zeros(6, 8).long(), "two")]
    done = predict(predictor, sample_scenes(samples), tmp_path / "out", OWN)
    (mask,) = (tmp_path / "out" / "masks").iterdir()
    assert mask.name.startswith("scenes-one-")
    assert np.asarray(Image.open(mask))[0].tolist() == [0] * 4 + [1] * 4
    assert "does not have what the network takes: image" in done.failed["two"]


def test_more_than_256_classes_are_kept_in_16_bits(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    task = Task(class_names=tuple(map(str, range(300))), ignore_index=-1)
    logits = torch.zeros(1, 300, 20, 30)
    logits[:, 299] = 1
    plan_task = Task(class_names=task.class_names, ignore_index=-1, normalisation=predictor_of().task.normalisation)
    _run(predictor_of(plan_task, lambda images: logits), photo("a.png"), tmp_path / "out", PredictSettings(size="own", alpha=None))
    assert np.unique(np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))).tolist() == [299]


def test_an_image_is_not_resized_where_its_logits_would_not_fit(
    predictor: Predictor, photo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LOGIT_VALUES", 100)
    done = _run(predictor, photo("a.png", (64, 64)), tmp_path / "out", PredictSettings(size="trained"))
    assert "too large to be resized" in done.failed["a"]


_PEAK = """
import sys, numpy as np, rasterio, torch
from pathlib import Path
from segbench.plugin.inputs import InputPlan
from segbench.prediction.predict import How, predict
from segbench.prediction.scenes import image_scenes
from segbench.prediction.predictor import Predictor
from segbench.plugin.specs import Normalisation, Task
torch.set_num_threads(1)
path, out, side = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rows = np.arange(side, dtype=np.int64)
with rasterio.open(path, "w", driver="GTiff", height=side, width=side, count=3, dtype="uint8", compress="deflate", zlevel=1) as file:
    for top in range(0, side, 500):
        block = ((rows[top : top + 500, None] // 37 + rows[None] // 53) % 256).astype(np.uint8)
        file.write(np.stack([block] * 3), window=((top, top + len(block)), (0, side)))
Path("/proc/self/clear_refs").write_text("5")
peak = lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) / 1024
before = peak()
norm = {"image": Normalisation((0.5,) * 3, (0.5,) * 3, 1 / 255)}
task = Task(class_names=("dark", "bright"), normalisation=norm)
def logits(images):
    mean = images[0].mean(dim=1, keepdim=True)
    return torch.cat([-mean, mean], dim=1)
predictor = Predictor(logits, task, InputPlan((("image",),), (3,), norm), "cpu", (512, 512), None)
done = predict(predictor, image_scenes([path]), out, How(tile=(512, 512), overlap=64, alpha=None if sys.argv[4] == "plain" else 0.5))
print(peak() - before, done.predicted)
with rasterio.open(out / "masks" / "big.tif") as file:
    for top in range(0, side, 500):
        found = file.read(1, window=((top, min(side, top + 500)), (0, side)))
        wanted = ((rows[top : top + 500, None] // 37 + rows[None] // 53) % 256) > 127
        assert np.array_equal(found, wanted), top
"""


def _peak_mb(tmp_path: Path, side: int, overlays: str) -> float:
    pytest.importorskip("rasterio")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is read from /proc")
    arguments = [str(tmp_path / "big.tif"), str(tmp_path / "out"), str(side), overlays]
    said = subprocess.run([sys.executable, "-c", _PEAK, *arguments], capture_output=True, text=True, check=False, env={**os.environ})
    assert said.returncode == 0, said.stderr
    peak, predicted = said.stdout.split()
    assert predicted == "1"
    return float(peak)


def test_no_more_than_a_tile_is_read_and_shown_at_once(
    predictor_of: Callable[..., Predictor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    read: list[tuple[int, int]] = []

    def logits(images: tuple[Tensor, ...]) -> Tensor:
        seen.append(tuple(images[0].shape))
        return torch.cat([-images[0][:, :1], images[0][:, :1]], dim=1)

    original = OpenSample.read

    def spy(scene: OpenSample, window: Window) -> dict[str, Tensor]:
        read.append((window.height, window.width))
        return original(scene, window)

    monkeypatch.setattr(OpenSample, "read", spy)
    samples = [Sample({"image": torch.zeros(3, 100, 130, dtype=torch.uint8)}, torch.zeros(1, 1), "wide")]
    predict(
        predictor_of(logits=logits),
        sample_scenes(samples),
        tmp_path / "out",
        PredictSettings(tile=(32, 32), overlap=4, batch_size=2, alpha=None),
    )
    assert set(read) == {(1, 1), (32, 32)}, "one pixel tells the dtype"
    assert {shape[2:] for shape in seen} == {(32, 32)}
    assert {shape[0] for shape in seen} == {2, 1}


@pytest.mark.slow
def test_a_large_raster_is_not_in_memory_at_once(tmp_path: Path) -> None:
    # as float32 the image is 103 MB, and its logits are 69 MB
    assert _peak_mb(tmp_path, 3000, "plain") < 60


@pytest.mark.slow
def test_twelve_thousand_by_twelve_thousand_pixels_take_a_few_hundred_megabytes(tmp_path: Path) -> None:
    # as float32 the image is 1 648 MB, and its logits are 1 099 MB
    assert _peak_mb(tmp_path, 12000, "overlays") < 500


def test_data_errors_are_the_images_and_others_are_everybodys(
    predictor_of: Callable[..., Predictor], photo: Callable[..., Path], tmp_path: Path
) -> None:
    def logits(images: tuple[Tensor, ...]) -> Tensor:
        raise DataError("odd") if images[0].shape[-1] == 30 else ConfigError("the runtime is gone")

    done = _run(predictor_of(logits=logits), photo("a.png"), tmp_path / "out")
    assert done.failed == {"a": "odd"}
    with pytest.raises(ConfigError, match="the runtime is gone"):
        _run(predictor_of(logits=logits), photo("b.png", (9, 9)), tmp_path / "out")


def test_an_image_whose_logits_are_no_numbers_gets_no_mask(predictor_of: Any, photo: Any, tmp_path: Path) -> None:
    def logits(images: tuple[torch.Tensor, ...]) -> torch.Tensor:
        values = torch.cat([-images[0][:, :1], images[0][:, :1]], dim=1)
        return torch.where(images[0].mean() > 0.5, torch.full_like(values, float("nan")), values)

    bright = photo("bright.png")
    Image.new("RGB", (30, 20), (255, 255, 255)).save(bright)
    photo("dark.png")
    done = _run(predictor_of(logits=logits), tmp_path / "images", tmp_path / "out", OWN)
    assert list(done.failed) == ["bright"]
    assert done.failed["bright"].startswith("the logits of 600 pixels in 1 image are no finite numbers: no class is the highest there")
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["dark.png"]
