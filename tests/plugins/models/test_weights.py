"""Encoder weights from a local file: complete and of the right network, or not at all; and never by running code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from segbench import CheckpointError, Task
from segbench_plugins.models import DeepLabOptions, FloodEfficientOptions, deeplab, flood
from segbench_plugins.models.checks import check_deeplab, check_flood
from segbench_plugins.models.encoders import DEEPLAB_STRIDES, create_encoder
from segbench_plugins.models.weights import match_encoder, read_state

ENCODER = "mobilenetv3_small_050"
State = dict[str, Tensor]


@pytest.fixture
def trained() -> State:
    """The whole classification network's values, none of which a fresh encoder would have by chance."""
    torch.manual_seed(7)
    state: State = timm.create_model(ENCODER).state_dict()
    return {name: value + 0.25 if value.is_floating_point() else value + 3 for name, value in state.items()}


def options(path: Path, **more: Any) -> DeepLabOptions:
    return DeepLabOptions.resolve({"encoder": ENCODER, "weights": str(path), **more})


def refusal(path: Path, task: Task) -> str:
    """The error of building with a file; planning must report the same."""
    with pytest.raises(CheckpointError) as refused:
        deeplab.build(task, options(path))
    assert check_deeplab(task, options(path)) == [str(refused.value)]
    return str(refused.value)


@pytest.mark.parametrize("form", ["torch", "safetensors", "wrapped", "parallel"])
def test_every_value_of_the_encoder_comes_from_the_file(form: str, trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(trained, path)
    elif form == "wrapped":
        torch.save({"state_dict": trained, "epoch": 3}, path)
    elif form == "parallel":
        torch.save({f"module.{name}": value for name, value in trained.items()}, path)
    else:
        torch.save(trained, path)
    assert check_deeplab(task(), options(path)) == []
    network = deeplab.build(task(), options(path))
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, trained[name]), name


def test_what_is_left_over_is_named(trained: State) -> None:
    encoder, _ = create_encoder(DeepLabOptions.resolve({"encoder": ENCODER}), 3, strides=DEEPLAB_STRIDES)
    _, left_over = match_encoder(encoder, trained, name=ENCODER, source="file", in_channels=3)
    assert left_over == ["conv_head.weight", "conv_head.bias", "classifier.weight", "classifier.bias"]


