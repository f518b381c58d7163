from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.errors import CheckpointError
from segbench.networks.checkpoint_meta import CheckpointMeta, read_meta
from segbench.networks.checkpoints import read_checkpoint

TASK = {
    "class_names": ["land", "water"],
    "inputs": {"image": 3},
    "ignore_index": 255,
    "normalisation": {"image": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "scale": 1.0}},
    "palette": [[0, 0, 0], [0, 0, 255]],
    "headline": "water",
    "rgb": ["image"],
    "kind": "multiclass",
}
STORED: dict[str, Any] = {
    "model": "unet[width=8]",
    "model_name": "unet",
    "model_options": {"width": 8},
    "model_plugin": "segbench-plugins==1.0",
    "loss": "ce",
    "task": TASK,
    "model_task": TASK,
    "plan": {"groups": [["image"]], "channels": [3], "normalisation": TASK["normalisation"], "early_fusion": False},
    "image_size": [64, 96],
    "seed": 3,
    "dataset": "lakes",
    "train_split": "train",
    "select_on": None,
    "epoch": 0,
    "val_miou": None,
}
"""The content of a file as version 1 of the format has it, after its round trip through JSON."""


def stored(path: Path, meta: dict[str, Any]) -> Path:
    torch.save({"format": 1, "model_state": {}, "meta": meta, "identity": {}, "training": {}}, path)
    return path


def test_a_stored_description_is_read_and_written_with_the_same_keys(tmp_path: Path) -> None:
    meta = read_meta(stored(tmp_path / "best.pt", STORED))
    assert (meta.task.num_classes, meta.plan.groups, meta.image_size, meta.epoch) == (2, (("image",),), (64, 96), 0)
    assert read_checkpoint(tmp_path / "best.pt").meta == meta
    assert json.loads(json.dumps(meta.to_dict())) == STORED


def test_keys_of_other_versions_are_kept() -> None:
    meta = CheckpointMeta.from_dict({**STORED, "optimiser": "lion"})
    assert meta.further == {"optimiser": "lion"}
    assert json.loads(json.dumps(meta.to_dict())) == {**STORED, "optimiser": "lion"}


@pytest.mark.parametrize(
    "missing", [("train_split", "select_on"), ("epoch", "val_miou"), ("model_plugin",), ("loss",), ("dataset",)], ids="-".join
)
def test_a_file_from_before_a_key_was_recorded_is_read(missing: tuple[str, ...]) -> None:
    meta = CheckpointMeta.from_dict({key: value for key, value in STORED.items() if key not in missing})
    assert not any(getattr(meta, key) for key in missing)


def test_a_description_without_its_task_is_refused_by_name(tmp_path: Path) -> None:
    path = stored(tmp_path / "best.pt", {key: value for key, value in STORED.items() if key != "task"})
    for read in (read_meta, read_checkpoint):
        with pytest.raises(CheckpointError, match=r"best\.pt.* does not describe its model in full \(KeyError: 'task'\)"):
            read(path)
