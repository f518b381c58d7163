"""Parquet files and folders that the datasets library saved. The files are written here as the library writes them."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segbench_plugins.datasets
from segbench import DataError, OptionError, Problem, Sample, Task
from segbench.testing.plugins.datasets import CHECKS, DatasetSubject

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def table(first: int, count: int, *, mask: Sequence[int] = (0, 1, 255)) -> Any:
    """Rows whose picture is filled with the row's number."""
    numbers = range(first, first + count)
    images = [{"bytes": png(np.full((4, 6, 3), number)), "path": f"{number}.png"} for number in numbers]
    masks = [{"bytes": png(np.resize(mask, (4, 6))), "path": None} for _ in numbers]
    return pa.table({"image": images, "annotation": masks, "scene": [str(number) for number in numbers]})


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """The layout that the hub gives: several files per split, several groups of rows per file."""
    (tmp_path / "data").mkdir()
    pq.write_table(table(0, 5), tmp_path / "data/train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table(5, 2), tmp_path / "data/train-00001-of-00002.parquet")
    pq.write_table(table(7, 2), tmp_path / "data/validation-00000-of-00001.parquet")
    pq.write_table(table(9, 1), tmp_path / "data/test-00000-of-00001.parquet")
    return tmp_path


def save(folder: Path, rows: Any, **state: Any) -> None:
    """One split as ``save_to_disk`` writes it: a stream of Arrow batches and its state."""
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}], "_indices_data_files": None} | state))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    for split, first, count in (("train", 0, 4), ("validation", 4, 2), ("test", 6, 2)):
        save(tmp_path / split, table(first, count))
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    return tmp_path


NAMED = "hf[mask=annotation]"


@pytest.mark.parametrize("layout", ["parquet", "saved"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_both_layouts_conform(layout: str, check: Any, request: pytest.FixtureRequest) -> None:
    spec = next(s for s in segbench_plugins.datasets.segbench_datasets() if s.name == "hf")
    check.run(DatasetSubject(spec, spec.options.resolve({"mask": "annotation"}), request.getfixturevalue(layout)))


def test_rows_are_read_in_order_over_files_and_groups(parquet: Path, load: Load) -> None:
    samples = load(NAMED, parquet, "train")

    assert [int(s.inputs["image"][0, 0, 0]) for s in samples] == list(range(7))
    assert [int(samples[i].inputs["image"][0, 0, 0]) for i in (6, 0, 4, 2)] == [6, 0, 4, 2]
    assert samples[0].mask[0].tolist() == [0, 1, 255, 0, 1, 255]
    assert [len(load(NAMED, parquet, split)) for split in ("val", "test")] == [2, 1]


def test_an_opened_split_can_be_sent_to_workers(parquet: Path, load: Load) -> None:
    samples = load(NAMED, parquet, "train")
    samples[0]

    assert int(pickle.loads(pickle.dumps(samples))[3].inputs["image"][0, 0, 0]) == 3


def test_a_saved_folder_is_read_by_split(saved: Path, load: Load) -> None:
    assert [int(s.inputs["image"][0, 0, 0]) for s in load(NAMED, saved, "val")] == [4, 5]


def test_values_are_mapped(tmp_path: Path, load: Load) -> None:
    pq.write_table(table(0, 1, mask=(0, 255)), tmp_path / "train.parquet")

    sample = load('hf[mask=annotation,value_map="0:0,255:1",val="",test=""]', tmp_path, "train")[0]
    assert sample.mask[0].tolist() == [0, 1, 0, 1, 0, 1]
    several = load('hf[mask=annotation,ignore=(254,255),val="",test=""]', tmp_path, "train")[0]
    assert several.mask[0].tolist() == [0, 254, 0, 254, 0, 254]


def test_a_cell_may_name_a_file_beside_the_table(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.png").write_bytes(png(np.full((4, 6, 3), 7)))
    (tmp_path / "m.png").write_bytes(png(np.ones((4, 6))))
    cells = {"image": [{"bytes": None, "path": "a.png"}], "mask": [{"bytes": None, "path": "m.png"}]}
    pq.write_table(pa.table(cells), tmp_path / "train.parquet")

    assert int(load("hf", tmp_path, "train")[0].inputs["image"][0, 0, 0]) == 7
    (tmp_path / "m.png").unlink()
    with pytest.raises(DataError, match=r"train\.parquet row 0: column 'mask' holds the path m\.png, which is not there"):
        load("hf", tmp_path, "train")[0]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("hf", r"has no column 'mask'\. It has: image, annotation, scene\. Name yours: hf\[mask=\.\.\]"),
        ("hf[mask=annotation,train=all]", r"no Parquet file of the split 'all': it has data/test-00000-of-00001\.parquet"),
        ("hf[mask=annotation,path=nowhere]", "nowhere is not there"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(dataset: str, message: str, parquet: Path, load: Load, problems: Check) -> None:
    with pytest.raises(DataError, match=message):
        load(dataset, parquet, "train")
    assert any(p.severity == "error" and p.where == "train" for p in problems(dataset, parquet))


def test_a_damaged_picture_is_named_by_its_row(tmp_path: Path, load: Load) -> None:
    cells = {"image": [{"bytes": b"nothing", "path": None}], "mask": [{"bytes": png(np.ones((4, 6))), "path": None}]}
    pq.write_table(pa.table(cells), tmp_path / "train.parquet")

    with pytest.raises(DataError, match=r"train\.parquet row 0, image"):
        load("hf", tmp_path, "train")[0]


def test_a_damaged_table_is_named(tmp_path: Path, load: Load) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but then nothing")

    with pytest.raises(DataError, match=r"cannot read .*train\.parquet"):
        load("hf", tmp_path, "train")


def test_a_saved_selection_of_rows_is_refused(tmp_path: Path, load: Load) -> None:
    save(tmp_path / "train", table(0, 2), _indices_data_files=[{"filename": "indices.arrow"}])

    with pytest.raises(DataError, match=r"saved with its indices.*flatten_indices"):
        load(NAMED, tmp_path, "train")


def test_a_saved_folder_without_the_split_names_those_it_has(saved: Path, load: Load) -> None:
    with pytest.raises(DataError, match=r"no split 'dev'\. It has: train, validation, test"):
        load("hf[mask=annotation,val=dev]", saved, "val")


def test_options_that_contradict_each_other_are_refused(task_of: Callable[[str], Task]) -> None:
    with pytest.raises(OptionError, match="1 or 3 channels"):
        task_of("hf[channels=2]")
    assert task_of("hf").class_names == ("background", "foreground")
