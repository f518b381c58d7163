from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench import ConfigError, ModelSpec, NoOptions, PluginError, Task
from segbench.networks.network import Network, build_network, deploy, read_output, resize_logits
from segbench.plugin.input_sizes import network_size, trial_size

TASK = Task(class_names=("a", "b", "c"))


class Recorder(nn.Module):
    """Keeps what it was given; gives its first channels as logits."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.seen: list[Tensor] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        self.seen = list(inputs)
        return inputs[0][:, : self.num_classes] * 1.0


class Returns(nn.Module):
    """Gives what it is told to give."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *inputs: Tensor) -> Any:
        return self.output


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(**{"name": "net", "summary": "", "build": "nowhere:build", **fields})


def test_an_image_that_fits_is_passed_on_untouched() -> None:
    model, image = Recorder(), torch.rand(2, 3, 64, 96)
    network = Network(model, spec(size_multiple=32), 3)
    for _ in range(3):  # the first two calls are looked at, on copies
        logits = network(image)["logits"]
    assert model.seen[0] is image
    assert torch.equal(logits, image)


class Centre(nn.Module):
    """Unpadded convolutions that copy the image: logits lack ``margin`` pixels on each side."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, image: Tensor) -> Tensor:
        return image[..., self.margin : image.shape[-2] - self.margin, self.margin : image.shape[-1] - self.margin] * 1.0


def test_a_network_of_one_size_gets_that_size_and_refuses_larger_images() -> None:
    model, image = Recorder(), torch.rand(1, 3, 40, 64)
    network = Network(model, spec(fixed_size=(48, 64)), 3)
    assert torch.equal(network(image)["logits"], image)
    assert tuple(model.seen[0].shape) == (1, 3, 48, 64)
    with pytest.raises(ConfigError, match=r"takes images of 48x64, not 49x64.*eval\.tile=48x64"):
        network(torch.rand(1, 3, 49, 64))


def test_images_larger_than_the_largest_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes images up to 96x96, not 64x97"):
        Network(Recorder(), spec(max_size=96), 3)(torch.rand(1, 3, 64, 97))


@pytest.mark.parametrize("size", [(20, 30), (6, 5)])
def test_logits_of_unpadded_convolutions_lie_where_their_pixels_are(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    assert torch.equal(Network(Centre(8), spec(margin=8, size_multiple=4), 3)(image)["logits"], image)


def test_a_margin_that_is_not_what_the_network_leaves_out_is_an_error() -> None:
    with pytest.raises(PluginError, match="returned logits of 24x34 for an input of 36x46, but declares margin=8: 20x30 were expected"):
        Network(Centre(6), spec(margin=8), 3)(torch.rand(1, 3, 20, 30))


@pytest.mark.parametrize(
    ("fields", "size"),
    [({}, (64, 64)), ({"size_multiple": 48}, (96, 96)), ({"min_size": 100}, (100, 100)), ({"max_size": 32}, (32, 32)),
     ({"fixed_size": (48, 80)}, (48, 80)), ({"margin": 8, "fixed_size": (48, 80)}, (32, 64))],
)  # fmt: skip
def test_trials_take_the_nearest_size_that_a_model_takes(fields: dict[str, Any], size: tuple[int, int]) -> None:
    assert trial_size(spec(**fields), (64, 64)) == size
    network_size(spec(**fields), size)


def test_an_image_that_does_not_fit_is_padded_right_and_below_and_logits_are_cropped() -> None:
    model, image, other = Recorder(), torch.rand(1, 3, 33, 65), torch.rand(1, 1, 33, 65)
    logits = Network(model, spec(size_multiple=32), 3)(image, other)["logits"]
    assert [tuple(x.shape) for x in model.seen] == [(1, 3, 64, 96), (1, 1, 64, 96)]
    assert torch.equal(model.seen[0][..., :33, :65], image)
    assert not model.seen[0][..., 33:, :].any()
    assert not model.seen[1][..., :, 65:].any()
    assert torch.equal(logits, image)


@pytest.mark.parametrize(
    ("fields", "padded"),
    [({"min_size": 48}, (48, 50)), ({"min_size": 33, "size_multiple": 16}, (48, 64)), ({"size_multiple": 0}, (20, 50))],
)
def test_the_smallest_size_and_the_multiple_are_both_kept(fields: dict[str, int], padded: tuple[int, int]) -> None:
    model = Recorder()
    Network(model, spec(**fields), 3)(torch.rand(1, 3, 20, 50))
    assert tuple(model.seen[0].shape[-2:]) == padded


def test_coarse_logits_of_a_padded_image_are_resized_before_the_crop() -> None:
    class Coarse(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[..., ::4, ::4]

    image = torch.arange(48.0).expand(1, 3, 20, 48)
    logits = Network(Coarse(), spec(size_multiple=32), 3)(image)["logits"]
    assert logits.shape == (1, 3, 20, 48)
    # a ramp stays a ramp where nothing was padded: column 10 lies half-way between the coarse columns at 8 and 12 (centres 1.5 apart)
    assert logits[0, 0, 0, 10].item() == pytest.approx(10 - 1.5)


def test_one_logit_of_a_binary_model_becomes_two() -> None:
    single = torch.tensor([-2.0, 0.0, 3.0]).view(1, 1, 1, 3)
    logits = Network(Returns(single), spec(), 2)(torch.zeros(1, 3, 1, 3))["logits"]
    assert logits.shape == (1, 2, 1, 3)
    assert torch.allclose(logits.softmax(1)[:, 1:], single.sigmoid())


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 4, 4, 4), (1, 3), (1, 1), (5,), (1, 3, 4)])
def test_outputs_that_are_no_logits_of_the_task_are_refused(shape: tuple[int, ...]) -> None:
    num_classes = 3 if shape != (1, 1) else 2
    with pytest.raises(PluginError) as caught:
        Network(Returns(torch.zeros(shape)), spec(), num_classes)(torch.zeros(1, 3, 4, 4))
    assert str(caught.value) == f"model 'net' returned {shape} where (N, {num_classes}, h, w) was expected"


def test_outputs_are_read_from_tensors_mappings_and_objects() -> None:
    main, aux = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 2, 2)
    assert read_output(main) == {"logits": main}
    assert read_output({"out": main, "aux": aux}) == {"logits": main, "aux": aux}
    assert read_output({"logits": main, "loss": torch.zeros(()), "states": (aux,), "none": None}) == {"logits": main}
    assert read_output(types.SimpleNamespace(logits=main)) == {"logits": main}


@pytest.mark.parametrize("output", [(1, 2), {"mask": 1}, None, object()])
def test_other_outputs_name_the_way_out(output: Any) -> None:
    with pytest.raises(PluginError, match=r"expected logits, a mapping with 'logits' or 'out'.*set read_output in its ModelSpec"):
        read_output(output)


def test_a_models_own_reader_is_used() -> None:
    def first(output: Any) -> dict[str, Tensor]:
        return {"logits": output[0]}

    main = torch.zeros(1, 3, 4, 4)
    assert Network(Returns((main, 1)), spec(read_output=first), 3)(main)["logits"] is main


def test_resizing_is_bilinear_without_aligned_corners_and_nothing_where_it_fits() -> None:
    logits = torch.tensor([[[[0.0, 4.0]]]])
    assert resize_logits(logits, (1, 2)) is logits
    assert resize_logits(logits, (1, 4)).flatten().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_the_seed_decides_the_weights_and_the_callers_randomness_goes_on() -> None:
    built = spec(build=lambda task, options: nn.Conv2d(3, task.num_classes, 1))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    weights = [build_network(built, TASK, NoOptions(), seed=seed).state_dict()["model.weight"] for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_build_that_gives_no_module_is_refused() -> None:
    with pytest.raises(PluginError, match=r"model 'net': build returned int instead of a torch\.nn.Module"):
        build_network(spec(build=lambda task, options: 3), TASK, NoOptions(), seed=0)


def test_the_deployed_form_gives_logits_at_the_images_size_in_eval_mode() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aux: nn.Module | None = nn.Conv2d(3, 3, 1)
            self.main = nn.Conv2d(3, 3, 1, stride=2)

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            out = {"out": self.main(image)}
            return out if self.aux is None else {**out, "aux": self.aux(image)}

    def without_aux(model: Halves) -> Halves:
        lean = Halves()
        lean.main, lean.aux = model.main, None
        return lean

    network = Network(Halves(), spec(deployed=without_aux), 3)
    deployed = deploy(network)
    image = torch.rand(1, 3, 10, 14)
    assert not deployed.training
    assert deployed(image).shape == (1, 3, 10, 14)
    assert torch.equal(deployed(image), resize_logits(network(image)["logits"], (10, 14)))
    assert sum(p.numel() for p in deployed.parameters()) == 12
    assert set(network(image)) == {"logits", "aux"}
    assert deployed.network.model.main.weight is network.model.main.weight  # type: ignore[union-attr]
