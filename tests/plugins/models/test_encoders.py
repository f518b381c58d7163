"""Encoders that fit, messages about those that do not, and checks of pretrained weights at planning."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from segbench import CheckpointError, ConfigError, Normalisation, Task
from segbench_plugins.models import DeepLabOptions, FloodOptions
from segbench_plugins.models.checks import FITTING, check_deeplab, check_flood, normalise_image
from segbench_plugins.models.encoders import DEEPLAB_STRIDES, FLOOD_STRIDES, create_encoder, find_taps
from segbench_plugins.models.pretrained import missing_weights, reachable

MakeTask = Callable[..., Task]
NEVER_PUBLISHED = "efficientnet_b6"


@pytest.mark.parametrize("name", sorted(FITTING))
def test_encoders_that_are_never_asked_do_fit(name: str) -> None:
    assert len(find_taps(name, DEEPLAB_STRIDES).channels) == 3
    assert len(find_taps(name, FLOOD_STRIDES).channels) == 1


def test_the_default_encoder_is_tapped_as_published_and_dilated() -> None:
    taps = find_taps("mobilenetv3_small_100", DEEPLAB_STRIDES)
    assert (taps.channels, taps.output_stride) == ((16, 24, 576), 16)


def test_an_encoder_that_cannot_be_dilated_ends_at_stride_16() -> None:
    taps = find_taps("densenet121", DEEPLAB_STRIDES)
    assert taps.output_stride is None
    with torch.device("meta"):
        encoder, channels = create_encoder(DeepLabOptions.resolve({"encoder": "densenet121"}), 3, strides=DEEPLAB_STRIDES)
        features = encoder(torch.empty(2, 3, 64, 64))
    assert [tuple(f.shape[1:]) for f in features] == [(channels[0], 16, 16), (channels[1], 8, 8), (channels[2], 4, 4)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_tiny_patch16_224", "it offers strides 16 only"),
        ("swin_tiny_patch4_window7_224", "it cannot take images of any size (Input height (97) doesn't match model (224).)"),
        ("resnet999", "unknown encoder 'resnet999'. Did you mean 'resnet"),
        ("resnet18.a1_in2k", "encoder 'resnet18' has no weights 'a1_in2k'. Did you mean 'a1_in1k'"),
        ("hf-hub:somebody/something", "unknown encoder 'hf-hub:somebody/something'."),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_with_the_reason(name: str, reason: str, task: MakeTask) -> None:
    options = DeepLabOptions.resolve({"encoder": name})
    with pytest.raises(ConfigError) as refused:
        create_encoder(options, 3, strides=DEEPLAB_STRIDES)
    assert reason in str(refused.value)
    assert check_deeplab(task(), options) == [str(refused.value)]


def test_the_flood_networks_need_stride_32(flood_task: Task) -> None:
    (message,) = check_flood(flood_task, FloodOptions.resolve({"encoder": "vit_tiny_patch16_224"}))
    assert "it offers strides 16 only" in message
    assert check_flood(flood_task, FloodOptions.resolve({"encoder": "mobilenetv3_small_100.lamb_in1k"})) == []


def test_pretrained_without_network_and_file_fails_at_planning_and_at_building(offline: Path, task: MakeTask) -> None:
    options = DeepLabOptions.resolve({"encoder": "resnet18", "pretrained": True})
    (message,) = check_deeplab(task(), options)
    assert message == (
        "the pretrained weights of encoder 'resnet18' are neither in the local cache nor can the hub be reached. "
        "Set weights=PATH to a local file with them, run once where there is network, or set pretrained=false to train from scratch."
    )
    with pytest.raises(CheckpointError) as refused:
        create_encoder(options, 3, strides=DEEPLAB_STRIDES)
    assert str(refused.value) == message
    assert list(offline.iterdir()) == []


def cached(hub: Path) -> Path:
    """The path of resnet18's default weights in the cache of the hub's client."""
    repository, revision = hub / "models--timm--resnet18.a1_in1k", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    (repository / "snapshots" / revision).mkdir(parents=True)
    return repository / "snapshots" / revision / "model.safetensors"


def test_pretrained_weights_come_from_the_cache_where_they_are(offline: Path, task: MakeTask) -> None:
    torch.manual_seed(0)
    trained = timm.create_model("resnet18").state_dict()
    save_file(trained, cached(offline))
    options = DeepLabOptions.resolve({"encoder": "resnet18", "pretrained": True})
    assert check_deeplab(task(), options) == []
    encoder, _ = create_encoder(options, 3, strides=DEEPLAB_STRIDES)
    assert all(torch.equal(value, trained[name]) for name, value in encoder.state_dict().items())


def test_a_damaged_file_in_the_cache_is_an_error_and_not_a_start_from_scratch(offline: Path) -> None:
    cached(offline).write_bytes(b"cut")
    options = DeepLabOptions.resolve({"encoder": "resnet18", "pretrained": True})
    with pytest.raises(CheckpointError, match=r"resnet18.* could not be loaded .*Set weights=PATH"):
        create_encoder(options, 3, strides=DEEPLAB_STRIDES)


def test_an_encoder_without_published_weights_says_so() -> None:
    message = missing_weights(NEVER_PUBLISHED, reachable=lambda address: True)
    assert message == (
        f"timm has no pretrained weights of encoder '{NEVER_PUBLISHED}'. Set weights=PATH to a local file, or pretrained=false."
    )


def test_weights_that_can_be_fetched_are_not_missing(offline: Path) -> None:
    asked: list[str] = []

    def ask(address: str) -> bool:
        asked.append(address)
        return True

    assert missing_weights("resnet18", reachable=ask) is None
    (address,) = asked
    assert address.endswith("timm/resnet18.a1_in1k/resolve/main/model.safetensors")


class _Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:  # the name that http.server calls
        self.send_response(200 if self.path == "/here" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_reachable_means_that_the_file_itself_answers(hub: str) -> None:
    assert reachable(f"{hub}/here")
    assert not reachable(f"{hub}/elsewhere")
    assert not reachable("http://127.0.0.1:1/nobody-listens")


def test_a_pretrained_encoder_brings_its_own_normalisation(task: MakeTask) -> None:
    options = DeepLabOptions.resolve({"encoder": "tf_efficientnet_lite0", "weights": "some.pth"})
    half = (0.5, 0.5, 0.5)
    assert normalise_image(task(), options) == {"image": Normalisation(mean=half, std=half, scale=1 / 255)}
    imagenet = normalise_image(task(), DeepLabOptions.resolve({"encoder": "resnet18", "pretrained": True}))
    assert imagenet == {"image": Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=1 / 255)}


def test_other_images_and_encoders_from_scratch_keep_the_tasks_normalisation(task: MakeTask, flood_task: Task) -> None:
    pretrained = DeepLabOptions.resolve({"pretrained": True})
    assert normalise_image(task(), DeepLabOptions.resolve()) is None
    assert normalise_image(task(2, {"image": 1}), pretrained) is None
    assert normalise_image(flood_task, pretrained) is None
    assert normalise_image(task(2, {"bands": 3}), pretrained) is None
