"""Fingerprints: hashes of what changes a result, and of nothing else, so that only what changed is run again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.config.settings import Section, Settings
from segbench.execution.plan.cell import USED_AS_GIVEN, Cell, Ingredients, StartingWeights, measured_size
from segbench.plugin.choice import format_value
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import AugmentationSpec, BackendSpec, DatasetSpec, LossSpec, MetricSpec, ModelSpec, Task
from segbench.util.files import file_digest
from segbench.util.image_size import parse_growing_size
from segbench.util.plain_data import Plain

_ADDED_EVAL_DEFAULTS = {"flip": False, "scales": (1.0,), "class_map": None, "any_values": False, "metrics": ()}
_ADDED_EVAL = set(_ADDED_EVAL_DEFAULTS)
_ADDED_TRAIN = ("optimizer", "momentum", "encoder_lr", "decay_norms", "freeze", "ema", "sampler")
"""Settings of ``[train]`` that came after the first results, which must not be trained again for them."""
_STEP = {"precision", "channels_last", "deterministic", "accumulate"}
_ADDED_STEP = ("optimizer", "momentum", "freeze", "ema")
_CODE = "plugin"
"""Ingredient that identifies a spec's code: ``package==version``, or its definition and files."""
_SHOWN_FILES = 3
_FILES = ("weights", "teacher", "path")
"""Options that may name a file, whose content counts in place of its name."""


def fingerprint(ingredients: Ingredients) -> str:
    """A short hash of everything that changes a result."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True, default=str).encode()).hexdigest()[:16]


def changes(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Differences between two sets of ingredients, in words: ``loss.gamma 2 -> 3``, ``code of loss focal changed: pkg/focal.py``."""
    flat_old, flat_new = _flat(old), _flat(new)
    keys = [key for key in [*flat_new, *(k for k in flat_old if k not in flat_new)] if flat_old.get(key) != flat_new.get(key)]
    sentences = []
    for key in keys:
        owner, is_code, _ = key.partition(f".{_CODE}")
        if is_code and not (_names(owner, flat_old) and _names(owner, flat_new)):
            continue  # a plugin that only one side has: its name is told
        sentences.append(_code_change(owner, flat_old, flat_new) if is_code else _change(key, flat_old, flat_new))
    return list(dict.fromkeys(sentences))


def _names(owner: str, flat: Mapping[str, object]) -> bool:
    return any(key.startswith(f"{owner}.") for key in flat)


