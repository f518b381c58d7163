"""Exported networks brought back as models: scored, counted, predicted and refused beside networks that segbench trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from segbench.errors import CheckpointError, ConfigError
from segbench.networks.load import load_network
from segbench.networks.network import deploy
from segbench.plugin.registry import Catalog
from segbench.prediction.predictor import open_predictor
from segbench_plugins.backends.onnx_graph import quiet

INLINE = ["execute.where=inline", "measure.latency=false", "measure.memory=false"]


def traced(run: Path, cell: str, catalog: Catalog, path: Path) -> Path:
    network = deploy(load_network(run / "checkpoints" / cell / "best.pt", catalog).network)
    with quiet(), torch.no_grad():
        torch.jit.save(torch.jit.trace(network, torch.randn(1, 3, 16, 16)), str(path))  # type: ignore[no-untyped-call]
    return path


def test_a_network_exported_and_brought_back_has_the_cells_own_scores(bench: Any, tmp_path: Path) -> None:
    own_sets = [*INLINE, "deploy.quality=false"]
    (cell,) = bench.run(backends="onnxruntime,openvino", sets=own_sets).cells
    folder = bench.directory / "deployments" / cell.id
    script = traced(bench.directory, cell.id, bench.catalog, tmp_path / "net.ts")
    norm = cell.resolved["normalisation"]["image"]
    written = ",".join([*(f"{key}=({','.join(map(str, norm[key]))})" for key in ("mean", "std")), f"scale={norm['scale']}"])
    files = [
        f'file[path="{folder}/onnxruntime/model.onnx"]',
        f'file[path="{folder}/openvino/model.xml"]',
        f'file[path="{script}",{written}]',
    ]
    result = bench.run(models=",".join(["dot", *files]), losses="ce,focal", backends="eager,twin", sets=INLINE)
    rows = [row for row in result.cells if row.kind == "given"]
    paths = [row.resolved["model_options"]["path"] for row in rows]
    assert paths == ["model.onnx", "model.xml", "net.ts"]  # once each, whatever losses there are
    assert [row.error for row in rows] == [None] * 3
    assert [(row.status, row.training.epochs_run) for row in rows] == [("ok", 0)] * 3
    for row in rows:
        assert row.quality.miou == pytest.approx(cell.quality.miou, abs=1e-4)
        assert row.quality.boundary_iou == pytest.approx(cell.quality.boundary_iou, abs=1e-4)
        assert row.quality.ece == pytest.approx(cell.quality.ece, abs=1e-4)
        assert any(note.startswith("as given, not trained here: ") for note in row.notes)
    assert [(row.params, row.macs) for row in rows] == [(cell.params, cell.macs), (None, None), (cell.params, None)]
    assert [row.counts_missing for row in rows[:2]] == [None, "parameters and multiply-adds of OpenVINO files are not counted"]
    assert rows[2].counts_missing.startswith("multiply-adds are not known: at least ")
    assert rows[0].size_mb == (folder / "onnxruntime/model.onnx").stat().st_size / 2**20
    (twin,) = [form for form in rows[0].deployments if form.backend == "twin"]
    assert (twin.error_kind, twin.error) == (
        "refused",
        "file runs as it is, which 'eager' stands for: no other form is made of it.",
    )
    assert "not trained here" in (bench.directory / "report.md").read_text()


def id_file(path: Path, classes: int, shift: int = 0) -> Path:
    """A network of random weights that gives the largest class's id, as int64 (1, h, w), at any size."""
    weight = np.random.default_rng(0).normal(size=(classes, 3, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("ArgMax", ["c"], ["a"], axis=1, keepdims=0)]
    nodes.append(helper.make_node("Add", ["a", "s"], ["y"]))
    tensors = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array(shift), "s")]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph(nodes, "g", [image], [helper.make_tensor_value_info("y", TensorProto.INT64, None)], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_ids_of_other_classes_are_mapped_and_scored_without_calibration(bench: Any, tmp_path: Path) -> None:
    model = f'file[path="{id_file(tmp_path / "net.onnx", 4)}",scale=0.004,classes=(sky,road,car,tree)]'
    with pytest.raises(ConfigError, match=r"was trained on other classes than dataset 'dots' has"):
        bench.run(models=model, sets=INLINE)
    names = bench.run(sets=INLINE).cells[0].quality.class_names
    pairs = ",".join(f"{own}:{names[min(index, len(names) - 1)]}" for index, own in enumerate(("sky", "road", "car", "tree")))
    trained, given = bench.run(models=f"dot,{model}", sets=[*INLINE, f'eval.class_map="{pairs}"']).cells
    assert [trained.status, given.status] == ["ok", "ok"]
    assert trained.quality.ece is not None
    assert given.quality.miou is not None
    assert (given.quality.ece, given.quality.ece_reason) == (None, "it gives class ids, and no probabilities")
    assert "no calibration: it gives class ids, and no probabilities" in given.notes
    assert given.macs == 4 * 3 * 16 * 16
    with pytest.raises(ConfigError, match="has no class 'moon'"):
        bench.run(models=f"dot,{model}", sets=[*INLINE, f'eval.class_map="{pairs},moon:ignore"'])


def test_it_predicts_and_a_changed_file_is_noticed(bench: Any, tmp_path: Path, segbench: Any) -> None:
    classes = len(bench.run(sets=INLINE).cells[0].quality.class_names)
    path = id_file(tmp_path / "net.onnx", classes)
    _, given = bench.run(models=f'dot,file[path="{path}",scale=0.004]', sets=INLINE).cells
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    said = segbench("predict", f"{bench.directory}/{given.id}", tmp_path / "photo.png", "--out", tmp_path / "masks")
    assert said.code == 0, said.err
    assert (tmp_path / "masks/masks/photo.png").is_file()
    id_file(path, classes, shift=0).write_bytes(id_file(tmp_path / "other.onnx", classes, shift=-1).read_bytes())
    with pytest.raises(CheckpointError, match="has changed since it was scored"):
        open_predictor(f"{bench.directory}/{given.id}", catalog=bench.catalog, device="cpu")
    said = segbench("profile", "--models", f"file[path={path.name}]", "--inputs", "image=3", "--num-classes", str(classes))
    assert said.code == 2
    assert "does not say how its images are normalised" in said.err


def test_what_would_change_or_enlarge_it_is_refused_at_planning(bench: Any, tmp_path: Path) -> None:
    model = f'file[path="{id_file(tmp_path / "net.onnx", 3)}",scale=0.004,size=8]'
    with pytest.raises(ConfigError, match=r"takes images of 8 and none larger, and its costs would be measured at 16"):
        bench.run(models=model, sets=INLINE)
    with pytest.raises(ConfigError, match="comes with weights of its own and is no PyTorch network that 'prune' could change"):
        bench.run(models=f"prune[of={model}],{model}", sets=INLINE)
