"""The rules that every loss keeps."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.specs import resolve
from segbench.testing.check import Check, during, fail, refuse_unfit_defaults
from segbench.testing.loss_subject import LossSubject

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
    given = (logits.clone(), mask.clone())
    subject.value(*given, case="ordinary logits")
    if not torch.equal(given[0], logits) or not torch.equal(given[1], mask):
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
        given = mask.clone()
        with during("prepare"):
            extras = prepare(given)
        if not isinstance(extras, Mapping) or not all(isinstance(value, Tensor) for value in extras.values()):
            fail("prepare must return a mapping of names to tensors")
        if not torch.equal(given, mask):
            fail("prepare writes into the mask that it was given: work on a copy")


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
    )
)
