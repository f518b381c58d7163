"""Each little model here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import ModelSpec, NoOptions, Normalisation, Options, Task, option
from segbench.testing import ModelSubject, checks_for
from segbench.testing.check import CheckResult, run_all

Built = Callable[[Task, Options], nn.Module]


class Net(nn.Module):
    """Keeps every rule; ``head`` alone depends on the class count."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(task.inputs["image"], 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, task.num_classes, 1)

    def forward(self, image: Tensor) -> Any:
        return self.head(self.body(image))


def spec(build: Built | type[nn.Module], **fields: Any) -> ModelSpec:
    made = (lambda task, options: build(task)) if isinstance(build, type) else build
    given: dict[str, Any] = {"parts": {"encoder": ("body.",), "head": ("head.",)}, "head": ("head.",), **fields}
    return ModelSpec(name="net", summary="", build=made, **given)


def verdicts(given: ModelSpec, **fields: Any) -> list[CheckResult]:
    subject = ModelSubject(given, given.options.resolve(), class_counts=(2, 3), channel_counts=(1, 3), **fields)
    return run_all(checks_for("models"), subject)


def failures(given: ModelSpec, **fields: Any) -> dict[str, str]:
    """Message of each failed check by name."""
    return {result.name: result.message for result in verdicts(given, **fields) if result.verdict == "FAILED"}


class GammaAtZero(Net):
    """A branch behind a scalar that starts at 0 learns from the second step on."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.branch = nn.Conv2d(4, 4, 1)

    def forward(self, image: Tensor) -> Any:
        x = self.body(image)
        return self.head(x + self.gamma * self.branch(x))


class Frozen(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.body.requires_grad_(False)


class Auxiliary(Net):
    def __init__(self, task: Task, *, aux: bool = True) -> None:
        super().__init__(task)
        self.aux = nn.Conv2d(4, task.num_classes, 1) if aux else None

    def forward(self, image: Tensor) -> Any:
        x = self.body(image)
        return {"out": self.head(x)} if self.aux is None else {"out": self.head(x), "aux": self.aux(x)}


class Clinging(Auxiliary):
    """Its logits use the auxiliary output, without a gradient."""

    def forward(self, image: Tensor) -> Any:
        outputs = super().forward(image)
        return {"out": outputs["out"] + outputs["aux"].detach(), "aux": outputs["aux"]}


def without_aux(model: Auxiliary) -> nn.Module:
    return nn.Sequential(model.body, model.head)


class Pad32(Net):
    def forward(self, image: Tensor) -> Any:
        if image.shape[-1] % 32 or image.shape[-2] % 32:
            raise ValueError("height and width must be multiples of 32")
        return super().forward(image)


class Quarter(Net):
    def forward(self, image: Tensor) -> Any:
        return functional.avg_pool2d(super().forward(image), 4)


class Cropping(nn.Module):
    """Unpadded convolutions: the output is the centre of the image."""

    def __init__(self, task: Task, *, stretched: bool = False) -> None:
        super().__init__()
        channels = [task.inputs["image"], 4, 4, 4, 4]
        self.body = nn.Sequential(*(nn.Conv2d(a, b, 3) for a, b in pairwise(channels)))
        self.head = nn.Conv2d(4, task.num_classes, 1)
        self.stretched = stretched

    def forward(self, image: Tensor) -> Any:
        logits = self.head(self.body(image))
        return functional.interpolate(logits, image.shape[-2:], mode="bilinear") if self.stretched else logits


class Patches(nn.Module):
    """One token for 16 x 16 pixels, with attention over all of them."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.body = nn.Conv2d(task.inputs["image"], 8, 16, stride=16)
        self.mix = nn.TransformerEncoderLayer(8, 2, 8, dropout=0, batch_first=True)
        self.head = nn.Conv2d(8, task.num_classes, 1)

    def forward(self, image: Tensor) -> Any:
        x = self.body(image)
        return self.head(self.mix(x.flatten(2).mT).mT.reshape(x.shape))


