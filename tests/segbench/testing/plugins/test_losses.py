"""Each loss here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import LossBatch, LossFormula, LossSpec, NoOptions, Options, Progress, Task, option
from segbench.testing import LossSubject, checks_for
from segbench.testing.check import run_all

IGNORE = 255
Loss = Callable[[Tensor, Tensor], Tensor]


def chosen_pixels(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (P, K) and labels (P,) of the labelled pixels."""
    valid = mask != IGNORE
    return logits.movedim(1, -1)[valid].float(), mask[valid]


def good(logits: Tensor, mask: Tensor) -> Tensor:
    pixels, labels = chosen_pixels(logits, mask)
    return functional.cross_entropy(pixels, labels, reduction="sum") / max(len(labels), 1)


def spec(loss: Callable[..., Any] | None, **fields: Any) -> LossSpec:
    return LossSpec(**{"name": "loss", "summary": "", "build": lambda task, options: loss, **fields})


def failures(given: LossSpec) -> dict[str, str]:
    """Message of each failed check by name."""
    return {r.name: r.message for r in run_all(checks_for("losses"), LossSubject(given, given.options.resolve())) if not r.passed}


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    pixels, labels = chosen_pixels(logits, mask)
    if not len(labels):
        return logits[:, :, :0].float().sum()
    truth = functional.one_hot(labels, logits.shape[1])
    probability = pixels.softmax(1)
    return 1 - ((2 * (probability * truth).sum(0) + 1) / (probability.sum(0) + truth.sum(0) + 1)).mean()