def test_files_without_batch_counters_are_complete(trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "old.pth"
    torch.save({name: value for name, value in trained.items() if not name.endswith("num_batches_tracked")}, path)
    assert check_deeplab(task(), options(path)) == []


def test_missing_values_are_counted_and_the_first_named(trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "part.pth"
    torch.save({name: value for name, value in trained.items() if not name.startswith(("bn1.", "conv_stem."))}, path)
    assert refusal(path, task()) == (
        f"weights file '{path}' does not fit encoder '{ENCODER}': "
        "5 missing (conv_stem.weight, bn1.weight, bn1.bias, ..). "
        "Give the file of this very encoder, or set encoder to the one that the file is of."
    )


def test_another_shape_is_refused(trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "wide.pth"
    torch.save({**trained, "conv_stem.weight": torch.zeros(24, 3, 3, 3)}, path)
    assert "1 not fitting (conv_stem.weight is 24x3x3x3 and should be 16x3x3x3)" in refusal(path, task())


def test_values_that_are_not_finite_are_refused(trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "nan.pth"
    torch.save({**trained, "bn1.bias": torch.full((16,), torch.nan)}, path)
    assert "1 not fitting (bn1.bias has values that are not finite)" in refusal(path, task())


def test_a_deeper_network_of_the_same_family_is_not_taken_for_a_shallow_one(tmp_path: Path, flood_task: Task) -> None:
    path = tmp_path / "resnet34.pth"
    torch.save(timm.create_model("resnet34").state_dict(), path)
    shallow = FloodEfficientOptions.resolve({"encoder": "resnet18", "weights": str(path)})
    (message,) = check_flood(flood_task, shallow)
    assert "of another network (layer1.2.conv1.weight" in message
    with pytest.raises(CheckpointError, match="of another network"):
        flood.build_efficient(flood_task, shallow)


class _Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (self.marker,)  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_file_with_code_in_it_is_refused_and_not_run(form: str, suffix: str, tmp_path: Path, task: Callable[..., Task]) -> None:
    path, marker = tmp_path / f"evil{suffix}", tmp_path / "executed"
    content = {"conv_stem.weight": _Malicious(marker)}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    message = refusal(path, task())
    assert not marker.exists()
    assert "could run code: refused" in message if suffix == ".pth" else "no safetensors file" in message


@pytest.mark.parametrize(("name", "content"), [("cut.pth", b"PK\x03\x04 cut"), ("empty.pth", b""), ("cut.safetensors", b"\x10")])
def test_a_damaged_file_is_one_message(name: str, content: bytes, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert str(path) in refusal(path, task())


def test_a_file_without_tensors(tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    assert "holds no named tensors" in refusal(path, task())


def test_a_file_that_is_not_there(tmp_path: Path, task: Callable[..., Task]) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.pth", task())


def test_a_file_that_was_repaired_is_read_again(trained: State, tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "weights.pth"
    assert check_deeplab(task(), options(path)) != []
    torch.save(trained, path)
    assert check_deeplab(task(), options(path)) == []


@pytest.mark.parametrize(("channels", "expected"), [(1, 3.0), (6, 0.5)])
def test_the_first_convolution_adapts_to_other_channel_counts(
    channels: int, expected: float, trained: State, tmp_path: Path, task: Callable[..., Task]
) -> None:
    # Ones in three channels: summed for one channel, repeated and scaled by 3 / 6 for six, so that a gray image gives the same response.
    path = tmp_path / "weights.pth"
    torch.save({**trained, "conv_stem.weight": torch.ones(16, 3, 3, 3)}, path)
    network = deeplab.build(task(2, {"image": channels}), options(path))
    torch.testing.assert_close(network.encoder.state_dict()["conv_stem.weight"], torch.full((16, channels, 3, 3), expected))


def test_the_flood_encoder_keeps_its_weights(trained: State, tmp_path: Path, flood_task: Task) -> None:
    path = tmp_path / "weights.pth"
    torch.save(trained, path)
    chosen = FloodEfficientOptions.resolve({"encoder": ENCODER, "weights": str(path)})
    assert check_flood(flood_task, chosen) == []
    network = flood.build_efficient(flood_task, chosen)
    assert all(torch.equal(value, trained[name]) for name, value in network.encoder.state_dict().items())


def test_encoders_whose_names_timm_flattens_load_too(tmp_path: Path, task: Callable[..., Task]) -> None:
    path = tmp_path / "convnext.pth"
    whole = timm.create_model("convnext_atto")
    torch.save(whole.state_dict(), path)
    network = deeplab.build(task(), options(path, encoder="convnext_atto"))
    own = network.encoder.state_dict()
    assert torch.equal(own["stages_2.blocks.0.conv_dw.weight"], whole.state_dict()["stages.2.blocks.0.conv_dw.weight"])


def to_flat_layout(state: State) -> State:
    """timm's EfficientNet-Lite0 in the layout of the efficientnet_pytorch family, by walking the network block by block."""
    flat: State = {}
    outer = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    expanded = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    index = -1
    previous = ""
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] != "blocks":
            flat[".".join([outer[parts[0]], *parts[1:]])] = value
            continue
        block = ".".join(parts[:3])
        index += block != previous
        previous = block
        flat[".".join([f"_blocks.{index}", (plain if index == 0 else expanded)[parts[3]], *parts[4:]])] = value
    return flat


def test_the_flat_efficientnet_layout_is_translated_completely(tmp_path: Path, task: Callable[..., Task]) -> None:
    torch.manual_seed(7)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    path = tmp_path / "lite0.pth"
    torch.save(to_flat_layout(whole.state_dict()), path)
    assert "_blocks.15._bn2.running_var" in read_state(path)
    chosen = options(path, encoder="tf_efficientnet_lite0", pretrained=True)
    assert check_deeplab(task(), chosen) == []
    network = deeplab.build(task(), chosen)
    own = network.encoder.state_dict()
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in own.items())
    state, left_over = match_encoder(whole, read_state(path), name="tf_efficientnet_lite0", source="file", in_channels=3)
    assert (len(state), left_over) == (len(whole.state_dict()), [])