class OneSize(Net):
    """Positions for images of 48 x 64, and no others."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.position = nn.Parameter(torch.rand(1, 4, 48, 64))

    def forward(self, image: Tensor) -> Any:
        return self.head(self.body(image) + self.position)


def only_two_classes(task: Task, options: Options) -> list[str]:
    return [] if task.num_classes == 2 else ["only for two classes"]


class OneLogit(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.head = nn.Conv2d(4, 1, 1)


@pytest.mark.parametrize(
    "given",
    [
        spec(Net),
        spec(GammaAtZero),
        spec(Frozen),
        spec(Auxiliary, aux_weights={"aux": 0.4}, head=("head.", "aux."), deployed=without_aux),
        spec(Auxiliary, aux_weights={"aux": 0.4}, head=("head.", "aux.")),
        spec(Pad32, size_multiple=32),
        spec(Quarter, min_size=40),
        spec(Patches, size_multiple=16),
        spec(OneSize, fixed_size=(48, 64)),
        spec(Cropping, margin=4),
        spec(OneLogit, check=only_two_classes),
        spec(Net, channels={"image": (3,)}, normalise=lambda task, options: {"image": Normalisation((0.5,) * 3, (0.2,) * 3)}),
    ],
    ids=[
        "plain",
        "gamma at zero",
        "frozen encoder",
        "auxiliary head",
        "auxiliary head dropped by the harness",
        "multiples of 32",
        "quarter size",
        "patches",
        "fixed size",
        "declared margin",
        "one logit",
        "normalised",
    ],
)
def test_models_that_keep_the_rules_pass(given: ModelSpec) -> None:
    assert failures(given) == {}


class OutOfRange(Options):
    width: int = option(0, minimum=1)


class Nan(Net):
    def forward(self, image: Tensor) -> Any:
        return super().forward(image) / (1 - image.shape[-1] % 2)


class NanInEval(Net):
    def forward(self, image: Tensor) -> Any:
        logits = super().forward(image)
        return logits if self.training else logits * float("nan")


class Softmaxed(Net):
    def forward(self, image: Tensor) -> Any:
        return super().forward(image).softmax(1)


class Sigmoid(Net):
    def forward(self, image: Tensor) -> Any:
        return super().forward(image).sigmoid()


class SeedsInForward(Net):
    def forward(self, image: Tensor) -> Any:
        torch.manual_seed(0)
        return super().forward(image)


def sets_threads(task: Task, options: Options) -> nn.Module:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return Net(task)


class Edges(Net):
    """An output for training alone: of one channel, or of other proportions than the logits."""

    def __init__(self, task: Task, channels: int | None = 1) -> None:
        super().__init__(task)
        self.edge = nn.Conv2d(4, channels or task.num_classes, 1)
        self.squares = channels is None

    def forward(self, image: Tensor) -> Any:
        x = self.body(image)
        if not self.training:
            return self.head(x)
        return {"logits": self.head(x), "edge": functional.adaptive_avg_pool2d(self.edge(x), 8) if self.squares else self.edge(x)}


class Buffers(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", torch.rand(task.num_classes, task.inputs["image"], 1, 1))

    def forward(self, image: Tensor) -> Any:
        return functional.conv2d(image, self.weight)


class Constant(Net):
    """Always three classes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.head = nn.Conv2d(4, 3, 1)


class Restless(Net):
    def forward(self, image: Tensor) -> Any:
        return self.head(functional.dropout(self.body(image), 0.5, training=True))


