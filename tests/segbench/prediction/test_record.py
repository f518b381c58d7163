from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segbench import __version__
from segbench.errors import StoreError
from segbench.plugin.specs import Task
from segbench.prediction.record import file_states, open_record
from segbench.results.predictions import FILE, PredictedNetwork, ShownAs

TASK = Task(class_names=("land", "water"))
STORED: dict[str, Any] = {
    "predictions_version": 1,
    "segbench": __version__,
    "network": {"model": "unet", "kind": "export", "file": "net.onnx", "file_sha256": "a", "weights_sha256": "b", "backend": "onnx"},
    "settings": {"size": "own", "tile": "auto", "overlap": None, "alpha": None},
    "classes": ["land", "water"],
    "ignore_index": 255,
    "images": [
        {
            "id": "a",
            "source": [{"name": "a.png", "bytes": 3, "modified_ns": 5}],
            "mask": "masks/a.png",
            "overlay": None,
            "size": [2, 3],
            "shown": "at its own size",
            "pixels": {"land": 4, "water": 2},
            "pixels_without_data": 0,
            "shares": {"land": 0.666667, "water": 0.333333},
            "area_m2": None,
            "seconds": 0.5,
            "seen_by": "another version",
        }
    ],
    "failures": [],
    "pixels": {"land": 4, "water": 2},
}


def network(**changed: str) -> PredictedNetwork:
    return PredictedNetwork.model_validate({**STORED["network"], **changed})


def test_a_stored_record_is_read_and_written_with_the_same_keys(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(STORED))
    record = open_record(tmp_path, network(), ShownAs(**STORED["settings"]), TASK, overwrite=False)
    record.write()
    assert (tmp_path / FILE).read_text() == json.dumps(STORED, indent=1) + "\n"


def test_an_image_is_done_while_its_files_and_its_mask_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"123")
    source = file_states([tmp_path / "a.png"])
    image = {**STORED["images"][0], "source": [state.model_dump() for state in source]}
    (tmp_path / FILE).write_text(json.dumps({**STORED, "images": [image]}))
    record = open_record(tmp_path, network(), ShownAs(**STORED["settings"]), TASK, overwrite=False)
    assert not record.is_done("a", source, overlay=False)
    (tmp_path / "masks" / "a.png").write_bytes(b"")
    assert record.is_done("a", source, overlay=False)
    assert not record.is_done("a", source, overlay=True)
    assert not record.is_done("a", file_states([tmp_path / "gone.png"]), overlay=False)


def test_predictions_of_another_network_or_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(STORED))
    with pytest.raises(StoreError, match=r"predictions of another network \(unet, net\.onnx\)"):
        open_record(tmp_path, network(file_sha256="c"), ShownAs(**STORED["settings"]), TASK, overwrite=False)
    with pytest.raises(StoreError, match=r"other settings \(alpha None -> 0\.5\)"):
        open_record(tmp_path, network(), ShownAs(**{**STORED["settings"], "alpha": 0.5}), TASK, overwrite=False)
