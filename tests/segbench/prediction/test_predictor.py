from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.errors import BackendError, CheckpointError, ConfigError, SegbenchError, StoreError
from segbench.plugin.registry import Catalog, load_catalog
from segbench.prediction.predictor import find_file, open_predictor


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's directory with two trained cells, as far as names go."""
    for cell, model in (("dot--ce--s0", "dot"), ("dot-width-8-1234--ce--s0", "dot[width=8]")):
        (tmp_path / "run" / "checkpoints" / cell).mkdir(parents=True)
        (tmp_path / "run" / "checkpoints" / cell / "best.pt").write_bytes(b"")
        (tmp_path / "run" / "cells").mkdir(exist_ok=True)
        (tmp_path / "run" / "cells" / f"{cell}.json").write_text(json.dumps({"id": cell, "model": model}))
    return tmp_path / "run"


def test_a_cell_is_found_by_its_id_its_folder_or_its_model(run: Path) -> None:
    best = run / "checkpoints" / "dot--ce--s0" / "best.pt"
    assert find_file(run / "dot--ce--s0") == best
    assert find_file(best.parent) == best
    assert find_file(best) == best
    assert find_file(run, "dot") == best
    assert find_file(run, "dot[width=8]").parent.name == "dot-width-8-1234--ce--s0"


def test_the_only_cell_of_a_run_needs_no_name(run: Path) -> None:
    (run / "checkpoints" / "dot--ce--s0" / "best.pt").unlink()
    assert find_file(run).parent.name == "dot-width-8-1234--ce--s0"


@pytest.mark.parametrize(
    ("subject", "model", "error", "message"),
    [
        ("", None, StoreError, r"has 2 trained cells: give one as .*/CELL. Trained cells: dot--ce--s0, dot-width"),
        ("", "unet", StoreError, "no trained cell of the model 'unet'"),
        ("dot--ce--s1", None, StoreError, r"no trained cell 'dot--ce--s1'. Did you mean 'dot--ce--s0'\?"),
        ("checkpoints/dot--ce--s0/best.pt", "dot", ConfigError, "a file has one model"),
        ("../gone", None, StoreError, "there is no"),
        ("cells", None, StoreError, "holds no run"),
        ("cells/dot--ce--s0.json", None, CheckpointError, "neither a checkpoint"),
    ],
)
def test_what_cannot_be_meant_is_one_message(
    run: Path, mishaps: Catalog, subject: str, model: str | None, error: type[SegbenchError], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_predictor(run / subject, catalog=mishaps, device="cpu", model=model)


def test_a_run_without_trained_cells_says_so(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    with pytest.raises(StoreError, match="has no trained cells yet"):
        find_file(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"backend": {"name": "frozen"}}', '{"backend": 3, "inputs": 4}'])
def test_damaged_metadata_is_one_message(tmp_path: Path, content: str) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "net.onnx.json").write_text(content)
    with pytest.raises(BackendError, match="xport"):
        open_predictor(tmp_path / "net.onnx", catalog=load_catalog(), device="cpu")


def test_a_checkpoint_that_is_none_is_one_message(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "plain.pt")
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 nonsense")
    for name in ("plain.pt", "bad.pt"):
        with pytest.raises(CheckpointError):
            open_predictor(tmp_path / name, catalog=load_catalog(), device="cpu")


def test_openvinos_weights_point_to_the_file_beside_them(tmp_path: Path) -> None:
    for name in ("net.bin", "net.xml", "net.xml.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(BackendError, match=r"holds weights only: give .*net.xml"):
        find_file(tmp_path / "net.bin")


def test_a_checkpoint_predicts_what_its_network_says(bench: Any) -> None:
    from segbench.networks.load import load_network

    (row,) = bench.run(sets=["execute.where=inline"]).cells
    predictor = open_predictor(bench.directory / row.id, catalog=bench.catalog, device="cpu")
    images = (torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0)),)
    expected = load_network(bench.directory / row.artifacts.best, bench.catalog).network(*images)["logits"]
    assert torch.equal(predictor.logits(images), expected)
    assert predictor.trained == (16, 16)
    assert predictor.record["cell"] == row.id
    assert predictor.record["trained_on"] == "dots"