class Weighted(nn.Module):
    """Learns a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        return good(logits.float() * self.temperature, mask)


def far_from_edges(mask: Tensor) -> dict[str, Tensor]:
    return {"weight": 1 + functional.avg_pool2d((mask == 1).float()[None], 3, 1, 1)[0]}


def in_parts(outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> dict[str, Tensor]:
    pixels, labels = chosen_pixels(outputs["logits"], batch.mask)
    weight = batch.extras["weight"][batch.mask != IGNORE]
    weighted = (functional.cross_entropy(pixels, labels, reduction="none") * weight).sum() / weight.sum().clamp(min=1)
    return {"ce": weighted, "dice": dice(outputs["logits"], batch.mask) * (1 - progress.share)}


def two_classes(task: Task, options: Options) -> list[str]:
    return [] if task.num_classes == 2 else ["only for two classes"]


def binary(logits: Tensor, mask: Tensor) -> Tensor:
    assert logits.shape[1] == 2
    return good(logits, mask)


@pytest.mark.parametrize(
    "given",
    [
        spec(good),
        spec(dice),
        spec(None, build=lambda task, options: Weighted()),
        spec(in_parts, takes="batch", prepare=far_from_edges),
        spec(binary, check=two_classes),
    ],
    ids=["cross-entropy", "dice", "own parameter", "batch with prepare", "two classes"],
)
def test_losses_that_keep_the_rules_pass(given: LossSpec) -> None:
    assert failures(given) == {}


class OutOfRange(Options):
    gamma: float = option(-1.0, minimum=0)


def unreduced(logits: Tensor, mask: Tensor) -> Tensor:
    return good(logits, mask)[None]


def overflowing(logits: Tensor, mask: Tensor) -> Tensor:
    pixels, labels = chosen_pixels(logits, mask)
    return -(pixels.exp() / pixels.exp().sum(1, keepdim=True))[torch.arange(len(labels)), labels].log().sum() / max(len(labels), 1)


def backwards(logits: Tensor, mask: Tensor) -> Tensor:
    class Flip(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Tensor) -> Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return -gradients[0]

    return good(Flip.apply(logits), mask)


def hard(logits: Tensor, mask: Tensor) -> Tensor:
    pixels, labels = chosen_pixels(logits, mask)
    return (pixels.argmax(1) != labels).float().sum() / max(len(labels), 1) + 0 * pixels.sum()


def detached(logits: Tensor, mask: Tensor) -> Tensor:
    return good(logits.detach(), mask)


def masked_by_product(logits: Tensor, mask: Tensor) -> Tensor:
    valid = mask != IGNORE
    each = functional.cross_entropy(logits.float(), mask.masked_fill(~valid, 0), reduction="none")
    return (each * valid).sum() / valid.sum().clamp(min=1)


def statistics_of_all(logits: Tensor, mask: Tensor) -> Tensor:
    finite = logits.detach().float().nan_to_num(0, 0, 0)
    return good(logits, mask) * (1 + (finite.abs() > 2.9).float().mean())


def over_all_pixels(logits: Tensor, mask: Tensor) -> Tensor:
    pixels, labels = chosen_pixels(logits, mask)
    return functional.cross_entropy(pixels, labels, reduction="sum") / mask.numel()


def rewards_errors(logits: Tensor, mask: Tensor) -> Tensor:
    return -good(logits, mask).clamp(max=100) + 0.0


def plain_mean(logits: Tensor, mask: Tensor) -> Tensor:
    return functional.cross_entropy(*chosen_pixels(logits, mask))


def constant_gradient(logits: Tensor, mask: Tensor) -> Tensor:
    return good(logits, mask) if (mask != IGNORE).any() else logits.float().mean()


def float32_only(logits: Tensor, mask: Tensor) -> Tensor:
    if logits.dtype != torch.float32:
        raise TypeError("expected float32")
    return good(logits, mask)


def writes_mask(logits: Tensor, mask: Tensor) -> Tensor:
    value = good(logits, mask)
    mask[mask == IGNORE] = 0
    return value


class Idle(Weighted):
    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        return good(logits, mask)


def batch_of(loss: Loss) -> Callable[..., Tensor]:
    return lambda outputs, batch, progress: loss(outputs["logits"], batch.mask)


def lists(mask: Tensor) -> Any:
    return [mask]


def writes_in_prepare(mask: Tensor) -> dict[str, Tensor]:
    return {"weight": mask.fill_(0)}


BROKEN: dict[str, tuple[LossSpec, str, str, set[str]]] = {
    "default out of range": (
        spec(good, options=OutOfRange),
        "option_defaults_fit",
        "gamma = -1.0 does not fit: expected at least 0",
        set(),
    ),
    "not reduced": (spec(unreduced), "value_is_a_finite_scalar", "the loss has shape (1,): average it to one number", set()),
    "no tensor": (spec(lambda logits, mask: 3.0), "value_is_a_finite_scalar", "returned float instead of a tensor", {"*"}),
    "overflows": (spec(overflowing), "value_is_a_finite_scalar", "with logits of +-10000 the loss is nan", set()),
    "raises": (spec(lambda logits, mask: logits[9]), "value_is_a_finite_scalar", "with ordinary logits raised IndexError", {"*"}),
    "wrong sign of the gradient": (
        spec(backwards),
        "gradient_reaches_the_logits",
        "a small step against the gradient raises the loss",
        set(),
    ),
    "argmax": (spec(hard), "gradient_reaches_the_logits", "the gradient by the logits is zero everywhere", set()),
    "detached": (spec(detached), "gradient_reaches_the_logits", "cannot be differentiated", {"*"}),
    "product with the mask": (spec(masked_by_product), "ignored_pixels_have_no_influence", "inf at ignored pixels", set()),
    "statistics of all pixels": (
        spec(statistics_of_all),
        "ignored_pixels_have_no_influence",
        "other logits at ignored pixels change the loss from",
        {"average_is_over_valid_pixels"},
    ),
    "divides by all pixels": (spec(over_all_pixels), "average_is_over_valid_pixels", "an ignored border changes the loss from", set()),
    "rewards errors": (spec(rewards_errors), "perfect_beats_shuffled", "the loss must fall as predictions improve", set()),
    "divides by zero": (spec(plain_mean), "batch_without_labels_is_harmless", "a batch without labels costs nan", set()),
    "pulls without labels": (spec(constant_gradient), "batch_without_labels_is_harmless", "a batch without labels has a gradient", set()),
    "float32 only": (spec(float32_only), "half_precision_is_accepted", "float16 logits raised TypeError: expected float32", set()),
    "writes the mask": (
        spec(writes_mask),
        "tensors_are_left_alone",
        "writes into the logits or the mask",
        {"ignored_pixels_have_no_influence"},
    ),
    "idle parameter": (
        spec(None, build=lambda task, options: Idle()),
        "own_parameters_learn",
        "the loss's parameter temperature gets no gradient",
        set(),
    ),
    "prepare gives a list": (
        spec(batch_of(good), takes="batch", prepare=lists),
        "prepare_runs_in_workers",
        "prepare must return a mapping of names to tensors",
        {"*"},
    ),
    "prepare writes": (
        spec(batch_of(good), takes="batch", prepare=writes_in_prepare),
        "prepare_runs_in_workers",
        "prepare writes into the mask",
        {"*"},
    ),
    "prepare cannot be sent": (
        spec(batch_of(good), takes="batch", prepare=lambda mask: {"weight": mask}),
        "prepare_runs_in_workers",
        "pickling prepare raised",
        set(),
    ),
    "another formula": (
        spec(good, formula=LossFormula(function=lambda logits, mask, **_: 0.0)),
        "value_is_that_of_the_formula",
        "its formula gives 0.000000: off by",
        set(),
    ),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_rule_is_named(name: str) -> None:
    given, rule, message, besides = BROKEN[name]
    failed = failures(given)
    assert message in failed[rule]
    if besides != {"*"}:  # a loss that gives nothing usable fails in most checks
        assert set(failed) - {rule} == besides


def test_every_loss_rule_is_broken_by_some_loss() -> None:
    assert {rule for _, rule, _, _ in BROKEN.values()} == {check.name for check in checks_for("losses")}


def test_a_loss_that_refuses_every_task_says_why() -> None:
    given = spec(good, check=lambda task, options: [f"no {task.num_classes} classes, please"])
    with pytest.raises(AssertionError, match="no 3 classes, please; no 2 classes, please"):
        _ = LossSubject(given, NoOptions()).task
