"""Optimisers by name, and the groups of parameters that differ in learning rate or weight decay.

``adamw`` is torch's. All others come from timm's factory, which knows some fifty by the names that papers use, torch's among them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from segbench.config.settings import TrainSettings
from segbench.errors import ConfigError, did_you_mean
from segbench.measure.params import part_of
from segbench.training.schedules import BETAS

ENCODER = "encoder"
MOMENTUM = 0.9

_USUAL = ("adamw", "sgd", "nesterov", "lion", "adam", "nadamw", "radam", "rmsprop", "lamb", "adan", "adopt", "muon")
_TIMM_NAMES = {"sgd": "momentum"}  # timm's sgd has Nesterov's momentum; what papers call SGD has the classical one
_SGD_RATE = 1e-3

Group = dict[str, Any]


def check_optimizer(settings: TrainSettings) -> None:
    """Raise :class:`ConfigError` where no such optimiser is known, it cannot be made here, or it takes no momentum."""
    name = settings.optimizer
    if name != "adamw":
        _check_name(name)
    if settings.momentum is not None and (name == "adamw" or not _timm_info(name).has_momentum):
        raise ConfigError(
            f"train.momentum = {settings.momentum:g}: the optimizer '{name}' takes no momentum. Leave it out, or set train.optimizer=sgd."
        )


def _check_name(name: str) -> None:
    known: list[str] = [one for one in _timm().list_optimizers() if one != "momentum"]
    if name not in known:
        usual = f"Usual ones: {', '.join(_USUAL)} (docs/training.md)."
        raise ConfigError(f"train.optimizer = {name}: no such optimizer.{did_you_mean(name, known)} {usual}")
    if _timm_info(name).second_order:
        raise ConfigError(f"train.optimizer = {name} needs second derivatives, which training does not compute. Use adamw, sgd or lion.")
    try:
        _from_timm(name, [{"params": [nn.Parameter(torch.zeros(2, 2))]}], lr=1.0, weight_decay=0.0, momentum=None)
    except Exception as error:  # optimisers of apex and bitsandbytes fail in ways of their own where these are not installed
        raise ConfigError(f"train.optimizer = {name} cannot be used here: {error}. Use adamw, sgd or lion.") from None


def _timm_info(name: str) -> Any:
    return _timm().get_optimizer_info(_TIMM_NAMES.get(name, name))


def _timm() -> Any:
    return importlib.import_module("timm.optim")  # it loads all of timm, which AdamW does not need


def parameter_groups(
    model: nn.Module, loss_parameters: Iterable[nn.Parameter], settings: TrainSettings, *, parts: Mapping[str, tuple[str, ...]]
) -> list[Group]:
    """What is trained, in groups of equal learning rate and weight decay; one group under the default settings.

    Raises :class:`ConfigError` where ``train.encoder_lr`` is set and no parameter lies below what ``parts`` names as the encoder.
    """
    spared = set() if settings.decay_norms else _without_decay(model)
    named = list(model.named_parameters())
    if settings.encoder_lr != 1.0 and not any(part_of(name, parts) == ENCODER for name, _ in named):
        raise ConfigError(f"train.encoder_lr: the model has no parameter below {', '.join(parts.get(ENCODER, ()))}, its declared encoder.")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*named, *(("", one) for one in loss_parameters)]:
        if parameter.requires_grad:
            factor = settings.encoder_lr if part_of(name, parts) == ENCODER else 1.0
            undecayed = name in spared or (not settings.decay_norms and parameter.ndim <= 1)
            groups.setdefault((factor, 0.0 if undecayed else settings.weight_decay), []).append(parameter)
    return [
        {"params": members, "lr": settings.lr * factor, "lr_factor": factor, "weight_decay": decay}
        for (factor, decay), members in groups.items()
    ]


def _without_decay(model: nn.Module) -> set[str]:
    """Names of biases, and of parameters that a module excludes by itself (``no_weight_decay()``, timm's convention).

    Norms have no others than vectors, which :func:`parameter_groups` leaves out by their dimensions.
    """
    names = {name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"}
    for prefix, module in model.named_modules():
        excluded = getattr(module, "no_weight_decay", None)
        if callable(excluded):
            names |= {f"{prefix}.{name}" if prefix else name for name in excluded()}
    return names


def build_optimizer(parameters: Iterable[nn.Parameter] | Iterable[Group], settings: TrainSettings, *, device: torch.device) -> Any:
    """The optimiser that ``train.optimizer`` names, over groups or over whatever of the parameters is trained.

    AdamW's fused kernel is used on the CPU (one call instead of a dozen per tensor); on CUDA it would do the gradient scaler's
    work itself, which excludes clipping, and torch's own choice is as fast.
    """
    trained: list[Any] = [one for one in parameters if isinstance(one, dict) or one.requires_grad]
    trained = trained or [nn.Parameter(torch.zeros(0, device=device))]  # without any there is nothing to do, which PyTorch refuses
    if settings.optimizer == "adamw":
        return AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=True if device.type == "cpu" else None)
    return _from_timm(settings.optimizer, trained, lr=settings.lr, weight_decay=settings.weight_decay, momentum=settings.momentum)


def _from_timm(name: str, trained: list[Any], *, lr: float, weight_decay: float, momentum: float | None) -> Any:
    return _timm().create_optimizer_v2(
        trained,
        opt=_TIMM_NAMES.get(name, name),
        lr=lr,
        weight_decay=weight_decay,
        momentum=MOMENTUM if momentum is None else momentum,
    )


def describe_optimizer(optimizer: torch.optim.Optimizer, settings: TrainSettings) -> str:
    """The optimiser in words: its class, and its momentum where it has one.

    >>> sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.8)
    >>> describe_optimizer(sgd, TrainSettings(optimizer="sgd", momentum=0.8))
    'SGD, momentum 0.8'
    """
    group, name = optimizer.param_groups[0], type(optimizer).__name__
    if not group.get("momentum") or group.get("betas"):
        return name
    moves = settings.schedule == "onecycle" and settings.momentum is None
    value = f"{BETAS[1]:g} to {BETAS[0]:g}" if moves else f"{settings.momentum if settings.momentum is not None else MOMENTUM:g}"
    return f"{name}, {'Nesterov momentum' if group.get('nesterov') else 'momentum'} {value}"


def rate_notes(settings: TrainSettings) -> list[str]:
    """A remark where the learning rate is far below what the optimiser usually takes."""
    if settings.optimizer not in ("sgd", "nesterov") or settings.lr >= _SGD_RATE:
        return []
    return [f"train.lr {settings.lr:g} is small for {settings.optimizer}, which is mostly given 0.01 for segmentation (docs/training.md)"]
