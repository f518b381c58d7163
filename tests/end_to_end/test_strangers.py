"""The plugin interface against models that were not written for it: each takes a few lines."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large
from torchvision.models.segmentation.deeplabv3 import DeepLabV3

from segbench import Choice, LossSpec, ModelSpec, NoOptions, Normalisation, Sample, Task
from segbench.config.settings import Settings
from segbench.networks.network import Network, build_network, deploy, resize_logits
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.inputs import plan_inputs
from segbench.testing import ModelConformance
from segbench.training.fit import fit

# --- torchvision's DeepLabV3 with its auxiliary head: a mapping with "out" and "aux" ---


def build_torchvision(task: Task, options: NoOptions) -> Any:
    return deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=task.num_classes, aux_loss=True)


def without_auxiliary_head(model: DeepLabV3) -> Any:
    return DeepLabV3(model.backbone, model.classifier)


TORCHVISION = ModelSpec(
    name="tv-deeplabv3",
    summary="torchvision's DeepLabV3 on MobileNetV3-Large",
    build=build_torchvision,
    channels={"image": (3,)},
    aux_weights={"aux": 0.4},
    parts={"encoder": ("backbone.",), "decoder": ("classifier.", "aux_classifier.")},
    head=("classifier.4.", "aux_classifier.4."),
    deployed=without_auxiliary_head,
)


# --- like segmentation_models.pytorch: refuses sizes that are no multiples of 32 ---


class LikeSmp(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, 8, 32, stride=32), nn.ReLU())
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=32, mode="bilinear"), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.segmentation_head = nn.Conv2d(8, num_classes, 1)

    def forward(self, image: Tensor) -> Any:
        height, width = image.shape[-2:]
        if height % 32 or width % 32:
            raise RuntimeError(f"Wrong input shape height={height}, width={width}. Expected image height and width divisible by 32.")
        return self.segmentation_head(self.decoder(self.encoder(image)))


SMP = ModelSpec(
    name="like-smp",
    summary="needs multiples of 32",
    build=lambda task, options: LikeSmp(task.inputs["image"], task.num_classes),
    size_multiple=32,
    parts={"encoder": ("encoder.",), "decoder": ("decoder.",), "head": ("segmentation_head.",)},
    head=("segmentation_head.",),
)


# --- like a transformers SegFormer: an object with .logits at a quarter of the size ---


@dataclass
class SemanticSegmenterOutput:
    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class LikeSegformer(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.segformer = nn.Sequential(nn.Conv2d(channels, 8, 7, stride=4, padding=3), nn.GELU(), nn.Conv2d(8, 8, 1))
        self.decode_head = nn.Conv2d(8, num_classes, 1)

    def forward(self, pixel_values: Tensor) -> SemanticSegmenterOutput:
        hidden = self.segformer(pixel_values)
        return SemanticSegmenterOutput(self.decode_head(hidden), hidden_states=(hidden,))


SEGFORMER = ModelSpec(
    name="like-segformer",
    summary="logits at a quarter of the size, in an object",
    build=lambda task, options: LikeSegformer(task.inputs["image"], task.num_classes),
    head=("decode_head.",),
)


# --- a binary model with one logit ---


def only_two_classes(task: Task, options: NoOptions) -> list[str]:
    return [] if task.num_classes == 2 else ["one logit per pixel can tell two classes apart, no more: choose a task of two classes"]


BINARY = ModelSpec(
    name="one-logit",
    summary="one logit per pixel",
    build=lambda task, options: nn.Sequential(nn.Conv2d(task.inputs["image"], 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)),
    check=only_two_classes,
)


class TestTorchvision(ModelConformance):
    spec = TORCHVISION
    class_counts: ClassVar = (2, 21)


class TestLikeSmp(ModelConformance):
    spec = SMP


class TestLikeSegformer(ModelConformance):
    spec = SEGFORMER


class TestBinary(ModelConformance):
    spec = BINARY


def built(spec: ModelSpec, num_classes: int) -> Network:
    task = Task(class_names=tuple(f"class{i}" for i in range(num_classes)))
    _, model_task = plan_inputs(spec, task, NoOptions())
    return build_network(spec, model_task, NoOptions(), seed=0).eval()


def test_torchvisions_auxiliary_head_is_trained_but_not_deployed() -> None:
    network = built(TORCHVISION, 21)
    image = torch.rand(1, 3, 64, 64)
    assert set(network(image)) == {"logits", "aux"}
    # 11 029 328 is what torchvision publishes for this network with its auxiliary head
    assert sum(p.numel() for p in network.parameters()) == 11_029_328
    # the auxiliary head: 3x3 convolution 40 -> 10, its batch normalisation, 1x1 convolution 10 -> 21 with bias
    auxiliary = 40 * 10 * 9 + 2 * 10 + 10 * 21 + 21
    assert sum(p.numel() for p in deploy(network).parameters()) == 11_029_328 - auxiliary
    assert torch.allclose(deploy(network)(image), network.model(image)["out"], atol=1e-5)


def test_padding_for_multiples_of_32_is_on_the_right_and_below_and_cropped_away() -> None:
    network, image = built(SMP, 3), torch.rand(1, 3, 33, 40)
    padded = torch.zeros(1, 3, 64, 64)
    padded[..., :33, :40] = image
    with pytest.raises(RuntimeError, match="divisible by 32"):
        network.model(image)
    assert torch.equal(network(image)["logits"], network.model(padded)[..., :33, :40])


def test_quarter_size_logits_are_resized_not_their_argmax() -> None:
    network, image = built(SEGFORMER, 3), torch.rand(1, 3, 64, 96)
    coarse = network(image)["logits"]
    assert coarse.shape == (1, 3, 16, 24)
    expected = nn.functional.interpolate(coarse, size=(64, 96), mode="bilinear", align_corners=False)
    assert torch.equal(deploy(network)(image), expected)
    assert torch.equal(resize_logits(coarse, (64, 96)), expected)


def test_one_logit_is_the_odds_of_the_foreground() -> None:
    network, image = built(BINARY, 2), torch.rand(1, 3, 16, 16)
    assert torch.allclose(network(image)["logits"].softmax(1)[:, 1], network.model(image).sigmoid()[:, 0], atol=1e-6)


def test_an_odd_output_is_read_by_the_plugins_own_function() -> None:
    class Nested(LikeSegformer):
        def forward(self, pixel_values: Tensor) -> Any:
            return types.SimpleNamespace(result={"masks": super().forward(pixel_values).logits})

    spec = ModelSpec(
        name="nested",
        summary="",
        build=lambda task, options: Nested(3, task.num_classes),
        read_output=lambda output: {"logits": output.result["masks"]},
    )
    assert built(spec, 5)(torch.rand(1, 3, 32, 32))["logits"].shape == (1, 5, 8, 8)


class Halves(Sequence[Sample]):
    """Four images, dark on the left (class 0) and bright on the right (class 1)."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < 4:
            raise IndexError(index)
        image = torch.full((3, 40, 44), 60, dtype=torch.uint8)
        image[..., 22 - index :] = 200
        return Sample({"image": image}, (image[0] > 100).long(), str(index))


