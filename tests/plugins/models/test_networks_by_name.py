"""Networks of four libraries by name: sizes, published counts, weights and messages. Nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from segbench import ModelSpec, SegbenchError, Task, parse_choice
from segbench.plugin.specs import resolve
from segbench.testing.check import run_all
from segbench.testing.plugins.model_subject import ModelSubject
from segbench.testing.plugins.models import CHECKS
from segbench_plugins import models
from segbench_plugins.models.encoders import encoder_normalisation

pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("transformers")

SPECS = {spec.name: spec for spec in models.segbench_models()}
STAGES = [f"stage{stage}" for stage in (1, 2, 3, 4)]
SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1] * 4,
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "out_features": STAGES,
}
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
}
QUERIES = {
    "backbone_config": SWIN,
    "mask_feature_size": 32,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "dim_feedforward": 16,
    "num_queries": 5,
}
DETR = {
    "model_type": "detr",
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 5,
}
TINY: dict[str, dict[str, Any]] = {
    "segformer": {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16},
    "upernet": {
        "hidden_size": 16,
        "backbone_config": {"model_type": "convnext", "depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "out_features": STAGES},
    },
    "dpt": {**VIT, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16},
    "beit": {**VIT, "out_indices": [0, 1, 2, 3]},
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32], "num_attention_heads": 2},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "eomt": {**VIT, "num_blocks": 1, "num_queries": 5, "num_upscale_blocks": 1},
    "maskformer": {"backbone_config": SWIN, "fpn_feature_size": 32, "mask_feature_size": 32, "decoder_config": DETR},
    "mask2former": {**QUERIES, "feature_size": 32},
    "oneformer": {**QUERIES, "conv_dim": 32, "mask_dim": 32, "text_encoder_width": 16, "is_training": True},
}
UNUSED = {"dpt", "mobilenet_v2", "maskformer", "mask2former", "oneformer"}
"""Kinds that have parameters without use in the library's own code."""


def task_of(names: int | list[str], channels: int = 3) -> Task:
    names = [f"c{index}" for index in range(names)] if isinstance(names, int) else names
    return Task(class_names=tuple(names), inputs={"image": channels})


def chosen(text: str) -> tuple[ModelSpec, Any]:
    choice = parse_choice(text)
    options = SPECS[choice.name].options.resolve(dict(choice.options), owner=choice.name)
    return SPECS[choice.name].with_options(options), options


def build(text: str, task: Task, *, device: str = "cpu") -> nn.Module:
    spec, options = chosen(text)
    with torch.device(device):
        module: nn.Module = resolve(spec.build)(task, options)
    return module


def problems(text: str, task: Task | None = None) -> list[str]:
    spec, options = chosen(text)
    assert spec.check is not None
    return list(resolve(spec.check)(task or task_of(3), options))


def count(text: str, classes: int) -> int:
    return sum(parameter.numel() for parameter in build(text, task_of(classes), device="meta").parameters())


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A folder with a tiny network's ``config.json``, by kind."""

    def write(kind: str, **changes: Any) -> Path:
        path = tmp_path / kind
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps({"model_type": kind, **TINY.get(kind, {}), **changes}))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lraspp_mobilenet_v3_large", 3_221_538),
        ("deeplabv3_mobilenet_v3_large", 11_029_328),
        ("deeplabv3_resnet50", 42_004_074),
        ("deeplabv3_resnet101", 60_996_202),
        ("fcn_resnet50", 35_322_218),
        ("fcn_resnet101", 54_314_346),
    ],
)
def test_torchvision_has_the_parameters_that_it_publishes(name: str, params: int) -> None:
    assert count(f"torchvision[name={name}]", 21) == params


@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        ("DeepLabV3", 15.90),
        ("DeepLabV3Plus", 12.33),
        ("FPN", 13.05),
        ("Linknet", 11.66),
        ("MAnet", 21.68),
        ("PAN", 11.37),
        ("PSPNet", 11.41),
        ("Unet", 14.33),
        ("UnetPlusPlus", 15.97),
    ],
)
def test_smp_has_the_published_parameters_on_resnet18_at_19_classes(arch: str, millions: float) -> None:
    # zh320/realtime-semantic-segmentation-pytorch, README
    assert round(count(f"smp[arch={arch},encoder=resnet18]", 19) / 1e6, 2) == millions


