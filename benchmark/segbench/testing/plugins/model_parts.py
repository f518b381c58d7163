"""Rules on what a spec says about a model's inside: its parts, its head and its deployed form."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from segbench.networks.network import Network, deploy, resize_logits
from segbench.plugin.specs import Task
from segbench.testing.check import during, fail
from segbench.testing.plugins.model_subject import ModelSubject


def parts_name_parameters(subject: ModelSubject) -> None:
    """Each prefix in ``parts`` and ``head`` is found, and no parameter belongs to two parts."""
    names = list(subject.build().model.state_dict())
    owners: dict[str, str] = {}
    for part, prefixes in {**subject.spec.parts, "head of the spec": subject.spec.head}.items():
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                fail(f"no parameter begins with '{prefix}' (in '{part}'); they begin like {_beginnings(names)}")
    for part, prefixes in subject.spec.parts.items():
        for name in (n for n in names if n.startswith(tuple(prefixes))):
            if owners.setdefault(name, part) != part:
                fail(f"{name} belongs to the parts '{owners[name]}' and '{part}': end prefixes with a dot, and let parts not overlap")


def head_holds_all_that_depends_on_classes(subject: ModelSubject) -> None:
    """Another class count changes parameters below the prefixes in ``head``, and no others."""
    counts = sorted({task.num_classes for task in subject.tasks})
    if len(counts) < 2:
        return  # a model for one class count has nothing that could change
    few, many = (_shapes(subject, count) for count in (counts[0], counts[-1]))
    changed = {name for name in few.keys() | many.keys() if few.get(name) != many.get(name)}
    outside = sorted(name for name in changed if not name.startswith(tuple(subject.spec.head)))
    if outside:
        fail(f"{', '.join(outside[:3])} depend(s) on the class count but is not below head = {subject.spec.head}: add its prefix there")


def deployed_gives_the_same_logits(subject: ModelSubject) -> None:
    """The deployed form gives the trained network's logits, has no auxiliary output, and leaves the network whole."""
    network = subject.lived_in()
    inputs = subject.inputs(subject.size)
    before = _outputs(network, inputs)
    names = list(network.state_dict())
    with during("deployed"):
        shipped = deploy(network)
    after = _outputs(network, inputs)
    if list(network.state_dict()) != names or after.keys() != before.keys():
        fail("deployed changes the model that it is given: return a new module that shares its layers (copy.copy does not do)")
    if subject.spec.aux_weights and len(_outputs(shipped.network, inputs)) > 1:
        fail("the deployed model still computes auxiliary outputs: set deployed in the spec to a function that drops them")
    with torch.no_grad(), during("the deployed model's forward"):
        logits = shipped(*inputs)
    if not torch.allclose(logits, resize_logits(before["logits"], subject.size), rtol=1e-4, atol=1e-5):
        fail("the deployed model gives other logits than the network it was made from: it drops something that is needed")
    if _count(shipped) > _count(network):
        fail("the deployed model has more parameters than the network that it was made from")


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _outputs(network: Network, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    with torch.no_grad(), during("forward in eval mode"):
        return dict(network(*inputs))


def _shapes(subject: ModelSubject, num_classes: int) -> dict[str, tuple[int, ...]]:
    task: Task = replace(subject.task, class_names=tuple(f"class{i}" for i in range(num_classes)))
    return {name: tuple(value.shape) for name, value in subject.build(task).model.state_dict().items()}


def _beginnings(names: list[str]) -> str:
    tops = list(dict.fromkeys(name.split(".")[0] + "." for name in names))
    return ", ".join(f"'{top}'" for top in tops[:6])
