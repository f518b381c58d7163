"""Weights of any file for a network: names are matched under the prefix rule that fits, and what does not fit is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from segbench.errors import CheckpointError, did_you_mean
from segbench.networks.checkpoint_meta import CheckpointMeta
from segbench.networks.weights_file import State, WeightsFile, read_weights
from segbench.results.records import LoadedWeights
from segbench.util.files import file_digest
from segbench.util.sequences import counted, listed

_COMPILED_PARTS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNTERS = "num_batches_tracked"
"""Counters of batch normalisation: files from before torch 0.4.1 lack them, and they change no output."""
_BOOKKEEPING = ("n_averaged", "module.n_averaged")
"""Numbers that torch's averaged model stores beside the weights."""
_DEEPEST_PREFIX = 3
_MOST_PREFIXES = 12
_LEAST_SHARE = 0.1
_MOST_NAMED = 3
_MOST_RECORDED = 50


@dataclass(frozen=True)
class Fit:
    """The tensors of a file under a network's own names, and what does not fit.

    ``missing`` are names of the network, ``left_over`` names in the file, ``faults`` reasons by the network's name. ``rule`` says how names
    were changed, ``share`` is that of the network's values which the file has.
    """

    state: State
    rule: str
    values: Mapping[str, Tensor]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    faults: Mapping[str, str]
    share: float

    def sentences(self) -> list[str]:
        """What does not fit, a phrase each, with near misses."""
        return [
            *(f"'{name}' {why}" for name, why in self.faults.items()),
            *(f"'{name}' is missing" for name in self.missing),
            *(f"'{name}' is not known to the model{_near(name, self.missing)}" for name in self.left_over),
        ]


def _near(name: str, known: Collection[str]) -> str:
    near = did_you_mean(name, known).strip()
    return f" ({near[0].lower()}{near[1:]})" if near else ""


def load_weights(
    model: nn.Module, path: Path, *, partial: bool = False, subject: str = "the model"
) -> tuple[LoadedWeights, CheckpointMeta | None]:
    """Fill ``model`` from a file; returns what was loaded, and what a checkpoint of segbench says of its network.

    Raises :class:`CheckpointError` where a value of the network is missing, has another shape or is not finite, and where the file has
    more; with ``partial`` only where values are not finite or nothing fits.
    """
    file = read_weights(path)
    fit = fit_weights(model, file)
    require_fit(fit, path, partial=partial, subject=subject)
    model.load_state_dict({**model.state_dict(), **fit.values})
    return _record(fit, path), file.meta


def start_from(path: Path, model: nn.Module, *, head: Iterable[str], class_names: tuple[str, ...]) -> list[str]:
    """Start ``model`` from a file (``train.init_from``) and return notes on what was left out.

    With another number of classes the keys under the prefixes ``head`` keep their fresh values. Everything else must fit:
    raises :class:`CheckpointError` that names what does not.
    """
    file = read_weights(path)
    fit, prefixes = fit_weights(model, file), tuple(head)
    classes_before = file.meta.task.class_names if file.meta else None
    names = {*fit.values, *fit.missing, *fit.left_over, *fit.faults}
    in_head = {name for name in names if prefixes and name.startswith(prefixes)}
    across = len(classes_before) != len(class_names) if classes_before is not None else any(name in fit.faults for name in in_head)
    left_out = in_head if across else set()
    faults = _without(fit, left_out).sentences()
    if faults:
        hint = " (its model declares no head that could be left out)" if across and not prefixes else ""
        raise CheckpointError(f"train.init_from: {path} does not fit the model{hint}: {first_faults(faults)}")
    model.load_state_dict({**model.state_dict(), **{k: v for k, v in fit.values.items() if k not in left_out}})
    notes = [f"started from {path}{f' ({fit.rule})' if fit.rule else ''}"]
    if left_out:
        parts = ", ".join(sorted({next(p for p in prefixes if name.startswith(p)).rstrip(".") for name in left_out}))
        before = f"{len(classes_before)} classes" if classes_before is not None else "other classes"
        notes.append(f"the checkpoint has {before}, the task {len(class_names)}: left out and trained afresh: {parts}")
    return notes


def fit_weights(model: nn.Module, file: WeightsFile) -> Fit:
    """The best fit of a file's tensors to a network's: of all its states, each under all prefix rules, the one with most values."""
    own = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    fits = [_fit(own, state) for state in file.states]
    return max(fits, key=lambda fit: (fit.share, -len(fit.missing) - len(fit.left_over)))


def require_fit(fit: Fit, path: Path, *, partial: bool, subject: str) -> None:
    """Raise :class:`CheckpointError` where a file's tensors are not the network's; with ``partial`` where none is, or one is damaged."""
    damaged = [f"'{name}' {why}" for name, why in fit.faults.items() if why == _NOT_FINITE]
    if damaged:
        raise CheckpointError(f"{path} is damaged: {first_faults(damaged)}. Give a file whose training did not diverge.")
    if not fit.values:
        absent = fit.missing or tuple(fit.faults) or ("none",)
        names = [next(iter(fit.state.tensors)), min(absent, key=lambda name: "." not in name)]
        raise CheckpointError(
            f"{path} is of another network than {subject}: none of its {counted(len(fit.state.tensors), 'tensor')} fits "
            f"(in the file: '{names[0]}', ..; in the network: '{names[1]}', ..). Give the weights of this network."
        )
    faults = fit.sentences()
    if faults and not partial:
        rule = f" ({fit.rule})" if fit.rule else ""
        raise CheckpointError(
            f"{path} does not fit {subject}{rule}: {first_faults(faults)}. Give the weights of this very network, or --partial-weights to "
            f"load the {100 * fit.share:.3g} % of its values that fit."
        )