def test_segformer_by_kind_is_the_published_b0() -> None:
    assert round(count("transformers", 19) / 1e6, 2) == 3.72  # PaddleSeg's model zoo, Cityscapes


@pytest.mark.parametrize(
    "arch", ["Unet", "UnetPlusPlus", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer"]
)
def test_smp_takes_the_sizes_that_it_declares(arch: str) -> None:
    spec, _ = chosen(f"smp[arch={arch},encoder=resnet18]")
    size = (spec.min_size, spec.min_size + 3 * spec.size_multiple)
    network = build(f"smp[arch={arch},encoder=resnet18]", task_of(3), device="meta").eval()
    assert network(torch.empty(1, 3, *size, device="meta")).shape == (1, 3, *size)


def test_a_vit_in_smp_takes_multiples_of_its_patch() -> None:
    assert chosen("smp[arch=DPT,encoder=tu-vit_small_patch14_dinov2]")[0].size_multiple == 14


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smp[encoder=resnet19]", "unknown encoder 'resnet19'. Did you mean 'resnet18'"),
        ("smp[arch=DPT,encoder=resnet18]", "DPT cannot be built on encoder 'resnet18'"),
        ("smp[weights=imagenet]", "neither in the local cache of the hub nor can the hub be reached"),
        ("smp[weights=imagnet]", "encoder 'resnet34' has no weights 'imagnet'. Did you mean 'imagenet'"),
        ("smp[weights=owner/unet]", "'owner/unet' is no local folder, is not in the local cache of the hub"),
        ("torchvision[weights=coco]", "neither at "),
        ("torchvision[weights=cocoa]", "lraspp_mobilenet_v3_large has no weights 'cocoa'. Did you mean 'coco'"),
        ("transformers[name=nvidia/mit-b0]", "is no local folder, is not in the local cache of the hub"),
        ("transformers[name=segfomer]", "'segfomer' is neither a folder nor a repository"),
        ("timm[encoder=resnet19]", "unknown encoder 'resnet19'"),
        ("timm[pretrained=true]", "the pretrained weights of encoder 'resnet18' are neither in the local cache"),
    ],
)
def test_what_cannot_be_had_is_one_message_at_planning(text: str, message: str, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(offline))
    found = problems(text)
    assert len(found) == 1
    assert message in found[0]


def test_a_folder_without_configuration_or_of_another_kind_is_refused(folder: Any, tmp_path: Path) -> None:
    assert "holds no config.json" in problems(f"transformers[name={tmp_path}]")[0]
    assert "is of the kind 'bert'" in problems(f"transformers[name={folder('bert')}]")[0]


def test_the_auxiliary_output_of_torchvision_weighs_what_its_training_gives_it() -> None:
    assert chosen("torchvision[name=fcn_resnet50]")[0].aux_weights == {"aux": 0.5}
    assert chosen("torchvision")[0].aux_weights == {}


def test_whole_weights_of_torchvision_keep_their_classes_for_voc_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights as Weights
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    entry = Weights.DEFAULT
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    published = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    torch.save(published.state_dict(), tmp_path / "checkpoints" / Path(entry.url).name)
    state = published.state_dict()
    voc = ["background", *entry.meta["categories"][1:]]
    head, body = "classifier.low_classifier.weight", "backbone.0.0.weight"
    assert problems("torchvision[weights=coco]") == []
    same, other = (build("torchvision[weights=coco]", task_of(names)).state_dict() for names in (voc, 21))
    assert torch.equal(same[head], state[head])
    assert torch.equal(same[body], state[body])
    assert torch.equal(other[body], state[body])
    assert not torch.equal(other[head], state[head])
    four = build("torchvision[weights=coco]", task_of(voc, channels=6)).state_dict()
    assert torch.allclose(four[body], state[body].repeat(1, 2, 1, 1) / 2)  # timm's rule: repeated, at half the weight


