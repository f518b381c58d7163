"""Auxiliary heads are dropped from deployed networks where the logits do not need them, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import ModelSpec, NoOptions, Task
from segbench.networks.auxiliary import Zeros
from segbench.networks.network import Network, build_network, deploy, resize_logits

TASK = Task(class_names=("a", "b", "c"))
MAIN, AUX = 3 * 8 * 9 + 8 + 8 * 3 + 3, 8 * 3 + 3


class Heads(nn.Module):
    """A trunk, a head and an auxiliary head; how they are used is a subclass's."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.aux: Any = nn.Conv2d(8, 3, 1)


class Optional(Heads):
    """As torchvision's: a head that may be None."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        outputs = {"out": self.head(features)}
        return outputs if self.aux is None else {**outputs, "aux": functional.interpolate(self.aux(features), scale_factor=2.0)}


class Always(Heads):
    """The head is always called."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        return {"out": self.head(features), "aux": resize_logits(self.aux(features[..., ::2, ::2]), (image.shape[-2], image.shape[-1]))}


class OnlyInTraining(Heads):
    """The auxiliary output is given while training, and the head lies there in evaluation."""

    def forward(self, image: Tensor) -> Any:
        features = self.trunk(image)
        return {"out": self.head(features), "aux": self.aux(features)} if self.training else self.head(features)


class Listed(Heads):
    """Several auxiliary heads in a list, one of them with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        del self.aux
        self.heads = nn.ModuleList([nn.Conv2d(8, 3, 1), nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        return {"logits": self.head(features), **{f"aux{i}": head(features) for i, head in enumerate(self.heads)}}


class PartlyShared(Heads):
    """The auxiliary head holds the main one's last layer: only its first can go."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Sequential(nn.Conv2d(8, 8, 1), self.head)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        return {"out": self.head(features), "aux": self.aux(features)}


class InPlace(Optional):
    """Works on its input in place."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return super().forward(image.mul_(2))


class Frozen(Optional):
    """Nothing is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Detached(Heads):
    """The logits use the auxiliary output without its gradient."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        aux = self.aux(features)
        return {"out": self.head(features) + aux.detach(), "aux": aux}


class Gated(Heads):
    """The logits change only where the auxiliary output is large, as no fresh one is."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        aux = self.aux(features)
        return {"out": torch.where(aux > 1000, 0.0, self.head(features)), "aux": aux}


class Noisy(Heads):
    """Two passes differ."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        return {"out": self.head(functional.dropout(features, 0.5, training=True)), "aux": self.aux(features)}


class Insists(Heads):
    """Fails where its head is not the one it was built with."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.trunk(image)
        return {"out": self.head(features), "aux": functional.conv2d(features, self.aux.weight) + self.aux(features)}


class Same(Heads):
    """The second output is another reading of the same head."""

    def __init__(self) -> None:
        super().__init__()
        del self.aux

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.trunk(image))
        return {"out": logits, "half": logits[..., ::2, ::2]}


class OneOutput(Heads):
    """No auxiliary output; a layer that nothing uses is part of the model."""

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(image))
        return logits


class NeedsMuch(Optional):
    """Fails on small images."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if image.shape[-1] < 100:
            raise ValueError("too small")
        return super().forward(image)


def network_of(build: Callable[[], nn.Module], **fields: Any) -> Network:
    spec = ModelSpec(name="net", summary="-", build=lambda task, options: build(), **fields)
    return build_network(spec, TASK, NoOptions(), seed=0)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def images(side: int = 40) -> Tensor:
    return torch.randn(2, 3, side, side + 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size_multiple", [1, 32])
@pytest.mark.parametrize(
    ("build", "params"),
    [
        (Optional, MAIN),
        (Always, MAIN),
        (OnlyInTraining, MAIN),
        (Listed, MAIN),
        (PartlyShared, MAIN),
        (InPlace, MAIN),
        (Frozen, MAIN),
    ],
)
def test_heads_that_only_auxiliary_outputs_need_are_dropped(build: Callable[[], nn.Module], params: int, size_multiple: int) -> None:
    network = network_of(build, size_multiple=size_multiple)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    trained = count(network)
    deployed = deploy(network)
    assert (count(deployed), deployed.kept_auxiliary) == (params, "")
    assert count(network) == trained > params
    network.eval()
    with torch.no_grad():
        assert set(deployed.network(images())) == {"logits"}
        assert torch.equal(deployed(images()), resize_logits(network(images())["logits"], (40, 46)))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    own = {id(tensor) for tensor in [*network.parameters(), *network.buffers()]}
    assert all(id(tensor) in own for tensor in [*deployed.parameters(), *deployed.buffers()])


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (Detached, "aux: the logits depend on aux"),
        (Gated, "aux: the logits depend on aux"),
        (Noisy, "aux: two passes over one image differ, so that no removal could be checked"),
        (Insists, "aux: the network does not run without aux"),
        (Same, "half: no module serves them alone"),
    ],
)
def test_heads_that_cannot_be_dropped_safely_are_kept_and_the_reason_is_given(build: Callable[[], nn.Module], reason: str) -> None:
    network = network_of(build)
    deployed = deploy(network)
    assert deployed.kept_auxiliary == reason
    assert count(deployed) == count(network)
    assert deployed.network.model is network.model


@pytest.mark.parametrize("build", [OneOutput, NeedsMuch])
def test_a_network_without_auxiliary_outputs_or_that_cannot_be_tried_is_left_alone(build: Callable[[], nn.Module]) -> None:
    network = network_of(build)
    deployed = deploy(network)
    assert (deployed.network.model, deployed.kept_auxiliary) == (network.model, "")


def test_the_modes_the_random_state_and_the_gradients_of_the_network_are_left_as_they_were() -> None:
    network = network_of(Always).train()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    lean, removal = network.without_auxiliary_heads()
    assert torch.equal(torch.rand(2), expected)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert (removal.outputs, removal.removed) == (("aux",), ("aux",))
    assert lean.model is not network.model


def test_zeros_stand_for_the_output_at_any_batch() -> None:
    zeros = Zeros(torch.ones(1, 21, 8, 8))
    assert zeros(torch.ones(3, 5, 4, 4)).shape == (3, 21, 1, 1)
    assert not zeros(torch.ones(3, 5, 4, 4)).any()
    assert Zeros(torch.ones(1, 10))(torch.ones(3, 5, 4, 4)).shape == (3, 10)


def test_torchvisions_segmentation_network_is_counted_as_without_its_auxiliary_loss() -> None:
    models = pytest.importorskip("torchvision.models.segmentation")

    def build(*, aux_loss: bool) -> nn.Module:
        module: nn.Module = models.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3, aux_loss=aux_loss)
        return module

    trained = network_of(lambda: build(aux_loss=True))
    assert count(deploy(trained)) == count(build(aux_loss=False)) < count(trained)
