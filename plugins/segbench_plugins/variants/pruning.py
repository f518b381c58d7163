"""Structured pruning: whole channels are removed, so that the network is smaller on every backend.

In every layer the same share of output channels is removed: those whose weights, together with all weights that are tied to them through
the network, have the smallest L2 norm (torch-pruning's GroupMagnitudeImportance). The share is the same in every layer, so that the
architecture does not depend on the weights: the pruned cells of all seeds are one network, measured once. Channels that are classes stay.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segbench import PluginError, Task, TrainingError, counted, first_line
from segbench_plugins.variants import PruneOptions
from segbench_plugins.variants.shrink import shrink_to

_TRACING_SECONDS = 60.0
"""Of processor time; a network whose channels can be followed at all takes a few seconds."""
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def make(bases: Sequence[nn.Module], inputs: Sequence[Tensor], task: Task, options: PruneOptions) -> nn.Module:
    """The trained network without its weakest channels. Raises :class:`TrainingError` with the reason where it cannot be pruned."""
    (model,) = bases
    before = sum(p.numel() for p in model.parameters())
    modes = {module: module.training for module in model.modules()}
    trainable = {name: p.requires_grad for name, p in model.named_parameters()}
    tied = _tied(model)
    try:
        with torch.enable_grad(), warnings.catch_warnings(), _limit_time(_TRACING_SECONDS):
            warnings.simplefilter("ignore")  # of parameters that no layer holds: a fault shows in the check below
            _prune(model.requires_grad_(True), tuple(inputs), task.num_classes, options)
            _require_tied(model, tied)
            _check_output(model, inputs, task.num_classes)
    except Exception as error:  # tracing a foreign network may raise anything
        reason = first_line(error)
        raise TrainingError(f"{options.of} cannot be pruned: {reason}") from error
    for module, training in modes.items():
        module.training = training
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable.get(name, True))
        parameter.grad = None
    if sum(p.numel() for p in model.parameters()) >= before:
        raise TrainingError(f"{options.of} cannot be pruned by {options.share:g}: no layer has a channel to spare. Choose a larger share.")
    return model


def _tied(model: nn.Module) -> list[list[str]]:
    """Names of parameters that are one tensor, for each that has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [each for each in names.values() if len(each) > 1]


def _require_tied(model: nn.Module, tied: Sequence[Sequence[str]]) -> None:
    """Raise :class:`TrainingError` where weights that were shared have become several."""
    for names in tied:
        if len({id(model.get_parameter(name)) for name in names}) > 1:
            raise TrainingError(f"{' and '.join(names)} are one shared weight, which pruning would turn into several")


def rebuild(bases: Sequence[nn.Module], state: Mapping[str, Tensor], task: Task, options: PruneOptions) -> nn.Module:
    """The pruned architecture, by the shapes of its weights."""
    return shrink_to(bases[0], state)


def build(task: Task, options: PruneOptions) -> nn.Module:
    """Refuse: without a base there is nothing to prune."""
    raise PluginError("a pruned model is made of another: write prune[of=deeplab-original,share=0.3]")


@contextlib.contextmanager
def _limit_time(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so much processor time: following channels through reshaped maps (attention) may never end."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(
            f"its channels could not be followed through the network within {seconds:g} s; layers that reshape maps (attention) do that"
        )

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _prune(model: nn.Module, inputs: tuple[Tensor, ...], num_classes: int, options: PruneOptions) -> None:
    import torch_pruning

    pruner = torch_pruning.pruner.BasePruner(
        model,
        inputs,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=options.share,
        ignored_layers=_class_layers(model, inputs, num_classes),
        round_to=options.multiple if options.multiple > 1 else None,
        forward_fn=_all_outputs,
    )
    pruner.step()


def _all_outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """All outputs, auxiliary ones of training included; on two images, as normalisation over one pixel of one image is undefined."""
    with _trained_mode(model):
        return list(_tensors(model(*(torch.cat([x, x]) for x in inputs))))


class _trained_mode:  # noqa: N801 - a context
    """Training mode for modules that choose heads by it, evaluation mode for normalisation, whose statistics stay as they are."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, _BatchNorm) or not list(module.children()):
                module.eval()

    def __exit__(self, *_: object) -> None:
        self.model.eval()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)
    elif hasattr(output, "__dict__"):
        yield from _tensors(vars(output))


def _class_layers(model: nn.Module, inputs: tuple[Tensor, ...], num_classes: int) -> list[nn.Module]:
    """Layers whose output channels are classes: removing one of their channels would remove one of an output.

    A binary model may have one channel for its two classes.
    """
    counts = {num_classes, 1} if num_classes == 2 else {num_classes}
    candidates = [m for m in model.modules() if isinstance(m, _LAYERS) and _out_channels(m) in counts]
    return [module for module in candidates if _reaches_output(model, module, inputs)]


def _reaches_output(model: nn.Module, layer: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """True where NaN in one channel of a layer reaches one channel of an output and no other.

    Channels that are classes are not mixed after their layer.
    """
    last = _out_channels(layer) - 1

    def mark(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        marked = output.clone()
        marked[:, last] = torch.nan
        return marked

    handle = layer.register_forward_hook(mark)
    try:
        with torch.no_grad():
            outputs = [value for value in _all_outputs(model, inputs) if value.ndim == 4]
    finally:
        handle.remove()
    touched = [value.isnan().flatten(2).any(-1).any(0) for value in outputs]
    return any(int(channels.sum()) == 1 for channels in touched if channels.numel() == _out_channels(layer))


def _out_channels(module: nn.Module) -> int:
    return int(module.out_features if isinstance(module, nn.Linear) else module.out_channels)  # type: ignore[arg-type]


def _check_output(model: nn.Module, inputs: Sequence[Tensor], num_classes: int) -> None:
    with torch.no_grad():
        logits = next(_tensors(model.eval()(*inputs)))
    if logits.shape[1] not in (num_classes, 1 if num_classes == 2 else num_classes):
        raise TrainingError(f"its output would have {counted(logits.shape[1], 'channel')} for {num_classes} classes")