def test_normalisation_is_that_of_the_weights() -> None:
    spec, options = chosen("torchvision[weights=coco]")
    assert spec.normalise is not None
    normalise = resolve(spec.normalise)
    assert normalise(task_of(21), options) == {"image": encoder_normalisation("resnet18")}  # ImageNet's
    assert normalise(task_of(21, channels=4), options) is None
    assert normalise(task_of(21), chosen("torchvision")[1]) is None


def test_a_saved_network_of_smp_is_built_only_by_options_that_name_it(tmp_path: Path) -> None:
    import segmentation_models_pytorch as smp

    saved = smp.FPN("mobilenet_v2", encoder_weights=None, classes=3)
    saved.save_pretrained(tmp_path / "fpn")
    assert "Set arch=FPN,encoder=mobilenet_v2." in problems(f"smp[weights={tmp_path}/fpn]")[0]
    text = f"smp[arch=FPN,encoder=mobilenet_v2,weights={tmp_path}/fpn]"
    assert problems(text) == []
    state = saved.state_dict()
    three, five = (build(text, task_of(classes)).state_dict() for classes in (3, 5))
    assert all(torch.equal(three[name], value) for name, value in state.items())
    assert all(torch.equal(five[name], value) for name, value in state.items() if not name.startswith("segmentation_head."))


@pytest.fixture
def saved_segformer(folder: Any) -> tuple[Path, Any]:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    path = folder("segformer")
    config = SegformerConfig(**TINY["segformer"], id2label={0: "Road", 1: "side walk", 2: "sky"})
    network = SegformerForSemanticSegmentation(config)
    network.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 2]}))
    return path, network


def test_weights_in_a_folder_keep_their_class_layer_for_the_same_classes_alone(saved_segformer: tuple[Path, Any]) -> None:
    path, network = saved_segformer
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    for names, kept in ((["road", "sidewalk", "sky"], True), (["sky", "road", "sidewalk"], False), (["a", "b"], False)):
        loaded = build(f"transformers[name={path}]", task_of(names)).state_dict()
        for name, value in state.items():
            assert torch.equal(loaded[name], value) == (kept or ".classifier." not in name), (name, names)
    assert not torch.equal(
        build(f"transformers[name={path},pretrained=false]", task_of(3)).state_dict()["network.decode_head.linear_fuse.weight"],
        state["network.decode_head.linear_fuse.weight"],
    )
    spec, options = chosen(f"transformers[name={path}]")
    assert spec.normalise is not None
    norm = resolve(spec.normalise)(task_of(3), options)["image"]
    assert (norm.mean, norm.std, norm.scale) == ((0.1, 0.2, 0.3), (1, 1, 2), 1 / 255)


def test_weights_of_another_size_are_refused(saved_segformer: tuple[Path, Any], folder: Any) -> None:
    path, _ = saved_segformer
    folder("segformer", hidden_sizes=[8, 8, 16, 32])
    with pytest.raises(SegbenchError, match="do not fit its segformer network"):
        build(f"transformers[name={path}]", task_of(3))
    assert "take 3 channels and the data have 4" in problems(f"transformers[name={path}]", task_of(3, channels=4))[0]


def test_weights_that_take_blue_first_get_it(folder: Any) -> None:
    path = folder("segformer")
    torch.manual_seed(0)
    network = build(f"transformers[name={path}]", task_of(3)).eval()
    (path / "preprocessor_config.json").write_text(json.dumps({"do_flip_channel_order": True}))
    flipped = build(f"transformers[name={path}]", task_of(3)).eval()
    flipped.load_state_dict(network.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(flipped(image), network(image.flip(1)))


@pytest.mark.parametrize("kind", ["maskformer", "mask2former", "oneformer", "eomt"])
def test_scores_of_queries_have_the_argmax_of_the_librarys_own_post_processing(kind: str) -> None:
    import transformers

    from segbench_plugins.models.transformers_network import _MASKS_FIRST, semantic_scores

    name = {"maskformer": "MaskFormer", "mask2former": "Mask2Former", "oneformer": "OneFormer", "eomt": "Eomt"}[kind]
    processor = getattr(transformers, f"{name}ImageProcessor")
    generator = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(2, 6, 5, generator=generator), 4 * torch.randn(2, 6, 12, 12, generator=generator)
    output = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks, patch_offsets=None)
    side = 384  # Mask2Former's post-processing resizes masks to this size, whatever the image's
    further = {"size": {"shortest_edge": side, "longest_edge": side}} if kind == "eomt" else {}
    expected = processor.post_process_semantic_segmentation(
        processor.__new__(processor), output, target_sizes=[(side, side)] * 2, **further
    )
    scores = semantic_scores(classes, masks, (side, side), masks_first=kind in _MASKS_FIRST)
    assert torch.equal(scores.argmax(1), torch.stack(list(expected)))