def _change(key: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    return f"{key} {format_value(old.get(key))} -> {format_value(new.get(key))}"


def _code_change(owner: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Differences in the code of ``owner`` ("loss", "model.parts.0"), by files as far as both sides name them."""
    place = f"{owner}.{_CODE}"
    before, after = ({key for key in flat if key.startswith(f"{place}.files.")} for flat in (old, new))
    if place in old and place in new:
        return _change(place, old, new)
    name = f"{owner.partition('.')[0]} {new.get(f'{owner}.name', old.get(f'{owner}.name', ''))}"
    if not (before and after):
        return f"the code of {name} is identified in another way than before ({_identified(place, old)} -> {_identified(place, new)})"
    files = [key.removeprefix(f"{place}.files.") for key in sorted(before | after) if old.get(key) != new.get(key)]
    if not files:
        return f"definition of {name} changed"
    more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
    return f"code of {name} changed: {', '.join(files[:_SHOWN_FILES])}{more}"


def _identified(place: str, flat: Mapping[str, object]) -> str:
    return str(flat[place]) if place in flat else "by the files that it reaches" if f"{place}.definition" in flat else "not at all"


def covered_code(cells: Sequence[Cell]) -> list[str]:
    """For each model, loss, dataset, backend, augmentation and metric of the cells: which code its fingerprints cover, one line each."""
    named: dict[str, Chosen[Any]] = {}
    for cell in cells:
        specs: list[tuple[str, Chosen[Any]]] = [("model", cell.model), ("loss", cell.loss), ("dataset", cell.dataset)]
        extras = [("augmentation" if isinstance(one.spec, AugmentationSpec) else "metric", one) for one in cell.extras]
        for kind, chosen in [*specs, *(("backend", backend) for backend in cell.backends), *extras]:
            named.update({f"{kind} {one.choice.name}": one for one in (chosen, *_all_parts(chosen))})
    return [f"{name}: {_coverage(chosen)}" for name, chosen in named.items()]


def code_limits(cells: Sequence[Cell]) -> list[str]:
    """The models, losses, .. whose fingerprints cover whole packages, with the reason."""
    return [line for line in covered_code(cells) if line.endswith(")") and "/**" in line]


def _all_parts(chosen: Chosen[Any]) -> list[Chosen[Any]]:
    return [one for part in chosen.parts for one in (part, *_all_parts(part))]


def _coverage(chosen: Chosen[Any]) -> str:
    reached = chosen.code.reached
    if reached is None:
        return str(chosen.code.record)
    if reached.limits:
        packages = [file for file in reached.files if file.endswith("/**")] or list(reached.files)
        return f"its definition and {', '.join(packages)} ({'; '.join(reached.limits)})"
    return f"its definition and {', '.join(reached.files)}"


def train_ingredients(
    model: Chosen[ModelSpec],
    loss: Chosen[LossSpec],
    dataset: Chosen[DatasetSpec],
    settings: Settings,
    seed: int,
    digest: str,
    *,
    made_from: Ingredients | None = None,
    weights: StartingWeights | None = None,
    augmentation: Chosen[AugmentationSpec] | None = None,
) -> Ingredients:
    """Ingredients that change the trained weights.

    ``made_from`` are fingerprints or digests of the trained weights that it starts from, ``augmentation`` is one of a plugin.
    Where nothing is trained, loss and most settings of ``[train]`` change nothing.
    """
    # workers, cache and validation batch size change no result; the validation's sizes are recorded with the training instead, so
    # that another evaluation size does not cost a night of training
    as_given = settings.train.as_given
    unused = {"workers", "oom", *_at_default(settings.train, _ADDED_TRAIN)}
    train = settings.train.model_dump(include=set(USED_AS_GIVEN) if as_given else None, exclude=unused)
    return {
        "model": ingredients_of(model),
        **({} if as_given else {"loss": ingredients_of(loss)}),
        "dataset": {**ingredients_of(dataset), "digest": digest},
        "normalisation": settings.data.model_dump()["normalisation"],
        **data_ingredients(settings),
        "train": {**train, "init_from": content_of(settings.train.init_from)},
        "eval.every": settings.eval.every,
        "devices": settings.execute.devices,
        "seed": seed,
        **({"augmentation": ingredients_of(augmentation)} if augmentation else {}),
        **_weights_ingredients(weights),
        **({"made from": dict(made_from)} if made_from else {}),
    }


def _weights_ingredients(weights: StartingWeights | None) -> dict[str, Plain]:
    """The file of weights by its content, and whether it may be partial; nothing where there is none, as it was before there could be."""
    if weights is None:
        return {}
    return {"weights": content_of(str(weights.file)), **({"partial weights": True} if weights.partial else {})}


def data_ingredients(settings: Settings) -> dict[str, Plain]:
    """Which of the dataset's samples are used, where that is not all of each split."""
    used = {"data.fold": settings.data.fold, "data.limit": settings.data.limit}
    return {name: value for name, value in used.items() if value is not None}


def eval_ingredients(settings: Settings, metrics: Sequence[Chosen[MetricSpec]] = ()) -> dict[str, Plain]:
    """Settings of ``[eval]`` that change the scores, with the plugins' ``metrics``; those added later count only where they are used."""
    values = settings.eval.model_dump(include=_ADDED_EVAL)
    added = {name: value for name, value in values.items() if value != _ADDED_EVAL_DEFAULTS[name]}
    summed = {} if settings.eval.class_map is None else {"merged classes": "probabilities summed"}  # once the first was chosen, then merged
    computed = {"metrics": {one.spec.name: ingredients_of(one) for one in metrics}} if metrics else {}
    return settings.eval.model_dump(exclude={"batch_size", "every", *_ADDED_EVAL}) | added | summed | computed


def measure_ingredients(model: Chosen[ModelSpec], model_task: Task, settings: Settings) -> Ingredients:
    """Ingredients that change the measured costs."""
    # costs do not depend on what the weights are, only on the network's shape: cells of one model share one measurement
    trained_at = parse_growing_size(settings.train.image_size)[-1][1]
    return {
        "model": ingredients_of(model),
        "num_classes": model_task.num_classes,
        "inputs": dict(model_task.inputs),
        "backend": "eager",
        "input_size": list(measured_size(settings)),
        "measure": settings.measure.model_dump(exclude={"input_size", "anchor", *_unused(settings)}),
        # the memory of a training step is taken by the training's own code, all but its loss
        "train_batch": settings.train.batch_size,
        "train_step": settings.train.model_dump(include={*_STEP, *_ADDED_STEP} - _at_default(settings.train, _ADDED_STEP)),
        # the memory of a training step is taken at the training size, whatever the other costs are taken at
        **({} if trained_at == measured_size(settings) else {"train_size": list(trained_at)}),
    }


def deploy_ingredients(backend: Chosen[BackendSpec], evaluated: str, settings: Settings, versions: Mapping[str, str | None]) -> Ingredients:
    """Ingredients that change the drift and quality of a deployment; ``evaluated`` is the fingerprint of the cell's evaluation.

    ``versions`` are of what exports and runs it: another version may well take what this one refuses.
    """
    unused = set() if backend.spec.needs_calibration(backend.options) else {"calibration"}
    return {
        "evaluate": evaluated,
        "backend": ingredients_of(backend),
        "deploy": settings.deploy.model_dump(exclude=unused),
        "versions": dict(versions),
    }


def _unused(settings: Settings) -> set[str]:
    """Sweeps and modules that are not asked for: they came later than the first results, which must not be measured again for them."""
    return _at_default(settings.measure, ("input_sizes", "batch_sizes", "race_modules"))


def _at_default(section: Section, names: Sequence[str]) -> set[str]:
    """Those of the named settings that have their default."""
    return {name for name in names if getattr(section, name) == type(section).model_fields[name].default}


def ingredients_of(chosen: Chosen[Any]) -> Ingredients:
    """A plugin's part: name, options (a weights file by its content), and the code by its version or by the files that it reaches."""
    options = {key: content_of(value) if key in _FILES else value for key, value in chosen.options.values().items()}
    parts = {"parts": [ingredients_of(part) for part in chosen.parts]} if chosen.parts else {}
    return {"name": chosen.choice.name, **options, _CODE: chosen.code.record, **parts}


def _flat(nested: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            flat.update(_flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def content_of(path: Plain) -> Plain:
    """A digest of a file's contents in place of its path: a moved file changes no result, another one under the same name does."""
    try:
        status = Path(str(path)).expanduser().stat() if isinstance(path, str) else None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: '~name' of somebody unknown
        return path
    if status is None or not Path(str(path)).expanduser().is_file():
        return path
    return _file_digest(str(Path(str(path)).expanduser()), status.st_size, status.st_mtime_ns)


@functools.cache
def _file_digest(path: str, size: int, modified: int) -> str:
    return f"sha256:{file_digest(Path(path))[:16]}"
