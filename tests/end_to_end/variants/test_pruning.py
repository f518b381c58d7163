from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench.errors import TrainingError
from segbench.networks.load import load_network
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import Task
from segbench_plugins.variants import PruneOptions
from segbench_plugins.variants.pruning import make, rebuild

INLINE = ["execute.where=inline"]
TASK = Task(class_names=("a", "b", "c"))


class Net(nn.Module):
    """Two ways that meet, a depthwise convolution, and a head that only training has."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 10, 3, padding=1, bias=False), nn.BatchNorm2d(10), nn.ReLU())
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.side = nn.Conv2d(10, 10, 1)
        self.up = nn.ConvTranspose2d(10, 20, 2, stride=2)
        self.head = nn.Conv2d(20, classes, 1)
        self.aux = nn.Conv2d(10, classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        maps = self.stem(image)
        joined = self.depthwise(maps) + self.side(maps)
        found = {"logits": self.head(self.up(joined))}
        return {**found, "aux": self.aux(joined)} if self.training else found


def lived_in(net: Any) -> Any:
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    for _ in range(2):
        net.train()(torch.randn(4, 3, 16, 16))
    return net


def pruned(net: Any, share: float, **options: Any) -> Any:
    return make([net], (torch.zeros(1, 3, 16, 16),), TASK, PruneOptions(of="net", share=share, **options))


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def test_every_layer_loses_its_share_and_the_classes_stay() -> None:
    found = shapes(pruned(lived_in(Net()), 0.3))
    assert found["stem.0.weight"] == (7, 3, 3, 3)
    assert found["stem.1.running_mean"] == (7,)
    assert found["depthwise.weight"] == (7, 1, 3, 3)
    assert found["side.weight"] == (7, 7, 1, 1)
    assert found["up.weight"] == (7, 14, 2, 2)
    assert (found["head.weight"], found["aux.weight"]) == ((3, 14, 1, 1), (3, 7, 1, 1))


def test_the_weakest_channels_go() -> None:
    net: Any = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 3, 1))
    with torch.no_grad():
        for channel, size in enumerate((3.0, 0.1, 2.0, 0.2)):
            net[0].weight[channel] = size
            net[1].weight[:, channel] = size
    kept = pruned(net, 0.5)
    assert kept[0].weight[:, 0].flatten().tolist() == [3.0, 2.0]
    assert kept[1].weight[0].flatten().tolist() == [3.0, 2.0]


def test_channels_that_never_mattered_can_go_without_a_trace() -> None:
    net = lived_in(Net()).eval()
    with torch.no_grad():
        for channel in (1, 4, 8):  # silent throughout: 3 of 10
            for name, parameter in net.named_parameters():
                if name.startswith(("stem", "depthwise", "side")) and parameter.shape[0] == 10:
                    parameter[channel] = 0
            net.side.weight[:, channel] = 0
            net.up.weight[channel] = 0
            net.aux.weight[:, channel] = 0
    with torch.no_grad():
        net.up.weight[:, 14:] = 0
        net.up.bias[14:] = 0
        net.head.weight[:, 14:] = 0
    image = torch.randn(2, 3, 12, 20)
    with torch.no_grad():
        before = net(image)["logits"]
        after = pruned(net, 0.3).eval()(image)["logits"]
    torch.testing.assert_close(after, before)


def test_statistics_modes_and_gradients_are_left_as_they_were() -> None:
    net = lived_in(Net()).eval()
    net.side.weight.requires_grad_(False)
    means = sorted(net.stem[1].running_mean.tolist())
    small = pruned(net, 0.3)
    assert set(small.stem[1].running_mean.tolist()) <= set(means)
    assert not any(module.training for module in small.modules())
    assert [name for name, p in small.named_parameters() if not p.requires_grad] == ["side.weight"]
    assert all(p.grad is None for p in small.parameters())


def test_kept_channels_may_be_a_multiple() -> None:
    assert shapes(pruned(lived_in(Net()), 0.5, multiple=4))["stem.0.weight"][0] == 4


def test_the_architecture_is_rebuilt_from_its_weights_without_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    small = pruned(lived_in(Net()), 0.4).eval()
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    again = rebuild([Net()], small.state_dict(), TASK, PruneOptions(of="net")).eval()
    again.load_state_dict(small.state_dict())
    image = torch.randn(1, 3, 8, 12)
    with torch.no_grad():
        assert torch.equal(again(image)["logits"], small(image)["logits"])
    assert str(again) == str(small), "layers know their counts"


def test_what_cannot_be_pruned_says_why() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)

        def forward(self, image: Tensor) -> Tensor:
            maps: Tensor = self.head(self.body(image).reshape(image.shape[0], 8, *image.shape[2:]))
            return maps

    with pytest.raises(TrainingError, match="net cannot be pruned: "):
        pruned(Stubborn(), 0.5)
    with pytest.raises(TrainingError, match="no layer has a channel to spare"):
        pruned(nn.Sequential(nn.Conv2d(3, 3, 1)), 0.5)


def test_a_pruned_cell_is_a_smaller_network_trained_on(bench: Any) -> None:
    models = "dot[width=8],\"prune[of='dot[width=8]',share=0.5]\"".replace('"', "")
    base, small = bench.run(models=models, backends="eager,twin", sets=[*INLINE, "measure.latency=true", "measure.rounds=2"]).cells
    assert (small.kind, small.needs, small.status) == ("prune", [base.id], "ok")
    assert small.params == 4 * 3 * 9 + 4 + 2 * 4 + 2
    assert (base.macs, small.macs) == (16 * 16 * (8 * 27 + 2 * 8), 16 * 16 * (4 * 27 + 2 * 4))
    assert small.training.epochs_run == 1
    assert small.notes[0].startswith("50 % of the channels pruned from dot[width=8], then trained on")
    assert {found.backend: found.error for found in small.deployments} == {"eager": None, "twin": None}
    loaded: Any = load_network(bench.directory / "checkpoints" / small.id / "best.pt", load_catalog()).network
    assert loaded.model.body.out_channels == 4
    bench.run(models=models, backends="eager,twin", sets=[*INLINE, "measure.latency=true", "measure.rounds=2"])
    assert bench.heard.stages == {}


def test_fine_tuning_starts_from_the_trained_weights(bench: Any) -> None:
    """At a learning rate near zero the pruned network keeps channels of the trained one."""
    models = "dot[width=8],prune[of='dot[width=8]',share=0.5]"
    base, small = bench.run(models=models, sets=[*INLINE, "train.lr=1e-12", "train.weight_decay=0"]).cells

    def body(cell: Any) -> Tensor:
        network: Any = load_network(bench.directory / "checkpoints" / cell.id / "best.pt", load_catalog()).network
        weight: Tensor = network.model.body.weight
        return weight.detach()

    whole = body(base)
    for channel in body(small):
        assert (whole - channel).abs().flatten(1).max(1).values.min() < 1e-6


def test_an_interrupted_fine_tuning_goes_on_without_its_base(bench: Any) -> None:
    models = "dot[width=8],prune[of='dot[width=8]',share=0.5]"
    _, small = bench.run(models=models, recipes="tiny-long", sets=INLINE).cells
    folder = bench.directory / "checkpoints" / small.id
    whole = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    (folder / "best.pt").unlink()
    bench.run(models=models, recipes="tiny-long", sets=INLINE)
    assert bench.heard.stages == {small.id: ("train", "evaluate")}
    again = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    assert {name: value.shape for name, value in again.items()} == {name: value.shape for name, value in whole.items()}


class Tied(nn.Module):
    """Two convolutions with one weight between a stem and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.second.weight = self.first.weight
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.second(self.first(self.stem(image)).relu()))  # type: ignore[no-any-return]


def test_a_shared_weight_is_not_turned_into_several() -> None:
    with pytest.raises(TrainingError, match=r"net cannot be pruned: first.weight and second.weight are one shared weight"):
        pruned(Tied(), 0.5)