@pytest.mark.slow
def test_usual_timm_backbones_take_any_size() -> None:
    from segbench_plugins.models.timm import _USUAL
    from segbench_plugins.models.timm_backbone import find_backbone

    for name in _USUAL:
        found = find_backbone(name, "deeplabv3plus")
        assert (found.size_multiple, found.fixed_size, found.strides) == (1, None, (4, 16)), name


@pytest.mark.parametrize(
    ("name", "multiple", "fixed"),
    [
        ("vit_tiny_patch16_224", 16, None),
        ("hiera_tiny_224", 1, (224, 224)),
        pytest.param("convnext_atto", 32, None, marks=pytest.mark.slow),
    ],
)
def test_sizes_of_a_timm_backbone_are_measured(name: str, multiple: int, fixed: tuple[int, int] | None) -> None:
    spec, _ = chosen(f"timm[encoder={name}]")
    assert (spec.size_multiple, spec.fixed_size) == (multiple, fixed)


@pytest.mark.slow
def test_a_backbone_that_does_not_cover_the_image_is_refused() -> None:
    assert "do not cover the image evenly" in problems("timm[encoder=legacy_xception]")[0]


def test_a_frozen_backbone_stays_as_it_is_in_training() -> None:
    torch.manual_seed(0)
    network = build("timm[encoder=mobilenetv3_small_100,head=linear,freeze=true]", task_of(3)).train()
    encoder = network.get_submodule("encoder")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert not encoder.training
    assert [name for name, value in network.named_parameters() if value.grad is not None] == [
        name for name, _ in network.named_parameters() if not name.startswith("encoder.")
    ]
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "fpn", "deeplabv3plus", "upernet"])
def test_every_head_stands_on_a_vision_transformer(head: str) -> None:
    network = build(f"timm[encoder=vit_tiny_patch16_224,head={head},channels=8]", task_of(3), device="meta").eval()
    logits = network(torch.empty(1, 3, 64, 96, device="meta"))
    assert logits.shape == ((1, 3, 4, 6) if head == "linear" else (1, 3, 16, 24))


QUICK = {
    "spec_is_sound",
    "normalisation_fits",
    "auxiliary_outputs_are_named",
    "parts_name_parameters",
    "head_holds_all_that_depends_on_classes",
}
"""Rules that cost little; the others are for ``-m slow``."""
TEXTS = ["smp[arch=Linknet,encoder=mobilenet_v2]", "torchvision", "timm[encoder=mobilenetv3_small_100,head=upernet,channels=8]"]


def broken_rules(text: str, *, quick: bool) -> dict[str, str]:
    spec, options = chosen(text)
    checks = [check for check in CHECKS if check.name in QUICK or not quick]
    results = run_all(checks, ModelSubject(spec, options, class_counts=(2, 5), channel_counts=(3, 4)))
    return {result.name: result.message for result in results if not result.passed}


@pytest.mark.parametrize("text", TEXTS)
def test_adapters_keep_the_rules_that_cost_little(text: str) -> None:
    assert broken_rules(text, quick=True) == {}


@pytest.mark.parametrize("kind", TINY)
def test_every_kind_of_transformers_keeps_the_rules_that_cost_little(kind: str, folder: Any) -> None:
    assert broken_rules(f"transformers[name={folder(kind)}]", quick=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_adapters_keep_every_rule(text: str) -> None:
    assert broken_rules(text, quick=False) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(TINY) - {"mobilevit"}))
def test_kinds_of_transformers_break_no_rule_but_that_of_unused_parameters(kind: str, folder: Any) -> None:
    broken = broken_rules(f"transformers[name={folder(kind)}]", quick=False)
    assert set(broken) <= ({"every_parameter_learns"} if kind in UNUSED else set())
