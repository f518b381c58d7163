"""The rules that every loss keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.plugin.choice import parse_choice
from segbench.plugin.class_weights import numeric_options
from segbench.plugin.options import Options
from segbench.plugin.specs import LossBatch, LossSpec, Progress, Task, resolve
from segbench.testing.check import Check, during, fail, refuse_unfit_defaults

FORMULA_TOLERANCE = 1e-5
"""Relative; losses compute in float32, whose steps are 6e-8, and sum over a few hundred pixels."""

POISON = {"huge numbers": 1e30, "inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def option_defaults_fit(subject: LossSubject) -> None:
    """Option defaults keep their own limits."""
    refuse_unfit_defaults(subject.spec.options)


def value_is_a_finite_scalar(subject: LossSubject) -> None:
    """One finite number without dimensions, for ordinary and for very large logits, also where classes are absent."""
    for case, logits, mask in (
        ("ordinary logits", subject.logits(), subject.mask()),
        ("logits of +-10000", subject.logits() * 1e4, subject.mask()),
        ("a batch of one class", subject.logits(), torch.zeros_like(subject.mask())),
        ("one image", subject.logits()[:1], subject.mask()[:1]),
        ("an odd size", subject.logits()[..., :7, :5], subject.mask()[..., :7, :5]),
    ):
        value = subject.value(logits, mask, case=case)
        if value.ndim != 0:
            fail(f"with {case} the loss has shape {tuple(value.shape)}: average it to one number")
        if not bool(torch.isfinite(value)):
            fail(f"with {case} the loss is {value.item()}: work with log_softmax, and divide by at least 1 pixel")


def gradient_reaches_the_logits(subject: LossSubject) -> None:
    """The loss can be differentiated: a finite gradient that is not zero, and a step against it lowers the loss."""
    logits, mask = subject.logits(), subject.mask()
    value, gradient = subject.gradient(logits, mask, case="ordinary logits")
    if not bool(torch.isfinite(gradient).all()):
        fail("the gradient by the logits is not finite")
    if not bool(gradient.count_nonzero()):
        fail("the gradient by the logits is zero everywhere: argmax, thresholds and .detach() stop it")
    after = subject.value(logits - 0.1 * gradient / gradient.abs().max(), mask, case="a small step downhill")
    if not bool(after < value):
        fail(f"a small step against the gradient raises the loss from {value.item():.6g} to {after.item():.6g}: is its sign wrong?")


def ignored_pixels_have_no_influence(subject: LossSubject) -> None:
    """Logits at ignored pixels change neither value nor gradient, whatever they are (also nan and inf)."""
    logits, mask = subject.logits(), subject.mask(ignored=True)
    ignored = (mask == subject.task.ignore_index).unsqueeze(1).expand_as(logits)
    value, gradient = subject.gradient(logits, mask, case="ignored pixels")
    for what, number in {"other logits": 3.0, **POISON}.items():
        case = f"{what} at ignored pixels"
        other, changed = subject.gradient(torch.where(ignored, torch.full_like(logits, number), logits), mask, case=case)
        if not torch.allclose(other, value, rtol=1e-5, atol=1e-6):
            fail(f"{case} change the loss from {value.item():.6g} to {other.item():.6g}: select the valid pixels before computing")
        if bool((changed[ignored] != 0).any()):
            fail(f"{case} get a gradient: select the valid pixels (a product with a 0/1 mask lets nan through)")
        if not torch.allclose(changed[~ignored], gradient[~ignored], rtol=1e-4, atol=1e-6):
            fail(f"{case} change the gradient at valid pixels")


def average_is_over_valid_pixels(subject: LossSubject) -> None:
    """Adding ignored pixels around the images leaves the loss as it was."""
    logits, mask = subject.logits(), subject.mask()
    value = subject.value(logits, mask, case="labelled pixels only")
    padded = functional.pad(mask, (0, 4, 0, 4), value=subject.task.ignore_index)
    other = subject.value(functional.pad(logits, (0, 4, 0, 4)), padded, case="an ignored border")
    if not torch.allclose(other, value, rtol=1e-4, atol=1e-6):
        fail(
            f"an ignored border changes the loss from {value.item():.6g} to {other.item():.6g}: "
            "divide by the number of valid pixels, not of all pixels"
        )


def perfect_beats_shuffled(subject: LossSubject) -> None:
    """Logits that name the right classes cost less than the same logits with classes exchanged."""
    mask = subject.mask()
    right = 8.0 * functional.one_hot(mask, subject.task.num_classes).movedim(-1, 1).float()
    perfect = subject.value(right, mask, case="perfect logits")
    wrong = subject.value(right.roll(1, dims=1), mask, case="exchanged classes")
    if not bool(perfect < wrong):
        fail(f"perfect logits cost {perfect.item():.6g}, exchanged classes {wrong.item():.6g}: the loss must fall as predictions improve")


def batch_without_labels_is_harmless(subject: LossSubject) -> None:
    """Where every pixel is ignored, the loss is finite and its gradient zero."""
    mask = torch.full_like(subject.mask(), subject.task.ignore_index)
    value, gradient = subject.gradient(subject.logits(), mask, case="a batch without labels")
    if not bool(torch.isfinite(value)):
        fail(f"a batch without labels costs {value.item()}: divide by max(valid pixels, 1)")
    if bool((gradient != 0).any()):  # nan != 0 holds too
        fail("a batch without labels has a gradient: return logits.sum() * 0, not a constant offset that depends on the logits")


def half_precision_is_accepted(subject: LossSubject) -> None:
    """Logits in float16 and bfloat16 give a finite loss close to that in float32."""
    logits, mask = subject.logits(), subject.mask(ignored=True)
    exact = subject.value(logits, mask, case="float32 logits")
    for dtype in (torch.float16, torch.bfloat16):
        case = f"{str(dtype).removeprefix('torch.')} logits"
        value = subject.value(logits.to(dtype), mask, case=case).float()
        if not bool(torch.isfinite(value)) or not torch.allclose(value, exact.float(), rtol=0.05, atol=0.05):
            fail(f"{case} give {value.item():.6g} instead of {exact.item():.6g}: begin with logits.float()")


def tensors_are_left_alone(subject: LossSubject) -> None:
    """The loss changes neither logits nor mask in place."""
    logits, mask = subject.logits(), subject.mask(ignored=True)
    copies = (logits.clone(), mask.clone())
    subject.value(*copies, case="ordinary logits")
    if not torch.equal(copies[0], logits) or not torch.equal(copies[1], mask):
        fail("the loss writes into the logits or the mask that it was given: work on a copy (masked_fill instead of masked_fill_)")


def own_parameters_learn(subject: LossSubject) -> None:
    """Parameters of the loss itself get gradients."""
    loss = subject.build()
    if not isinstance(loss, nn.Module):
        return
    subject.value(subject.logits().requires_grad_(), subject.mask(), case="ordinary logits", loss=loss).backward()  # type: ignore[no-untyped-call]
    for name, parameter in loss.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            fail(f"the loss's parameter {name} gets no gradient: use it in forward, or make it a buffer")


def prepare_runs_in_workers(subject: LossSubject) -> None:
    """``prepare(mask)`` takes one mask (H, W), gives a mapping of tensors, does not change the mask and can be pickled."""
    if subject.spec.prepare is None:
        return
    prepare = resolve(subject.spec.prepare)
    with during("pickling prepare"):
        pickle.loads(pickle.dumps(prepare))
    for mask in (subject.mask(ignored=True)[0], torch.full((6, 9), subject.task.ignore_index)):
        mask_copy = mask.clone()
        with during("prepare"):
            extras = prepare(mask_copy)
        if not isinstance(extras, Mapping) or not all(isinstance(value, Tensor) for value in extras.values()):
            fail("prepare must return a mapping of names to tensors")
        if not torch.equal(mask_copy, mask):
            fail("prepare writes into the mask that it was given: work on a copy")


def value_is_that_of_the_formula(subject: LossSubject) -> None:
    """Where the spec declares a formula, the loss has its value in float64, and its worked figures."""
    formula = subject.spec.formula
    if formula is None:
        return
    choices = {subject.spec.name: subject.options}
    for text in formula.choices:
        choices[text] = subject.spec.options.resolve(dict(parse_choice(text).options), owner=subject.spec.name)
    problems = [problem for text, options in choices.items() for problem in _off_the_formula(subject, text, options)]
    with during("the formula's worked figures"):
        figures = list(resolve(formula.worked)()) if formula.worked else []
    problems += [f"{what}: {measured:g} instead of {expected:g}" for what, expected, measured in figures if not _close(measured, expected)]
    if problems:
        fail("; ".join(problems))


def _off_the_formula(subject: LossSubject, text: str, options: Options) -> Iterator[str]:
    """One sentence for each share of training at which loss and formula differ.

    The logits of ignored pixels are no numbers, and the last image has nothing of the last class.
    """
    formula = subject.spec.formula
    assert formula is not None
    tried = replace(subject, options=options, class_counts=(formula.num_classes, *subject.class_counts))
    logits, mask = _formula_scene(tried.task.num_classes, tried.task.ignore_index)
    for share in (0.0, 0.5) if subject.spec.takes == "batch" else (0.0,):
        with during(f"the formula of {text}"):
            arguments = {"ignore_index": tried.task.ignore_index, "options": tried.numeric_options, "share": share}
            expected = float(resolve(formula.function)(logits.double().numpy(), np.asarray(mask), **arguments))
        progress = Progress(epoch=0, epochs=1, step=round(share * 100), steps=100)
        measured = float(replace(tried, progress=progress).value(logits, mask, case=f"the scene of its formula ({text})"))
        if not _close(measured, expected):
            when = f" after {share:.0%} of training" if share else ""
            off = abs(measured - expected) / max(abs(expected), 1e-9)
            yield (
                f"{text} is {measured:.6f}{when}, its formula gives {expected:.6f}: "
                f"off by {off:.2g} of the value ({FORMULA_TOLERANCE:g} would be float32's rounding)"
            )


def _close(measured: float, expected: float) -> bool:
    return abs(measured - expected) <= FORMULA_TOLERANCE * max(abs(expected), 1e-9)  # a nan is no smaller than anything


def _formula_scene(classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Logits (3, K, 8, 10) and a mask in which every ninth pixel or so is ignored; there the logits are nan.

    The last image has nothing of the last class, which the second half of the batch's losses must cope with.
    """
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, classes, 8, 10, generator=random)
    mask = torch.randint(classes, (3, 8, 10), generator=random)
    mask[2] = mask[2].clamp(max=classes - 2)
    ignored = torch.rand(mask.shape, generator=random) < 0.12
    return logits.masked_fill(ignored.unsqueeze(1), torch.nan), mask.masked_fill(ignored, ignore_index)


