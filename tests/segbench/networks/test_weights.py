"""Weights of any file: every wrapper and prefix that people have, and one clear message for what holds none or does not fit."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from segbench.errors import CheckpointError
from segbench.networks.weights import fit_weights, load_weights
from segbench.networks.weights_file import read_weights

State = dict[str, Tensor]


class Net(nn.Module):
    """A body with batch normalisation, and a head."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
        self.head = nn.Conv2d(width, 2, 1)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


class Wrapped(nn.Module):
    """The same network as a plugin may hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()


@pytest.fixture
def state() -> State:
    torch.manual_seed(3)
    return {name: value + 1 if value.is_floating_point() else value + 7 for name, value in Net().state_dict().items()}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(value) for name, value in state.items()}


FORMS: dict[str, tuple[Callable[[State], Any], str | None, str | None]] = {
    "plain": (lambda s: s, None, None),
    "state_dict": (lambda s: {"state_dict": s, "epoch": 3, "best": np.float64(0.5), "args": argparse.Namespace(lr=1)}, "state_dict", None),
    "model": (lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}}}, "model", None),
    "model_state_dict": (lambda s: {"model_state_dict": s}, "model_state_dict", None),
    "net": (lambda s: {"net": s, "ema_decay": torch.tensor(0.9)}, "net", None),
    "nested": (lambda s: {"trainer": {"model": {"weights": s}}}, "trainer.model.weights", None),
    "DataParallel": (lambda s: prefixed("module.", s), None, "the prefix 'module.' was removed"),
    "Lightning": (lambda s: {"state_dict": prefixed("model.", s)}, "state_dict", "the prefix 'model.' was removed"),
    "Lightning net": (lambda s: {"state_dict": prefixed("net.", s), "loops": {}}, "state_dict", "the prefix 'net.' was removed"),
    "both": (lambda s: {"model": prefixed("module.model.", s)}, "model", "the prefix 'module.model.' was removed"),
    "compiled": (lambda s: prefixed("_orig_mod.", s), None, "'_orig_mod.' was removed"),
    "averaged model": (lambda s: {**prefixed("module.", s), "n_averaged": torch.tensor(9)}, None, "the prefix 'module.' was removed"),
    "ema": (lambda s: {"model": zeros(s), "ema": s}, "ema", None),
    "model_ema": (lambda s: {"model": zeros(s), "model_ema": prefixed("module.", s)}, "model_ema", "the prefix 'module.' was removed"),
    "state_dict_ema": (lambda s: {"state_dict": zeros(s), "state_dict_ema": s}, "state_dict_ema", None),
    "half": (lambda s: {name: v.half() if v.is_floating_point() else v for name, v in s.items()}, None, None),
    "before torch 0.4.1": (lambda s: {name: v for name, v in s.items() if not name.endswith("num_batches_tracked")}, None, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_state_dict_is_loaded_and_the_rule_is_named(form: str, state: State, tmp_path: Path) -> None:
    wrap, place, rule = FORMS[form]
    torch.save(wrap(state), tmp_path / "w.pth")
    network = Net()
    loaded, meta = load_weights(network, tmp_path / "w.pth")
    assert (loaded.state, loaded.rule, loaded.share, loaded.not_loaded, loaded.left_over, meta) == (place, rule, 1.0, [], [], None)
    values = network.state_dict()
    for name in ("body.0.weight", "body.1.running_mean", "head.bias"):
        torch.testing.assert_close(values[name], state[name], atol=2e-3 if form == "half" else 0.0, rtol=0.0)


def test_safetensors_are_told_by_their_content_and_shared_tensors_are_there(state: State, tmp_path: Path) -> None:
    safetensors.torch.save_file(state, tmp_path / "w.bin")
    network = Net()
    load_weights(network, tmp_path / "w.bin")
    assert torch.equal(network.head.weight, state["head.weight"])
    tied = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)})
    tied["two"] = tied["one"]
    safetensors.torch.save_file({"one.weight": torch.ones(2, 2), "one.bias": torch.ones(2)}, tmp_path / "tied.safetensors")
    assert load_weights(tied, tmp_path / "tied.safetensors")[0].share == 1.0


def test_a_prefix_is_added_where_the_plugin_holds_the_network_in_a_module(state: State, tmp_path: Path) -> None:
    torch.save(prefixed("module.", state), tmp_path / "w.pth")
    wrapped = Wrapped()
    loaded, _ = load_weights(wrapped, tmp_path / "w.pth")
    assert loaded.rule == "the prefix 'module.' was removed and the prefix 'net.' was added"
    assert torch.equal(wrapped.state_dict()["net.head.bias"], state["head.bias"])


def fault(content: Any, tmp_path: Path, *, partial: bool = False) -> str:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as refused:
        load_weights(Net(), tmp_path / "w.pth", partial=partial, subject="net")
    return str(refused.value).replace(f"{tmp_path}/", "")


def test_what_does_not_fit_is_named_with_near_misses_and_both_shapes(state: State, tmp_path: Path) -> None:
    content = {**state, "head.wieght": state["head.weight"], "body.0.bias": torch.zeros(5)}
    del content["head.weight"]
    assert fault(prefixed("module.", content), tmp_path) == (
        "w.pth does not fit net (the prefix 'module.' was removed): 'body.0.bias' has shape (5,) instead of (4,); "
        "'head.weight' is missing; 'module.head.wieght' is not known to the model (did you mean 'head.weight'?). "
        "Give the weights of this very network, or --partial-weights to load the 73.3 % of its values that fit."
    )


def test_part_of_a_file_is_loaded_where_that_is_wanted_and_the_share_is_recorded(state: State, tmp_path: Path) -> None:
    content = {name: value for name, value in state.items() if not name.startswith("head.")} | {"aux.weight": torch.ones(1)}
    torch.save(content, tmp_path / "w.pth")
    network = Net()
    head = network.head.weight.clone()
    loaded, _ = load_weights(network, tmp_path / "w.pth", partial=True)
    assert (loaded.not_loaded, loaded.left_over) == (["head.weight", "head.bias"], ["aux.weight"])
    assert loaded.share == pytest.approx(1 - 10 / 45)
    assert torch.equal(network.head.weight, head)
    assert torch.equal(network.state_dict()["body.0.weight"], state["body.0.weight"])
    assert loaded.words == (
        "weights from w.pth, 77.8 % of the network's values loaded; not loaded: head.weight, head.bias; left over in the file: aux.weight"
    )


@pytest.mark.parametrize("partial", [False, True])
def test_another_network_is_called_so(partial: bool, tmp_path: Path) -> None:
    message = fault({"layer1.weight": torch.ones(2), "fc.bias": torch.ones(3)}, tmp_path, partial=partial)
    assert message.startswith("w.pth is of another network than net: none of its 2 tensors fits (in the file: 'layer1.weight', ..; in the")


@pytest.mark.parametrize("partial", [False, True])
def test_values_that_are_not_finite_are_damage_but_masks_may_be_infinite(partial: bool, state: State, tmp_path: Path) -> None:
    assert torch.isinf(state["mask"]).any()
    message = fault({**state, "head.bias": torch.tensor([0.0, torch.nan])}, tmp_path, partial=partial)
    assert message.startswith("w.pth is damaged: 'head.bias' has values that are not finite.")


def test_quantised_values_are_not_taken_for_weights(state: State, tmp_path: Path) -> None:
    message = fault({**state, "head.bias": torch.tensor([1, 2], dtype=torch.int8)}, tmp_path)
    assert "'head.bias' holds whole numbers (int8) instead of decimal numbers" in message


def test_a_network_without_values_is_fitted_from_names_and_shapes(state: State, tmp_path: Path) -> None:
    torch.save({"model": state}, tmp_path / "w.pth")
    with torch.device("meta"):
        network = Net()
    assert fit_weights(network, read_weights(tmp_path / "w.pth", mapped=True)).share == 1.0


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(2))
    return buffer.getvalue()


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "page.pth": (lambda: b"<!DOCTYPE html>\n<html><body>404</body></html>", "it is an HTML page: the link that it came from"),
    "notes.txt": (lambda: b"weights follow\n", r"it is a text file\. Give RUN/CELL"),
    "pointer.pth": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "it is a Git LFS pointer"),
    "net.xml": (lambda: b'<?xml version="1.0"?>\n<net name="n" version="11">', "it is an XML file. It is an exported program"),
    "net.onnx": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x032.1", "it is an ONNX file. It is an exported program"),
    "renamed.pth": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x032.1", "it is an ONNX file"),
    "script.pt": (script, "it is a TorchScript file. It is an exported program"),
    "arrays.pt": (arrays, "it is a zip archive without tensors"),
    "keras.pt": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), "it is an HDF5 file"),
    "empty.pt": (lambda: b"", "it is empty"),
    "cut.pt": (lambda: saved(Net().state_dict())[:-300], "is damaged"),
    "noise.pt": (lambda: bytes(range(128, 256)) * 3, "is damaged"),
    "pickled.pt": (
        lambda: saved(Net()),
        r"plain data \(an object of .*Net\), and reading it could run code: refused",
    ),
    "numbers.pt": (lambda: saved({"epoch": 3, "lr": [0.1]}), "holds no named tensors"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_without_weights_is_one_clear_message(name: str, tmp_path: Path) -> None:
    content, message = FOREIGN[name]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / name)


def test_a_folder_and_a_missing_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder: give the file in it"):
        read_weights(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read_weights(tmp_path / "none.pt")


def test_no_code_is_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {"w": torch.ones(1)}, "args": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="could run code: refused"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()
