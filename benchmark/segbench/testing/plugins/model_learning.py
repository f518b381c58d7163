"""Rules on a model's weights: they learn, they follow the seed, and they survive saving."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from segbench.networks.network import Network
from segbench.plugin.specs import resolve
from segbench.testing.check import CheckResult, during, fail, warning
from segbench.testing.plugins.model_subject import ModelSubject, training_loss
from segbench.util.sequences import some_of

STEPS = 3


def every_parameter_learns(subject: ModelSubject) -> list[CheckResult]:
    """Every parameter that asks for gradients gets one that is not zero within three steps of training.

    A layer behind a scalar that starts at 0 has its first gradient after that scalar has moved, hence the steps. Parameters of another
    package's modules, which the plugin's author cannot change, are named in a warning.
    """
    network = subject.build().train()
    trained = {name: p for name, p in network.model.named_parameters() if p.requires_grad}
    unused, still = set(trained), set(trained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for step in range(STEPS + 1):
            _backward(subject, network, step)
            for name, parameter in trained.items():
                if parameter.grad is None:
                    continue
                if not bool(torch.isfinite(parameter.grad).all()):
                    fail(f"the gradient of {name} is not finite in step {step + 1}")
                unused.discard(name)
                if bool(parameter.grad.count_nonzero()):
                    still.discard(name)
            _step(trained.values())
    theirs = _of_libraries(subject, network, unused | still)
    unused, still, warnings = unused - theirs, still - theirs, [warning(_LIBRARY.format(some_of(theirs)))] if theirs else []
    if unused:
        fail(
            f"{some_of(unused)} get(s) no gradient: forward does not use it for any weighted output. "
            "Remove it, set requires_grad=False, or name its output in aux_weights."
        )
    if still:
        fail(
            f"the gradient of {some_of(still)} stays zero over {STEPS} steps at {subject.size[0]}x{subject.size[1]}: is the path to "
            "the loss cut (detach, argmax, a factor 0)? Or is the image too small (declare min_size, or try --size)?"
        )
    return warnings


_LIBRARY = "{} get(s) no gradient, and belong(s) to a library: counted as parameters, but not trained"


def _of_libraries(subject: ModelSubject, network: Network, names: set[str]) -> set[str]:
    """Those of the parameters whose innermost module of neither torch nor the plugin is another package's."""
    modules = dict(network.model.named_modules())
    build = resolve(subject.spec.build)
    own = {"torch", _package(build)}
    return {name for name in names if any(_package(type(modules[outer])) not in own for outer in _around(name))}


def _around(parameter: str) -> list[str]:
    """Dotted names of the modules around a parameter, the outermost left out.

    >>> _around("net.decoder.0.weight")
    ['net', 'net.decoder', 'net.decoder.0']
    """
    parts = parameter.split(".")[:-1]
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def same_seed_gives_same_weights(subject: ModelSubject) -> None:
    """The same seed builds the same weights, another seed builds others."""
    first, again, other = (dict(subject.build(seed=seed).model.state_dict()) for seed in (0, 0, 1))
    if first.keys() != again.keys():
        fail("two builds with one seed have different parameters")
    differing = [name for name, value in first.items() if not torch.equal(value, again[name])]
    if differing:
        fail(f"two builds with one seed differ in {some_of(differing)}: draw all random numbers from torch's global generator")
    if first and all(torch.equal(value, other[name]) for name, value in first.items()):
        fail("another seed builds the same weights: build must not seed or fill all weights with constants itself")


def state_round_trips(subject: ModelSubject) -> None:
    """Weights saved, read with ``weights_only=True`` and loaded into another build give identical logits."""
    network = subject.lived_in()
    file = io.BytesIO()
    torch.save(network.model.state_dict(), file)
    file.seek(0)
    other = subject.build(seed=1)
    with during("loading the saved weights into another build"):
        other.model.load_state_dict(torch.load(file, weights_only=True), strict=True)
    inputs = subject.inputs(subject.size)
    with torch.no_grad():
        same = torch.equal(network(*inputs)["logits"], other.eval()(*inputs)["logits"])
    if not same:
        fail("reloaded weights give other logits: state outside parameters and buffers is lost (use register_buffer)")


def _backward(subject: ModelSubject, network: Network, step: int) -> None:
    for parameter in network.parameters():
        parameter.grad = None
    with during(f"training step {step + 1} at batch 4"):
        outputs = network(*subject.inputs(subject.size, batch=4, seed=step))
        loss = training_loss(subject, outputs, seed=step)
        if not loss.requires_grad and not any(p.requires_grad for p in network.parameters()):
            fail(_nothing_to_train(network))
        if not loss.requires_grad:
            fail("logits do not require gradients in training mode: is forward under no_grad?")
        loss.backward()  # type: ignore[no-untyped-call]


def _nothing_to_train(network: Network) -> str:
    buffers = [name for name, _ in network.model.named_buffers()]
    if next(network.parameters(), None) is not None:
        return "every parameter has requires_grad=False: there is nothing to train"
    kept = f"; its weights are buffers ({some_of(buffers)}), which no optimiser changes: use nn.Parameter" if buffers else ""
    return f"the network has no parameter{kept}"


def _step(parameters: Iterable[nn.Parameter]) -> None:
    """Each weight moves a thousandth downhill, as in the first steps of Adam; torch.optim would take seconds to import."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad.sgn(), alpha=1e-3)
