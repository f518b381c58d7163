"""The rules that every model keeps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segbench.networks.network import Network, deploy
from segbench.plugin.inputs import plan_inputs
from segbench.testing.check import Check, CheckResult, during, fail, refuse_unfit_defaults, warning
from segbench.testing.plugins.model_learning import every_parameter_learns, same_seed_gives_same_weights, state_round_trips
from segbench.testing.plugins.model_outputs import (
    auxiliary_outputs_fit,
    logits_are_scores,
    logits_lie_where_the_image_does,
    process_is_left_alone,
)
from segbench.testing.plugins.model_parts import (
    deployed_gives_the_same_logits,
    head_holds_all_that_depends_on_classes,
    parts_name_parameters,
)
from segbench.testing.plugins.model_subject import ModelSubject, describe
from segbench.util.sequences import counted, some_of


def spec_is_sound(subject: ModelSubject) -> None:
    """Fields of the spec agree with each other, and option defaults keep their own limits."""
    spec = subject.spec
    if spec.size_multiple < 1 or spec.min_size < 1:
        fail(f"size_multiple {spec.size_multiple} and min_size {spec.min_size} must be at least 1")
    if not spec.inputs or len(set(spec.inputs)) != len(spec.inputs):
        fail(f"inputs {spec.inputs} must name at least one input, each once")
    unknown = set(spec.channels) - set(spec.inputs)
    if unknown:
        fail(f"channels speaks of {sorted(unknown)}, which is not among inputs {spec.inputs}")
    for name, weight in spec.aux_weights.items():
        if not math.isfinite(weight) or weight < 0:
            fail(f"aux_weights['{name}'] = {weight} must be a finite number of at least 0")
    refuse_unfit_defaults(spec.options)


def build_gives_a_network(subject: ModelSubject) -> None:
    """Some task is taken, and ``build`` gives a module for it."""
    subject.build()


def logits_fit_every_task(subject: ModelSubject) -> None:
    """Finite logits (N, K, h, w) in eval mode at batch 1, odd and even sizes, for every class and channel count."""
    for task in subject.tasks:
        network = subject.build(task).eval()
        for size in subject.sizes:
            case = f"forward with {describe(task)} at {size[0]}x{size[1]}"
            logits = _logits(network, subject.inputs(size, task=task), case)
            if tuple(logits.shape[:2]) != (1, task.num_classes):
                fail(f"{case} gave {tuple(logits.shape)}: (1, {task.num_classes}, h, w) was expected")
            if not logits.is_floating_point() or not bool(torch.isfinite(logits).all()):
                fail(f"{case} gave logits that are no finite floating-point numbers")


def auxiliary_outputs_are_named(subject: ModelSubject) -> None:
    """``aux_weights`` names outputs that ``forward`` gives in training mode."""
    network = subject.build().train()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), during("forward in training mode"):
        outputs = set(network(*subject.inputs(subject.size, batch=4)))
    missing = set(subject.spec.aux_weights) - outputs
    if missing:
        fail(f"aux_weights names {sorted(missing)}, but forward gives only {sorted(outputs)}")


def eval_is_deterministic(subject: ModelSubject) -> None:
    """In eval mode the same image gives the same logits, and the images beside it in a batch do not matter."""
    network = subject.lived_in()
    inputs = subject.inputs(subject.size, batch=2)
    state = {name: value.clone() for name, value in network.model.state_dict().items()}
    first = _logits(network, inputs, "forward in eval mode")
    if network.guard.copies:
        fail("forward changes its input tensors: work on a copy (is the first layer in place?)")
    changed = [name for name, value in network.model.state_dict().items() if not torch.equal(value, state[name])]
    if changed:
        fail(f"forward changes {some_of(changed)} in eval mode: update statistics only where self.training is True")
    if not torch.equal(first, _logits(network, inputs, "forward in eval mode")):
        fail("two passes over the same image differ in eval mode: is dropout or noise active although self.training is False?")
    alone = _logits(network, tuple(x[:1] for x in inputs), "forward in eval mode at batch 1")
    # blocked kernels round differently per batch size: a part in a thousand of the largest logit is far above that
    if (first[:1] - alone).abs().max() > 1e-3 * first.abs().max().clamp(min=1.0):
        fail("an image's logits depend on the others in its batch in eval mode: a normalisation layer keeps no running statistics")


def normalisation_fits(subject: ModelSubject) -> None:
    """``normalise`` gives one mean and one deviation per channel, for inputs that the model has."""
    for task in subject.tasks:
        with during(f"normalise with {describe(task)}"):
            plan, _ = plan_inputs(subject.spec, task, subject.options)
        for name, norm in plan.normalisation.items():
            if len(norm.mean) != task.inputs[name]:
                fail(f"normalise gives {counted(len(norm.mean), 'mean')} for '{name}', which has {task.inputs[name]} channels")


def multiply_adds_can_be_counted(subject: ModelSubject) -> list[CheckResult]:
    """Multiply-adds of the deployed model can be counted; a warning names what torch's counter or fvcore cannot count."""
    from segbench.measure.fvcore import count_fvcore
    from segbench.measure.macs import trace_macs

    deployed = deploy(subject.build())
    inputs = subject.inputs(subject.size)
    with during("counting multiply-adds with torch"):
        macs = trace_macs(deployed, inputs)
    if macs.total == 0:
        fail("torch's counter found no convolution, linear layer or matrix product")
    with during("counting with fvcore"):
        counted = count_fvcore(deployed, inputs)
    untraced = [] if counted.error is None else [f"fvcore could not trace the model: {counted.error}"]
    return [warning(text) for text in (*(f"not all multiply-adds are counted: {reason}" for reason in macs.not_counted), *untraced)]


def _logits(network: Network, inputs: tuple[Tensor, ...], what: str) -> Tensor:
    with torch.no_grad(), during(what):
        outputs = network(*inputs)
    if "logits" not in outputs:
        fail(f"{what} gave {sorted(outputs)} without 'logits': read_output must name the main output 'logits'")
    logits: Tensor = outputs["logits"]
    return logits


_BUILT, _FITS, _TRAINS = "build_gives_a_network", "logits_fit_every_task", "auxiliary_outputs_fit"
_SAME, _NAMED = "eval_is_deterministic", "auxiliary_outputs_are_named"

CHECKS: tuple[Check[ModelSubject], ...] = (
    Check.of(spec_is_sound),
    Check.of(build_gives_a_network),
    Check.of(normalisation_fits, _BUILT),
    Check.of(logits_fit_every_task, _BUILT),
    Check.of(auxiliary_outputs_fit, _FITS),
    Check.of(auxiliary_outputs_are_named, _TRAINS),
    Check.of(process_is_left_alone, _TRAINS),
    Check.of(eval_is_deterministic, _TRAINS),
    Check.of(logits_are_scores, _TRAINS),
    Check.of(logits_lie_where_the_image_does, _SAME),
    Check.of(every_parameter_learns, _NAMED),
    Check.of(same_seed_gives_same_weights, _BUILT),
    Check.of(state_round_trips, _SAME),
    Check.of(parts_name_parameters, _BUILT),
    Check.of(head_holds_all_that_depends_on_classes, _BUILT),
    Check.of(deployed_gives_the_same_logits, _SAME, _NAMED),
    Check.of(multiply_adds_can_be_counted, _FITS),
)
