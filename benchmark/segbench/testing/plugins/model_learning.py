"""Rules on a model's weights: they learn, they follow the seed, and they survive saving."""

from __future__ import annotations

import io
from collections.abc import Iterable

import torch
from torch import nn

from segbench.networks.network import Network
from segbench.testing.check import during, fail
from segbench.testing.plugins.model_subject import ModelSubject, training_loss

STEPS = 3


def every_parameter_learns(subject: ModelSubject) -> None:
    """Every parameter that asks for gradients gets one that is not zero within three steps of training.

    A layer behind a scalar that starts at 0 has its first gradient after that scalar has moved, hence the steps.
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
    if unused:
        fail(
            f"{_some(unused)} get(s) no gradient: forward does not use it for any weighted output. "
            "Remove it, set requires_grad=False, or name its output in aux_weights."
        )
    if still:
        fail(f"the gradient of {_some(still)} stays zero over {STEPS} steps: is the path to the loss cut (detach, argmax, a factor 0)?")


def same_seed_gives_same_weights(subject: ModelSubject) -> None:
    """The same seed builds the same weights, another seed builds others."""
    first, again, other = (dict(subject.build(seed=seed).model.state_dict()) for seed in (0, 0, 1))
    if first.keys() != again.keys():
        fail("two builds with one seed have different parameters")
    differing = [name for name, value in first.items() if not torch.equal(value, again[name])]
    if differing:
        fail(f"two builds with one seed differ in {_some(differing)}: draw all random numbers from torch's global generator")
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
        if not loss.requires_grad:
            fail("logits do not require gradients in training mode: is forward under no_grad, or is everything frozen?")
        loss.backward()  # type: ignore[no-untyped-call]


def _step(parameters: Iterable[nn.Parameter]) -> None:
    """Each weight moves a thousandth downhill, as in the first steps of Adam; torch.optim would take seconds to import."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad.sign(), alpha=1e-3)


def _some(names: set[str] | list[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
