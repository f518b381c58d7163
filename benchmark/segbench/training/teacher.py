"""Teachers: trained networks of other cells or files that a training learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from segbench.errors import CheckpointError
from segbench.networks.load import load_network, same_normalisation
from segbench.networks.network import Network, resize_logits
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import Normalisation, Task
from segbench.util.image_size import Size

Affine = tuple[Tensor, Tensor]


class Teacher:
    """A trained network in eval mode and float32, given the student's inputs: ``teacher(inputs, size) -> logits``.

    Inputs that the student normalises in another way are brought to the teacher's own normalisation. It is no module, so that it
    is neither trained nor saved with the student.
    """

    def __init__(self, network: Network, *, own: InputPlan, student: InputPlan, device: str | torch.device) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self._maps = [_affine(group, own.normalisation, student.normalisation, device) for group in own.groups]

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor], size: Size) -> Tensor:
        """Logits (N, K, *size) float32 of inputs (N, C, H, W) as the student gets them."""
        normalised = [
            x.float() if affine is None else x.float() * affine[0] + affine[1] for x, affine in zip(inputs, self._maps, strict=True)
        ]
        return resize_logits(self.network(*normalised)["logits"].float(), size)


def load_teacher(path: Path, *, task: Task, plan: InputPlan, device: str | torch.device) -> Teacher:
    """The teacher from its checkpoint. Raises :class:`CheckpointError` where it cannot teach this task."""
    loaded = load_network(path, load_catalog())
    if loaded.task.class_names != task.class_names:
        raise CheckpointError(f"teacher '{path.parent.name}' knows other classes than the student's {task.num_classes}")
    if loaded.plan.groups != plan.groups:
        raise CheckpointError(f"teacher '{path.parent.name}' takes the inputs {loaded.plan.groups}, the student {plan.groups}")
    return Teacher(loaded.network, own=loaded.plan, student=plan, device=device)


def _affine(
    group: Sequence[str], own: Mapping[str, Normalisation], student: Mapping[str, Normalisation], device: str | torch.device
) -> Affine | None:
    """Factor and summand per channel (1, C, 1, 1) from the student's values to the teacher's; None where they are the same.

    Of a stored value v the student sees (v s - m) / d and the teacher (v s' - m') / d'.
    """
    if all(same_normalisation({name: own[name]}, {name: student[name]}) for name in group):
        return None
    factors, summands = [], []
    for name in group:
        mine, theirs = own[name], student[name]
        for mean, std, their_mean, their_std in zip(mine.mean, mine.std, theirs.mean, theirs.std, strict=True):
            ratio = mine.scale / theirs.scale
            factors.append(their_std * ratio / std)
            summands.append((their_mean * ratio - mean) / std)
    shape = (1, -1, 1, 1)
    return torch.tensor(factors, device=device).view(shape), torch.tensor(summands, device=device).view(shape)
