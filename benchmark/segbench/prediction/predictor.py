"""Predictor: a trained cell, a checkpoint, or a file that ``segbench export`` wrote, under one calling convention."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from segbench.errors import BackendError, CheckpointError, ConfigError, PluginError, StoreError
from segbench.execution.deploy.backend_network import BackendNetwork
from segbench.execution.deploy.metadata import weights_digest
from segbench.execution.plan.sources import WEIGHTS_FILES, Trained, find_trained
from segbench.networks.checkpoint_meta import parse_ranges
from segbench.networks.load import load_network
from segbench.networks.network import deploy
from segbench.plugin.choice import Choice
from segbench.plugin.class_map import ClassMap, match_classes
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Normalisation, Target, Task, resolve
from segbench.results.predictions import PredictedNetwork
from segbench.util.devices import usable_cores
from segbench.util.files import file_digest
from segbench.util.image_size import Size
from segbench.util.value_range import ValueRange

CHECKPOINTS = frozenset(WEIGHTS_FILES)

Images = tuple[Tensor, ...]


@dataclass(frozen=True)
class Predictor:
    """A network that is ready to run.

    logits   normalised inputs (N, C, h, w) to logits (N, K, ..) at any size of the network's choosing
    canvas   the one size (height, width) that a file of fixed size takes: smaller images are padded up to it
    trained  the size at which it was trained, or exported
    task     its inputs, and the classes that masks hold: its own, or a dataset's by ``class_map``
    record   what predictions say about it: model, file, digests, backend
    """

    logits: Callable[[Images], Tensor]
    task: Task
    plan: InputPlan
    device: str
    trained: Size
    canvas: Size | None = None
    record: PredictedNetwork = field(default_factory=PredictedNetwork)
    class_map: ClassMap | None = None
    value_ranges: Mapping[str, ValueRange] | None = None


def in_classes_of(predictor: Predictor, task: Task, text: str | None, *, dataset: str) -> Predictor:
    """The predictor with masks in the classes of a dataset's ``task``, matched by name or by the class map ``text``.

    Raises :class:`ConfigError` for names that do not match and that no class map explains.
    """
    source, target = f"'{predictor.record['file']}'", f"dataset '{dataset}'"
    class_map = match_classes(predictor.task.class_names, task.class_names, text, source=source, target=target)
    if class_map.is_identity:
        return predictor
    own = replace(task, inputs=predictor.task.inputs, normalisation=predictor.task.normalisation, rgb=predictor.task.rgb)
    return replace(predictor, task=own, class_map=class_map)


def open_predictor(subject: Path | str, *, catalog: Catalog, device: str, model: str | None = None) -> Predictor:
    """Load a trained network (:func:`find_trained`; of a RUN the one cell of ``model``) or an exported file.

    Raises :class:`StoreError`, :class:`CheckpointError` or :class:`BackendError` with what to give instead.
    """
    path = find_file(subject, model)
    return open_export(path, catalog, device) if _sidecar(path).is_file() else open_checkpoint(path, catalog, device)


def find_file(subject: Path | str, model: str | None = None) -> Path:
    """The checkpoint or exported file that a user means."""
    trained = find_trained(str(subject))
    path = trained.networks[0].file
    if model is not None:
        if Path(subject).expanduser().is_file():
            raise ConfigError("--model chooses among the cells of a run; a file has one model.")
        trained = _only_of(trained, model)
    if path.suffix == ".bin" and _sidecar(path.with_suffix(".xml")).is_file():
        raise BackendError(f"'{path}' holds weights only: give {path.with_suffix('.xml')}")
    return trained.only().file


def open_checkpoint(path: Path, catalog: Catalog, device: str) -> Predictor:
    """The network of a checkpoint, without the heads that only training needs."""
    if path.suffix.lower() not in CHECKPOINTS:
        raise CheckpointError(
            f"'{path}' is neither a checkpoint ({' '.join(sorted(CHECKPOINTS))}) nor an exported file: those have their metadata beside "
            f"them, as {_sidecar(path).name}. Copy that along, or export again."
        )
    loaded = load_network(path, catalog)
    network = deploy(loaded.network)
    digest = weights_digest(network.state_dict())
    own = network.network.to(device).requires_grad_(False)
    meta = loaded.meta
    record = PredictedNetwork(
        model=meta.model,
        kind="checkpoint",
        file=path.name,
        cell=path.parent.name if path.parent.parent.name == "checkpoints" else None,
        file_sha256=file_digest(path),
        weights_sha256=digest,
        trained_on=meta.dataset,
        train_split=meta.train_split,
        select_on=meta.select_on,
        precision="fp32",
    )
    return Predictor(
        lambda inputs: own(*inputs)["logits"],
        loaded.task,
        loaded.plan,
        device,
        meta.image_size,
        record=record,
        value_ranges=meta.value_ranges,
    )


def open_export(path: Path, catalog: Catalog, device: str) -> Predictor:
    """An exported file in the runtime that it was made for, with what its metadata say of classes and inputs."""
    meta = _metadata(path)
    try:
        task, plan, ranges = _task(meta), _plan(meta), parse_ranges(meta.get("value_ranges"))
        size: Size = (int(meta["input_size"][0]), int(meta["input_size"][1]))
        named = meta["backend"]
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in named["options"].items()}
        fixed = bool(meta["fixed_size"])
    except (KeyError, TypeError, ValueError, LookupError, PluginError) as error:
        raise BackendError(
            f"{_sidecar(path)} is no metadata of an exported file ({type(error).__name__}: {error}). Export again."
        ) from None
    backend = catalog.backend(Choice(named["name"], tuple(options.items())))
    if backend.spec.load is None:
        raise BackendError(f"{path}: the backend '{named['name']}' runs in memory and loads no files.")
    run = resolve(backend.spec.load)(path, backend.options, Target(device, usable_cores()))
    form = BackendNetwork(run, size if fixed else None)
    weights = meta.get("weights", {})
    record = PredictedNetwork(
        model=str(meta["model"]),
        kind="export",
        file=path.name,
        file_sha256=file_digest(path),
        weights_sha256=weights.get("sha256"),
        trained_on=weights.get("trained_on"),
        random_weights=bool(weights.get("random")),
        backend=str(backend),
        precision=named.get("precision"),
    )
    return Predictor(lambda inputs: form(*inputs)["logits"], task, plan, device, size, size if fixed else None, record, value_ranges=ranges)


def _only_of(trained: Trained, model: str) -> Trained:
    networks = tuple(network for network in trained.networks if network.cell and network.run and _is_of(network.run, network.cell, model))
    if not networks:
        cells = ", ".join(str(network.cell) for network in trained.networks[:5])
        raise StoreError(f"'{trained.text}' has no trained cell of the model '{model}'. Trained cells: {cells}.")
    return replace(trained, networks=networks)


def _is_of(run: Path, cell: str, model: str) -> bool:
    """True where a cell is of a model, by the name in its row, else by its own."""
    try:
        row = json.loads((run / "cells" / f"{cell}.json").read_bytes())
        name = str(row["model"])
    except (OSError, ValueError, LookupError, TypeError):
        return cell.split("--", maxsplit=1)[0] == model
    return model in (name, cell)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _metadata(path: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads(_sidecar(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BackendError(f"{_sidecar(path)} is damaged ({error}). Export again.") from None
    if not isinstance(meta, dict) or "backend" not in meta:
        raise BackendError(f"{_sidecar(path)} is no metadata of 'segbench export'.")
    return meta


def _task(meta: Mapping[str, Any]) -> Task:
    inputs = {part["name"]: int(part["channels"]) for group in meta["inputs"] for part in group["parts"]}
    palette = tuple((int(r), int(g), int(b)) for r, g, b in meta["palette"])
    names = tuple(map(str, meta["classes"]))
    ignored = int(meta["ignore_index"])
    return Task(class_names=names, inputs=inputs, ignore_index=ignored, palette=palette, headline=meta.get("headline"), rgb=())


def _plan(meta: Mapping[str, Any]) -> InputPlan:
    groups = tuple(tuple(part["name"] for part in group["parts"]) for group in meta["inputs"])
    channels = tuple(int(group["channels"]) for group in meta["inputs"])
    norms = {}
    for part in (part for group in meta["inputs"] for part in group["parts"]):
        norm = part["normalisation"]
        if norm is None:
            raise ValueError(f"it does not say how '{part['name']}' is normalised")
        norms[part["name"]] = Normalisation(tuple(norm["mean"]), tuple(norm["std"]), norm["scale"])
    return InputPlan(groups, channels, norms, early_fusion=any(len(group) > 1 for group in groups))