class BatchStatistics(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.body[1] = nn.BatchNorm2d(4, track_running_stats=False)


class Counter(Net):
    """Running statistics that go on in eval mode."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.register_buffer("mean", torch.zeros(()))
        self.mean: Tensor

    def forward(self, image: Tensor) -> Any:
        with torch.no_grad():
            self.mean.lerp_(image.mean(), 0.1)
        return super().forward(image - self.mean)


class WritesInput(Net):
    def forward(self, image: Tensor) -> Any:
        return super().forward(image.clamp_(min=0))


class Unused(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.spare = nn.Conv2d(4, 4, 1)


class Cut(Net):
    def forward(self, image: Tensor) -> Any:
        return self.head(self.body(image).detach())


class Silent(GammaAtZero):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.gamma.requires_grad_(False)


class NoGradient(Net):
    @torch.no_grad()
    def forward(self, image: Tensor) -> Any:
        return super().forward(image)


class NumpyWeights(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.head.weight.data += torch.from_numpy(np.random.default_rng().normal(size=self.head.weight.shape)).float()


def seeds_itself(task: Task, options: Options) -> nn.Module:
    torch.manual_seed(42)
    return Net(task)


class HiddenState(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.offset = torch.rand(1, task.num_classes, 1, 1)

    def forward(self, image: Tensor) -> Any:
        return super().forward(image) + self.offset


class ClassesInBody(Net):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.body.append(nn.Conv2d(4, task.num_classes, 1))
        self.head = nn.Conv2d(task.num_classes, task.num_classes, 1)


def drops_in_place(model: Auxiliary) -> nn.Module:
    model.aux = None
    return model


def drops_too_much(model: Net) -> nn.Module:
    return nn.Sequential(model.body[0], model.body[2], model.head)


def grows(model: Net) -> nn.Module:
    model_and_more = nn.ModuleDict({"model": model, "spare": nn.Linear(9, 9)})
    model_and_more.forward = model.forward
    return model_and_more


class NoProducts(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.head = nn.Parameter(torch.rand(1, task.num_classes, 1, 1))

    def forward(self, image: Tensor) -> Any:
        return image.mean(1, keepdim=True) * self.head


class Untraceable(Net):
    def forward(self, image: Tensor) -> Any:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise RuntimeError("cannot be traced")
        return super().forward(image)


BROKEN: dict[str, tuple[ModelSpec, str, str]] = {
    "default out of range": (spec(Net, options=OutOfRange), "spec_is_sound", "width = 0 does not fit: expected at least 1"),
    "channels of no input": (spec(Net, channels={"rgb": (3,)}), "spec_is_sound", "channels speaks of ['rgb']"),
    "negative weight": (spec(Net, aux_weights={"aux": -1.0}), "spec_is_sound", "aux_weights['aux'] = -1.0"),
    "nan at odd sizes": (spec(Nan), "logits_fit_every_task", "2 classes, image=1 at 33x65 gave logits that are no finite"),
    "undeclared multiple": (spec(Pad32), "logits_fit_every_task", "at 33x65 raised ValueError: height and width must be multiples of 32"),
    "wrong class count": (spec(Constant), "logits_fit_every_task", "returned (1, 3, 33, 65) where (N, 2, h, w) was expected"),
    "refuses everything": (
        spec(Net, check=lambda t, o: ["install x"]),
        "build_gives_a_network",
        "refuses every task that was tried: install x",
    ),
    "nan": (spec(NanInEval), "logits_fit_every_task", "gave logits that are no finite"),
    "builds nothing": (
        spec(lambda t, o: cast("nn.Module", None)),
        "build_gives_a_network",
        "build returned NoneType instead of a",
    ),
    "crops": (
        spec(Cropping),
        "logits_lie_where_the_image_does",
        "here about 4 pixels from each border. Pad the convolutions, or declare",
    ),
    "crops and stretches": (
        spec(lambda t, o: Cropping(t, stretched=True)),
        "logits_lie_where_the_image_does",
        "a dot that moves by 10 pixels of height moves by 11.",
    ),
    "softmax": (spec(Softmaxed), "logits_are_scores", "sum to 1 over the classes: forward ends in softmax"),
    "sigmoid": (spec(Sigmoid), "logits_are_scores", "forward ends in sigmoid"),
    "seeds in forward": (spec(SeedsInForward), "process_is_left_alone", "forward of model 'net' seeds random numbers"),
    "threads": (spec(sets_threads), "process_is_left_alone", "building model 'net' changed the number of threads from"),
    "one channel": (
        spec(Edges, aux_weights={"edge": 1.0}),
        "auxiliary_outputs_fit",
        "in training mode 'edge' is (2, 1, 64, 96), but logits",
    ),
    "other proportions": (
        spec(lambda t, o: Edges(t, None), aux_weights={"edge": 1.0}, head=("head.", "edge.")),
        "auxiliary_outputs_fit",
        "in training mode 'edge' is (2, 3, 8, 8), but logits are (2, 3, 64, 96) in eval mode",
    ),
    "weights in buffers": (
        spec(Buffers, parts={}, head=("weight",)),
        "every_parameter_learns",
        "the network has no parameter; its weights are buffers (weight), which no optimiser changes: use nn.Parameter",
    ),
    "unnamed auxiliary": (
        spec(Net, aux_weights={"aux": 0.4}),
        "auxiliary_outputs_are_named",
        "names ['aux'], but forward gives only ['logits']",
    ),
    "dropout in eval": (spec(Restless), "eval_is_deterministic", "two passes over the same image differ in eval mode"),
    "statistics of the batch": (spec(BatchStatistics), "eval_is_deterministic", "depend on the others in its batch"),
    "statistics in eval": (spec(Counter), "eval_is_deterministic", "forward changes mean in eval mode: update statistics only where"),
    "writes its input": (spec(WritesInput), "eval_is_deterministic", "forward changes its input tensors"),
    "unused layer": (spec(Unused), "every_parameter_learns", "spare.bias, spare.weight get(s) no gradient"),
    "unweighted auxiliary": (
        spec(Auxiliary, head=("head.", "aux.")),
        "every_parameter_learns",
        "aux.bias, aux.weight get(s) no gradient: forward does not use it for any weighted output",
    ),
    "detached body": (spec(Cut), "every_parameter_learns", "body.0.weight, body.1.bias, body.1.weight get(s) no gradient"),
    "factor zero": (spec(Silent), "every_parameter_learns", "the gradient of branch.bias, branch.weight stays zero over 3 steps"),
    "no gradient at all": (spec(NoGradient), "every_parameter_learns", "is forward under no_grad"),
    "another generator": (spec(NumpyWeights), "same_seed_gives_same_weights", "two builds with one seed differ in head.weight"),
    "own seed": (spec(seeds_itself), "same_seed_gives_same_weights", "another seed builds the same weights"),
    "hidden state": (spec(HiddenState), "state_round_trips", "reloaded weights give other logits"),
    "part without parameters": (
        spec(Net, parts={"encoder": ("backbone.",)}),
        "parts_name_parameters",
        "no parameter begins with 'backbone.' (in 'encoder'); they begin like 'body.', 'head.'",
    ),
    "overlapping parts": (
        spec(Net, parts={"all": ("",), "head": ("head.",)}),
        "parts_name_parameters",
        "belongs to the parts 'all' and 'head'",
    ),
    "undeclared head": (
        spec(ClassesInBody),
        "head_holds_all_that_depends_on_classes",
        "body.3.bias, body.3.weight depend(s) on the class count",
    ),
    "no head": (spec(Net, head=()), "head_holds_all_that_depends_on_classes", "head.bias, head.weight depend(s) on the class count"),
    "auxiliary head kept": (
        spec(Clinging, aux_weights={"aux": 0.4}, head=("head.", "aux.")),
        "deployed_gives_the_same_logits",
        "still computes auxiliary outputs",
    ),
    "dropped in place": (
        spec(Auxiliary, aux_weights={"aux": 0.4}, head=("head.", "aux."), deployed=drops_in_place),
        "deployed_gives_the_same_logits",
        "deployed changes the model that it is given",
    ),
    "dropped too much": (spec(Net, deployed=drops_too_much), "deployed_gives_the_same_logits", "it drops something that is needed"),
    "deployed grows": (spec(Net, deployed=grows), "deployed_gives_the_same_logits", "more parameters than the network"),
    "nothing to count": (spec(NoProducts, parts={}, head=("head",)), "multiply_adds_can_be_counted", "found no convolution"),
}
# what a fault breaks besides its own rule
CONSEQUENCES = {
    "negative weight": {"auxiliary_outputs_are_named"},
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_rule_is_named(name: str) -> None:
    given, rule, message = BROKEN[name]
    failed = failures(given)
    assert message in failed[rule]
    assert set(failed) - {rule} == CONSEQUENCES.get(name, set())


def test_a_rule_that_needs_a_broken_one_is_not_tried() -> None:
    results = {result.name: result for result in verdicts(spec(Restless))}
    assert {name: r.message for name, r in results.items() if r.verdict == "not tried"} == {
        "logits_lie_where_the_image_does": "depends on eval_is_deterministic",
        "state_round_trips": "depends on eval_is_deterministic",
        "deployed_gives_the_same_logits": "depends on eval_is_deterministic",
    }
    assert not results["state_round_trips"].passed


def test_a_model_of_one_size_is_tried_at_that_size() -> None:
    undeclared = spec(OneSize)
    assert "at 33x65 raised RuntimeError" in failures(undeclared)["logits_fit_every_task"]
    assert failures(undeclared, tried=(48, 64)) == {}


def test_unused_parameters_of_another_package_are_a_warning() -> None:
    class Spare(nn.Conv2d):
        """Stands for a class of a library."""

    Spare.__module__ = "another_library.layers"

    class Uses(Net):
        def __init__(self, task: Task) -> None:
            super().__init__(task)
            self.spare = Spare(4, 4, 1)

    (warned,) = [result for result in verdicts(spec(Uses)) if result.verdict != "ok"]
    assert (warned.name, warned.verdict) == ("every_parameter_learns", "warning")
    assert warned.message.startswith("spare.bias, spare.weight get(s) no gradient, and belong(s) to a library")


class Custom(Net):
    def forward(self, image: Tensor) -> Any:
        return self.head(doubled(self.body(image)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Custom, "not all multiply-adds are counted: operator segbench_check::doubled (1 call) has no formula"),
        (Untraceable, "fvcore could not trace the model: RuntimeError: cannot be traced"),
    ],
)
def test_what_cannot_be_counted_is_a_warning(network: type[nn.Module], message: str) -> None:
    """The row of a run has the reason; the author of a plugin cannot mend another package's operator."""
    (warned,) = [result for result in verdicts(spec(network)) if result.verdict != "ok"]
    assert (warned.name, warned.verdict, warned.message) == ("multiply_adds_can_be_counted", "warning", message)


@torch.library.custom_op("segbench_check::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return 2 * x


doubled.register_autograd(lambda context, gradient: 2 * gradient)


def test_every_model_rule_is_broken_by_some_model() -> None:
    covered = {rule for _, rule, _ in BROKEN.values()} | {"normalisation_fits"}
    assert covered == {check.name for check in checks_for("models")}


def test_a_normalisation_for_other_channels_is_named() -> None:
    own = {"image": Normalisation((0.5,) * 3, (0.2,) * 3)}
    assert "normalise gives 3 means for 1 channel" in failures(spec(Net, normalise=lambda task, options: own))["normalisation_fits"]


def test_every_class_and_channel_count_is_met_and_thorough_meets_all_pairs() -> None:
    plain = ModelSubject(spec(Net), NoOptions()).tasks
    assert [(t.num_classes, t.inputs["image"]) for t in plain] == [(2, 1), (7, 3), (21, 4)]
    assert len(ModelSubject(spec(Net), NoOptions(), thorough=True).tasks) == 9
    fixed = ModelSubject(spec(Net, channels={"image": (3,)}, check=only_two_classes), NoOptions()).tasks
    assert [(t.num_classes, t.inputs["image"]) for t in fixed] == [(2, 3)]
    two = spec(Net, inputs=("sar", "optical"), channels={"sar": (1, 2)})
    assert [dict(t.inputs) for t in ModelSubject(two, NoOptions()).tasks] == [
        {"sar": 1, "optical": 1},
        {"sar": 2, "optical": 3},
        {"sar": 1, "optical": 4},
    ]


@pytest.mark.parametrize(("smallest", "sizes"), [(1, ((33, 65), (64, 96))), (33, ((33, 65), (66, 98))), (64, ((65, 97), (96, 128)))])
def test_sizes_are_odd_and_even_and_never_too_small(smallest: int, sizes: tuple[tuple[int, int], ...]) -> None:
    assert ModelSubject(spec(Net, min_size=smallest), NoOptions()).sizes == sizes