CHECKS: tuple[Check[LossSubject], ...] = tuple(
    Check.of(function)
    for function in (
        option_defaults_fit,
        value_is_a_finite_scalar,
        gradient_reaches_the_logits,
        ignored_pixels_have_no_influence,
        average_is_over_valid_pixels,
        perfect_beats_shuffled,
        batch_without_labels_is_harmless,
        half_precision_is_accepted,
        tensors_are_left_alone,
        own_parameters_learn,
        prepare_runs_in_workers,
        value_is_that_of_the_formula,
    )
)


START = Progress(epoch=0, epochs=10, step=0, steps=100)


@dataclass(frozen=True)
class LossSubject:
    """A loss with its options, tried on the first of ``class_counts`` that ``spec.check`` accepts.

    ``progress`` is what a loss that changes with time is told.
    """

    spec: LossSpec
    options: Options
    class_counts: tuple[int, ...] = (3, 2)
    progress: Progress = START

    @cached_property
    def task(self) -> Task:
        """The task for which the loss is built."""
        refused: list[str] = []
        for count in self.class_counts:
            task = Task(class_names=tuple(f"class{i}" for i in range(count)))
            if self.spec.check is None:
                return task
            with during(f"spec.check with {count} classes"):
                problems = list(resolve(self.spec.check)(task, self.options))
            if not problems:
                return task
            refused.extend(problems)
        return fail(f"spec.check refuses every task that was tried: {'; '.join(dict.fromkeys(refused))}")

    @cached_property
    def numeric_options(self) -> Options:
        """The options with equal class weights in place of rules."""
        with during("spec.class_weights"):
            made: Options = numeric_options(self.spec, self.options, lambda rule: (1.0,) * self.task.num_classes)
        return made

    def build(self) -> Callable[..., Any]:
        """A fresh loss."""
        with during(f"build with {self.task.num_classes} classes"):
            loss = resolve(self.spec.build)(self.task, self.numeric_options)
        if not callable(loss):
            fail(f"build returned {type(loss).__name__}, which cannot be called")
        return loss  # type: ignore[no-any-return]

    def logits(self) -> Tensor:
        """Normal noise (2, K, 12, 16)."""
        return torch.randn(2, self.task.num_classes, 12, 16, generator=torch.Generator().manual_seed(0))

    def mask(self, *, ignored: bool = False) -> Tensor:
        """Labels (2, 12, 16): every class, and where ``ignored`` about a third of the pixels ignored."""
        generator = torch.Generator().manual_seed(1)
        mask = torch.randint(0, self.task.num_classes, (2, 12, 16), generator=generator)
        if ignored:
            mask[torch.rand(mask.shape, generator=generator) < 1 / 3] = self.task.ignore_index
        return mask

    def value(self, logits: Tensor, mask: Tensor, *, case: str, loss: Callable[..., Any] | None = None) -> Tensor:
        """The loss; parts of a loss with ``takes = "batch"`` are summed. Random choices inside are the same in every call."""
        loss = loss or self.build()
        with torch.random.fork_rng(devices=[]), during(f"the loss with {case}"):
            torch.manual_seed(0)
            if self.spec.takes == "logits":
                result = loss(logits, mask)
            else:
                batch = LossBatch(inputs=(logits.new_zeros(logits.shape[0], 3, *mask.shape[1:]),), mask=mask, extras=self._extras(mask))
                result = loss({"logits": logits}, batch, self.progress)
        return self._total(result, case)

    def gradient(self, logits: Tensor, mask: Tensor, *, case: str) -> tuple[Tensor, Tensor]:
        """The loss, and its gradient by the logits (zeros where the loss does not depend on them)."""
        leaf = logits.detach().clone().requires_grad_()
        value = self.value(leaf, mask, case=case)
        if not value.requires_grad:
            fail(f"the loss with {case} cannot be differentiated: compute it with torch from the logits, without .item() or .detach()")
        with during(f"the gradient of the loss with {case}"):
            (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
        return value.detach(), torch.zeros_like(leaf) if gradient is None else gradient

    def _extras(self, mask: Tensor) -> dict[str, Tensor]:
        if self.spec.prepare is None:
            return {}
        prepared = [resolve(self.spec.prepare)(one) for one in mask]
        return {name: torch.stack([extras[name] for extras in prepared]) for name in prepared[0]}

    def _total(self, result: Any, case: str) -> Tensor:
        if self.spec.takes == "batch" and isinstance(result, Mapping) and result:
            result = torch.stack([torch.as_tensor(part) for part in result.values()]).sum()
        if not isinstance(result, Tensor):
            fail(f"the loss with {case} returned {type(result).__name__} instead of a tensor")
        return result