_NOT_FINITE = "has values that are not finite"


def _fit(own: Mapping[str, Tensor], state: State) -> Fit:
    """The fit of one state under the prefix rule with which most of the network's values are in it."""
    tensors, rules = _without_compiled_parts(state.tensors)
    removed, added = _best_prefixes(own, tensors)
    renamed = {added + name.removeprefix(removed): name for name in tensors if name.startswith(removed)}
    values, faults = {}, {}
    for name in own.keys() & renamed.keys():
        tensor = tensors[renamed[name]]
        fault = _fault(own[name], tensor)
        if fault:
            faults[name] = fault
        else:
            values[name] = tensor
    tied = _tied_names(own, values)
    absent = [name for name in own if name not in renamed and name not in tied and not name.endswith(_COUNTERS)]
    used = {renamed[name] for name in own.keys() & renamed.keys()}
    left_over = [name for name in tensors if name not in used and name not in _BOOKKEEPING]
    rules += [f"the prefix '{removed}' was removed"] if removed else []
    rules += [f"the prefix '{added}' was added"] if added else []
    in_order = {name: faults[name] for name in own if name in faults}
    share = sum(_size(own[name]) for name in {*values, *tied}) / max(sum(map(_size, own.values())), 1)
    return Fit(state, listed(rules), {n: values[n] for n in own if n in values}, tuple(absent), tuple(left_over), in_order, share)


def _without_compiled_parts(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Names without what torch.compile and wrappers of distributed training put between a module's name and those of its parts."""
    parts = [part for part in _COMPILED_PARTS if any(part in name for name in tensors)]
    renamed = {}
    for name, tensor in tensors.items():
        for part in parts:
            name = name.replace(part, "")
        renamed[name] = tensor
    return renamed, [f"'{part}' was removed" for part in parts]


def _best_prefixes(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """The prefix to remove from a file's names and the one to add, with which most of the network's values have their shape in it."""

    def quality(rule: tuple[str, str]) -> tuple[int, int, int]:
        removed, added = rule
        pairs = [(own[name], tensors[one]) for one in tensors if one.startswith(removed) and (name := added + one[len(removed) :]) in own]
        return sum(_size(a) for a, b in pairs if _same_shape(a, b)), len(pairs), -bool(removed) - bool(added)

    rules = [(removed, added) for removed in _prefixes(tensors) for added in _prefixes(own) if not removed or removed != added]
    best = max(rules, key=quality)
    return best if quality(best)[0] else ("", "")


def _prefixes(names: Collection[str]) -> list[str]:
    """No prefix, and the dotted ones that many names share, the most frequent first."""
    seen: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1][:_DEEPEST_PREFIX]
        seen.update(".".join(parts[: count + 1]) + "." for count in range(len(parts)))
    return ["", *(prefix for prefix, count in seen.most_common(_MOST_PREFIXES) if count >= _LEAST_SHARE * len(names))]


def _fault(own: Tensor, tensor: Tensor) -> str:
    """The reason why a tensor cannot be the network's, empty where it can."""
    if not _same_shape(own, tensor):
        return f"has shape {tuple(tensor.shape)} instead of {tuple(own.shape)}"
    if _kind(own) != _kind(tensor):
        return f"holds {_kind(tensor)} ({str(tensor.dtype).removeprefix('torch.')}) instead of {_kind(own)}"
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return ""
    # masks of attention may well be infinite: they are buffers
    bad = ~torch.isfinite(tensor) if isinstance(own, nn.Parameter) else torch.isnan(tensor)
    return _NOT_FINITE if bool(bad.any()) else ""


def _kind(tensor: Tensor) -> str:
    return "complex numbers" if tensor.is_complex() else "decimal numbers" if tensor.is_floating_point() else "whole numbers"


def _same_shape(own: Tensor, tensor: Tensor) -> bool:
    return is_lazy(own) or own.shape == tensor.shape


def _size(tensor: Tensor) -> int:
    return 0 if is_lazy(tensor) else tensor.numel()


def _tied_names(own: Mapping[str, Tensor], values: Collection[str]) -> set[str]:
    """Names of the network whose tensor is another name's that has its values: safetensors stores shared ones once."""
    loaded = {id(own[name]) for name in values}
    return {name for name, value in own.items() if name not in values and id(value) in loaded}


def _without(fit: Fit, names: Collection[str]) -> Fit:
    kept = {key: tuple(name for name in getattr(fit, key) if name not in names) for key in ("missing", "left_over")}
    faults = {name: why for name, why in fit.faults.items() if name not in names}
    return Fit(fit.state, fit.rule, fit.values, kept["missing"], kept["left_over"], faults, fit.share)


def _record(fit: Fit, path: Path) -> LoadedWeights:
    absent = [*fit.faults, *fit.missing]
    return LoadedWeights(
        file=path.name,
        digest=f"sha256:{file_digest(path)[:16]}",
        state=fit.state.place or None,
        rule=fit.rule or None,
        share=fit.share if absent else 1.0,
        tensors=len(fit.values),
        not_loaded=absent[:_MOST_RECORDED],
        not_loaded_count=len(absent),
        left_over=list(fit.left_over[:_MOST_RECORDED]),
        left_over_count=len(fit.left_over),
    )


def first_faults(faults: list[str]) -> str:
    """The first faults, and how many more there are."""
    more = f" and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    return "; ".join(faults[:_MOST_NAMED]) + more