@pytest.mark.parametrize("spec", [TORCHVISION, SMP, SEGFORMER, BINARY], ids=lambda spec: spec.name)
def test_a_stranger_trains_for_an_epoch(spec: ModelSpec, tmp_path: Path) -> None:
    task = Task(class_names=("dark", "bright"), normalisation={"image": Normalisation((0.5,) * 3, (0.25,) * 3, 1 / 255)})
    plan, model_task = plan_inputs(spec, task, NoOptions())
    loss = LossSpec(name="ce", summary="", build=lambda task, options: nn.CrossEntropyLoss(ignore_index=task.ignore_index))
    train = {"epochs": 1, "batch_size": 2, "image_size": "40x44", "workers": 0, "precision": "off", "augmentation": "none"}
    record = fit(
        model=Chosen(Choice(spec.name), spec, NoOptions(), Plugin("strangers")),
        loss=Chosen(Choice("ce"), loss, NoOptions(), Plugin("strangers")),
        task=task,
        model_task=model_task,
        plan=plan,
        train_samples=Halves(),
        val_samples=Halves(),
        settings=Settings.model_validate({"train": train}),
        seed=0,
        device="cpu",
        directory=tmp_path,
        emit=lambda event, fields: None,
        identity={"model": spec.name},
    )
    assert record.epochs_run == 1
    (epoch,) = record.history
    assert epoch.train_loss is not None
    assert 0 < epoch.train_loss < 10
    assert epoch.val_miou is not None
    assert (tmp_path / "best.pt").exists()
