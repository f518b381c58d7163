"""Files of networks: what is recognised, what has to be said, and what is refused with one message."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from segbench import BackendError, CheckpointError, SegbenchError, Task, parse_choice
from segbench_plugins.backends.onnx_graph import quiet
from segbench_plugins.models import FileOptions, files
from segbench_plugins.models.onnx_counts import count_onnx

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3, 1, 1)).astype(np.float32)
TASK = Task(class_names=("sky", "road", "car", "tree"))
SCALED = "scale=0.00392"
Dims = Sequence[int | str]


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def save(
    path: Path,
    nodes: Sequence[Any],
    outputs: Mapping[str, int] = {"y": TensorProto.FLOAT},
    *,
    dims: Dims = (1, 3, 16, 24),
    kind: int = TensorProto.FLOAT,
    weights: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    opset: int = 18,
) -> Path:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in {"w": WEIGHT, **(weights or {})}.items()]
    ends = [helper.make_tensor_value_info(name, of_type, None) for name, of_type in outputs.items()]
    graph = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info("x", kind, list(dims))], ends, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, dict(texts or {}))
    onnx.save(model, path)
    return path


CONV = node("Conv", "xw", "c")
ENDS: dict[str, tuple[list[Any], dict[str, int]]] = {
    "logits": ([node("Conv", "xw", "y")], {"y": TensorProto.FLOAT}),
    "probabilities": ([CONV, node("Softmax", "c", "y", axis=1)], {"y": TensorProto.FLOAT}),
    "ids": ([CONV, node("ArgMax", "c", "y", axis=1, keepdims=0)], {"y": TensorProto.INT64}),
    "float ids": ([CONV, node("ArgMax", "c", "a", axis=1), node("Cast", "a", "y", to=TensorProto.FLOAT)], {"y": TensorProto.FLOAT}),
}


def end(path: Path, name: str, **other: Any) -> Path:
    nodes, outputs = ENDS[name]
    return save(path, nodes, outputs, **other)


def options(path: Path, *texts: str) -> FileOptions:
    inside = ",".join((f'path="{path}"', *texts))
    return FileOptions.resolve(dict(parse_choice(f"file[{inside}]").options))


def network(path: Path, *texts: str, task: Task = TASK) -> files.FileNetwork:
    return files.build(task, options(path, *(texts or (SCALED,))))


def expected(image: torch.Tensor) -> torch.Tensor:
    return nn.functional.conv2d(image, torch.from_numpy(WEIGHT))


@pytest.mark.parametrize(("name", "kind"), [("logits", "logits"), ("probabilities", "probabilities"), ("ids", "ids"), ("float ids", "ids")])
def test_what_a_file_gives_is_recognised_and_becomes_logits(tmp_path: Path, name: str, kind: str) -> None:
    model = network(end(tmp_path / "net.onnx", name))
    image = torch.randn(2, 3, 16, 24)
    logits = model(image)
    assert model.description.kind == kind
    assert logits.shape == (2, 4, 16, 24)
    assert torch.equal(logits.argmax(1), expected(image).argmax(1))
    if kind != "ids":
        torch.testing.assert_close(logits.softmax(1), expected(image).softmax(1))
    given = files.given(TASK, options(tmp_path / "net.onnx", SCALED))
    assert bool(given.uncalibrated) == (kind == "ids")
    assert given.fixed_size == (16, 24)


def test_images_are_brought_to_the_one_size_and_logits_cut_back(tmp_path: Path) -> None:
    model = network(end(tmp_path / "net.onnx", "logits"))
    image = torch.randn(1, 3, 9, 24)
    torch.testing.assert_close(model(image), expected(image))
    with pytest.raises(BackendError, match=r"takes images of 16x24, and one is 17x24\. Give --set eval\.image_size=16x24"):
        model(torch.randn(1, 3, 17, 24))


def test_a_file_of_any_size_takes_batches_and_is_padded_to_multiples(tmp_path: Path) -> None:
    halves = [node("Conv", "xw", "c"), node("SpaceToDepth", "c", "s", blocksize=4), node("DepthToSpace", "s", "y", blocksize=4)]
    path = save(tmp_path / "net.onnx", halves, dims=("n", 3, "h", "w"))
    model = network(path, SCALED, "multiple=4")
    assert (model.description.canvas, model.description.batched) == (None, True)
    image = torch.randn(2, 3, 10, 13)
    torch.testing.assert_close(model(image), expected(image))
    with pytest.raises(BackendError, match=r"cannot be run at 10x13: .*multiple=32"):
        network(path)(image)


def test_channels_last_is_recognised_by_the_shape_on_both_ends(tmp_path: Path) -> None:
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "tw", "c"), node("Transpose", "c", "y", perm=[0, 2, 3, 1])]
    model = network(save(tmp_path / "net.onnx", nodes, dims=(1, 16, 24, 3)))
    image = torch.randn(1, 3, 16, 24)
    assert (model.description.layout, model.description.last) == ("NHWC", True)
    torch.testing.assert_close(model(image), expected(image))


def test_images_of_eight_bits_are_given_as_they_are_stored(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "f", to=TensorProto.FLOAT), node("Conv", "fw", "y")]
    path = save(tmp_path / "net.onnx", nodes, kind=TensorProto.UINT8)
    assert files.normalise(TASK, options(path))["image"].scale == 1.0
    image = torch.randint(0, 256, (1, 3, 16, 24)).float()
    torch.testing.assert_close(files.build(TASK, options(path))(image), expected(image), rtol=1e-4, atol=1e-3)


def test_one_channel_is_the_second_of_two_classes(tmp_path: Path) -> None:
    nodes = [node("Conv", "xv", "c"), node("Sigmoid", "c", "y")]
    path = save(tmp_path / "net.onnx", nodes, weights={"v": WEIGHT[:1]})
    two = Task(class_names=("no", "yes"))
    with pytest.raises(SegbenchError, match=r"do not sum to one over the classes\. Say what they are: output=probabilities"):
        network(path, task=two)
    image = torch.randn(1, 3, 16, 24)
    logits = network(path, SCALED, "output=probabilities", task=two)(image)
    torch.testing.assert_close(logits.softmax(1)[:, 1:], torch.sigmoid(nn.functional.conv2d(image, torch.from_numpy(WEIGHT[:1]))))


def test_metadata_of_ultralytics_and_transformers_are_read_and_options_win(tmp_path: Path) -> None:
    texts = {"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}", "stride": "4", "imgsz": "[16, 24]", "task": "semantic"}
    path = end(tmp_path / "net.onnx", "logits", dims=(1, 3, "h", "w"), texts=texts)
    own = files.describe(TASK, options(path))
    assert (own.class_names, own.multiple, own.metadata) == (tuple("abcd"), 4, "ultralytics")
    assert own.normalisation.scale == pytest.approx(1 / 255)
    plain = end(tmp_path / "plain.onnx", "logits")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(i): f"class {i}" for i in (2, 0, 1, 3)}}))
    image = {"do_rescale": True, "rescale_factor": 0.5, "do_normalize": True, "image_mean": [1, 2, 3], "image_std": [4, 5, 6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(image))
    own = files.describe(TASK, options(plain))
    assert (own.class_names, own.metadata) == (("class 0", "class 1", "class 2", "class 3"), "transformers")
    assert (own.normalisation.mean, own.normalisation.std, own.normalisation.scale) == ((1, 2, 3), (4, 5, 6), 0.5)
    (tmp_path / "names.txt").write_text("w\nx\ny\nz\n")
    own = files.describe(TASK, options(plain, "mean=(0.4,0.5,0.6)", "std=(0.2)", f'classes="{tmp_path}/names.txt"'))
    assert own.class_names == ("w", "x", "y", "z")
    assert (own.normalisation.std, own.normalisation.scale) == ((0.2, 0.2, 0.2), 1 / 255)


TWO = ([node("Conv", "xw", "y"), node("Relu", "y", "z")], {"y": TensorProto.FLOAT, "z": TensorProto.FLOAT})


@pytest.mark.parametrize(
    ("name", "dims", "texts", "message"),
    [
        ("two", (1, 3, 16, 24), (SCALED,), r"has 2 outputs: y \(1x4x16x24\), z \(1x4x16x24\)\. Say which .* output_name=y"),
        ("two", (1, 3, 16, 24), (SCALED, "output_name=logits"), r"has no output 'logits'\. It has: y"),
        ("logits", (1, 3, 16, 24), (), r"does not say how its images are normalised\. Give .*scale="),
        ("logits", (1, 3, 3, 3), (SCALED,), r"may be NCHW or NHWC: say it with layout="),
        ("logits", (1, 5, 16, 24), (SCALED,), r"takes 1x5x16x24, and the dataset's images have 3 channels"),
        ("logits", (1, 3, "h", 24), (SCALED,), r"takes images of 1x3x\?x24, of which one length is open: say it, as in size="),
        ("logits", (1, 3, 16, 24), (SCALED, "size=32"), r"takes images of 16x24, not of size=32"),
        ("logits", (8, 3, 16, 24), (SCALED,), r"takes exactly 8 images at once"),
        ("logits", (1, 3, 16, 24), (SCALED, "classes=(a,b)"), r"gives 4 classes, and 2 are named"),
        ("logits", (1, 3, 16, 24), (SCALED, "output=ids"), r"has 4 channels, and ids are one"),
        ("logits", (1, 3, 16, 24), ("mean=(1,2)",), r"mean has 2 values and the dataset's images 3 channels"),
    ],
)
def test_what_stays_open_is_one_message_that_says_what_to_type(
    tmp_path: Path, name: str, dims: Dims, texts: tuple[str, ...], message: str
) -> None:
    path = save(tmp_path / "net.onnx", *TWO, dims=dims) if name == "two" else end(tmp_path / "net.onnx", name, dims=dims)
    with pytest.raises(SegbenchError, match=message):
        files.describe(TASK, options(path, *texts))


def test_other_class_counts_opsets_and_axes_that_do_not_resolve_are_refused(tmp_path: Path) -> None:
    path = end(tmp_path / "net.onnx", "logits")
    with pytest.raises(SegbenchError, match=r"gives 4 classes, the dataset has 2, and the file does not name its own"):
        files.describe(Task(class_names=("a", "b")), options(path, SCALED))
    with pytest.raises(SegbenchError, match=r"was written for a newer ONNX \(opset 99\) than ONNX Runtime [\d.]+ reads"):
        files.describe(TASK, options(end(tmp_path / "new.onnx", "logits", opset=99), SCALED))
    nodes = [node("Reshape", ["x", "s"], "r"), node("Conv", "rw", "y")]
    shape = {"s": np.array([1, 3, 10, 10], dtype=np.int64)}
    with pytest.raises(SegbenchError, match=r"cannot be run at any of 64x96, 256x384, 512x768, as NCHW: .*say it: size="):
        files.describe(TASK, options(save(tmp_path / "axes.onnx", nodes, dims=(1, 3, "h", "w"), weights=shape), SCALED))
    with pytest.raises(SegbenchError, match=r"made for the task 'detect', which gives no class for each pixel"):
        files.describe(TASK, options(end(tmp_path / "boxes.onnx", "logits", texts={"names": "{}", "stride": "1", "task": "detect"})))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.onnx", b"hello", "is no ONNX file, as its ending says: it holds something else"),
        ("net.onnx", b"PK\x03\x04 cut off", "is no ONNX file"),
        ("net.xml", b"<?xml version='1.0'?><html/>", "is no OpenVINO file"),
        ("net.tflite", b"TFL3", "has none of the endings .onnx, .xml"),
        ("net.pt", b"\x80\x04K\x01.", "it holds weights without a network, or a pickle"),
        ("net.onnx", b"\x08\x07 cut off", "cannot load net.onnx"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SegbenchError, match=message):
        files.describe(TASK, options(tmp_path / name, SCALED))


def test_a_missing_path_file_or_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SegbenchError, match=r"it needs the path of a network's file: file\[path=net\.onnx\]"):
        files.describe(TASK, FileOptions.resolve())
    with pytest.raises(SegbenchError, match=r"there is no file '.*none\.onnx' in "):
        files.describe(TASK, options(tmp_path / "none.onnx"))
    path = end(tmp_path / "net.onnx", "logits")
    monkeypatch.setattr("segbench_plugins.models.file_formats.find_spec", lambda name: None)
    with pytest.raises(SegbenchError, match=r"ONNX files need onnx and onnxruntime: pip install 'segbench\[onnx\]'"):
        files.describe(TASK, options(path))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.conv.weight = nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image)  # type: ignore[no-any-return]


class OnCuda(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.to(torch.device("cuda:0"))


def script(path: Path, module: nn.Module, *, frozen: bool = False) -> Path:
    with quiet():
        scripted = torch.jit.script(module.eval())
        torch.jit.save(torch.jit.freeze(scripted) if frozen else scripted, str(path))
    return path


@pytest.mark.parametrize("form", ["script", "frozen", "exported"])
def test_files_of_torch_are_run_and_counted(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("net.pt2" if form == "exported" else "net.ts")
    if form == "exported":
        with quiet():
            torch.export.save(torch.export.export(Tiny().eval(), (torch.randn(1, 3, 16, 24),)), path)
    else:
        script(path, Tiny(), frozen=form == "frozen")
    model = network(path)
    assert model.description.canvas == ((16, 24) if form == "exported" else None)
    image = torch.randn(2, 3, 16, 24)
    torch.testing.assert_close(model(image), expected(image))
    counts = files.counts(TASK, options(path, SCALED), (16, 24))
    assert (counts.params, counts.macs) == (12, None)  # weights in a file are no parameters that the count could follow
    assert counts.missing.startswith("multiply-adds are not known: at least 4608 multiply-adds")
    assert counts.size_mb == path.stat().st_size / 2**20


def test_a_torchscript_that_needs_cuda_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SegbenchError, match=r"was traced on CUDA and runs nowhere else; there is none here\. Trace it on the CPU"):
        network(script(tmp_path / "net.ts", OnCuda()))


def test_weights_and_archives_that_would_be_unpickled_are_refused(tmp_path: Path) -> None:
    torch.save(Tiny().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(SegbenchError, match=r"it holds weights without a network, or a pickle\. Save the network itself"):
        network(tmp_path / "weights.pt")
    pickled = {"w": {"path_name": "weight_0", "use_pickle": True}}
    for name, entries in (("weights", pickled), ("constants", {"o": {"path_name": "custom_obj_0"}})):
        with zipfile.ZipFile(tmp_path / f"{name}.pt2", "w") as archive:
            archive.writestr("a/archive_format", "pt2")
            archive.writestr(f"a/data/{name}/model_{name}_config.json", json.dumps({"config": entries}))
        with pytest.raises(SegbenchError, match=r"holds pickled objects or compiled code, and reading it could run code: refused"):
            network(tmp_path / f"{name}.pt2")


def test_a_checkpoint_knows_its_file_and_copies_open_it_again(tmp_path: Path) -> None:
    model = network(end(tmp_path / "net.onnx", "logits"))
    state = model.state_dict()
    image = torch.randn(1, 3, 16, 24)
    assert torch.equal(copy.deepcopy(model)(image), model(image))
    changed = network(end(tmp_path / "net.onnx", "probabilities"))
    with pytest.raises(CheckpointError, match="has changed since it was scored"):
        changed.load_state_dict(state)


def test_a_graph_is_counted_from_its_shapes(tmp_path: Path) -> None:
    """By hand, for 1 x 3 x 16 x 24: each line of the sum is an operator."""
    nodes = [
        node("Conv", "xw", "c"),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], "n"),
        node("Conv", ["n", "g"], "d", group=4, strides=[2, 2], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("ConvTranspose", ["d", "u"], "t", strides=[2, 2]),
        node("Reshape", ["t", "r"], "f"),
        node("MatMul", ["f", "k"], "p"),
        node("Einsum", ["p", "q"], "e", equation="bij,jk->bik"),
        node("Reshape", ["e", "a"], "h"),
        node("Gemm", ["h", "z"], "y", transB=1),
    ]
    weights = {
        **{name: np.ones(4, np.float32) for name in "sbmv"},
        "g": np.ones((4, 1, 3, 3), np.float32),
        "u": np.ones((4, 5, 2, 2), np.float32),
        "r": np.array([1, 5, 384]),
        "k": np.ones((384, 7), np.float32),
        "q": np.ones((7, 6), np.float32),
        "a": np.array([5, 6]),
        "z": np.ones((2, 6), np.float32),
    }
    counts = count_onnx(save(tmp_path / "net.onnx", nodes, weights=weights), (1, 3, 16, 24))
    own = [12 * 384, 4 * 96 * 9, 4 * 96 * 5 * 4, 5 * 7 * 384, 5 * 7 * 6, 5 * 2 * 6]
    assert counts.macs == sum(own)
    assert counts.params == 12 + 8 + 36 + 80 + 384 * 7 + 42 + 12
    loop = [node("Conv", "xw", "c"), helper.make_node("LSTM", ["c", "s", "b"], ["y"], hidden_size=1)]
    unknown = count_onnx(save(tmp_path / "loop.onnx", loop, weights=weights), (1, 3, 16, 24))
    assert unknown.macs is None
    assert unknown.missing
