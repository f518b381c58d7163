"""Trained networks by what a user types, and the ones that a cell starts from: cells of the same run, or files.

A derived model (pruned, ensemble) needs its bases, a distilled one its teacher. Here names become cells and files, and what does not go
together is refused before anything runs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.errors import ConfigError, StoreError, did_you_mean
from segbench.networks.checkpoint_meta import read_meta, without_download
from segbench.plugin.choice import parse_choice, slug, split_outside
from segbench.plugin.chosen import Chosen, PartRecord
from segbench.plugin.derived import part_names
from segbench.plugin.options import describe
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Derivation, GivenWeights, LossSpec, ModelSpec, Task, resolve
from segbench.results.store import no_run
from segbench.util.plain_data import Plain
from segbench.util.sequences import counted

BEST = "best.pt"
CHECKPOINTS = "checkpoints"
WEIGHTS_FILES = (".pt", ".pth", ".ckpt", ".safetensors")
TRAINED = "a trained network as RUN (with one trained cell), RUN/CELL, RUN/part of a cell's name, or FILE (a checkpoint)"
_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """Trained weights of a cell of this run, or of a file. ``name`` is what the user wrote."""

    name: str
    role: str
    cell: str | None = None
    file: Path | None = None

    def path(self, directory: Path) -> Path:
        """The checkpoint, in a run's directory."""
        if self.file is not None:
            return self.file
        return directory / "checkpoints" / str(self.cell) / BEST


@dataclass(frozen=True)
class Sources:
    """The trained networks that a cell is made from."""

    kind: str = "train"
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    chained: Mapping[str, Plain] = field(default_factory=dict)
    """By source: the fingerprint of a needed cell's training, or the digest of a file."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the cells that must be trained first."""
        return tuple(dict.fromkeys(source.cell for source in self.sources if source.cell is not None))

    def paths(self, role: str, directory: Path) -> list[Path]:
        """Checkpoints in one role ("part", "teacher")."""
        return [source.path(directory) for source in self.sources if source.role == role]


def choose_model(catalog: Catalog, text: str, shared: Mapping[str, Any]) -> Chosen[ModelSpec]:
    """A model with those of the settings of ``[model]`` that it has as options; a derived one's bases have theirs."""
    record = _model_record(catalog, text, shared)
    return catalog.model(text, record["options"], parts=record["parts"])


def part_record(catalog: Catalog, text: str, shared: Mapping[str, Any]) -> PartRecord:
    """A model as plain data: by its name, or of the trained network that ``text`` names."""
    if names_network(text, catalog.names("models")):
        meta = read_meta(find_network(text, "model").file)
        return {"model": meta.model, "options": without_download(meta.model_options), "parts": meta.model_parts or None}
    return _model_record(catalog, text, shared)


def _model_record(catalog: Catalog, text: str, shared: Mapping[str, Any]) -> PartRecord:
    choice = parse_choice(text, labels=True)
    spec, _ = catalog.spec("models", choice.name)
    own = {key: value for key, value in shared.items() if key in describe(spec.options)}
    parts = None
    if spec.derives is not None:
        parts = [part_record(catalog, name, shared) for name in part_names(catalog.choose("models", choice, own))]
    return {"model": text, "options": own, "parts": parts}


def names_network(text: str, models: Collection[str] = ()) -> bool:
    """True for the text of a trained network (RUN, RUN/CELL, FILE), False for that of a model, which has one of the names ``models``.

    >>> names_network("runs/a/unet--ce"), names_network("weights.pt"), names_network("unet"), names_network("focal[a=x/y]")
    (True, True, False, False)
    """
    if not text.strip() or text.partition("[")[0].strip() in models:
        return False
    if (
        len(split_outside(text.replace(os.sep, "/"), "/")) > 1
        or text in (".", "..")
        or text.startswith("~")
        or text.endswith(WEIGHTS_FILES)
    ):
        return True
    return os.path.exists(text) or ("/" in text and _is_run(_path(text).parent))


def is_inside_run(text: str) -> bool:
    """True for a text of the form RUN/CELL, RUN/PART or RUN/checkpoints/CELL[/best.pt] where RUN is a run's directory."""
    path = _path(text)
    run, _ = _run_and_cell(path)
    return "/" in text and _is_run(run) and (not os.path.exists(path) or CHECKPOINTS in (path.parent.name, path.parent.parent.name))


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network's file, and the run (directory) and cell (id) that it is of where it lies in a run's directory."""

    file: Path
    run: Path | None = None
    cell: str | None = None


@dataclass(frozen=True)
class Trained:
    """The trained networks that a text names: all of a run's, or one. ``text`` is what the user wrote."""

    text: str
    networks: tuple[TrainedNetwork, ...]

    def only(self) -> TrainedNetwork:
        """The network where one is needed. Raises :class:`StoreError` with the cells to choose from where there are several."""
        if len(self.networks) > 1:
            raise _several(self.text, [str(network.cell) for network in self.networks])
        return self.networks[0]


def find_trained(text: str) -> Trained:
    """The trained networks behind RUN, RUN/CELL, RUN/PART (a unique beginning or part of a cell's name) or FILE; files are not read.

    A cell's name may also be written as reports show it: ``RUN/dot[width=8]``, ``RUN/dot|ce``.
    Raises :class:`StoreError` that says what there is instead.
    """
    path = _path(text)
    if os.path.isfile(path):
        return Trained(text, (_network(path),))
    if os.path.isfile(path / BEST):
        return Trained(text, (_network(path / BEST),))
    if path.name == CHECKPOINTS and not os.path.isdir(path / CHECKPOINTS):
        path = path.parent
    if text.strip() and _is_run(path):
        return Trained(text, _all_of(path))
    run, name = _run_and_cell(path)
    if text.strip() and _is_run(run) and (path.parent.name == CHECKPOINTS or not os.path.isdir(path)):
        return Trained(text, (_cell_of(run, name),))
    if text.strip() and os.path.isdir(path):
        raise no_run(text, "there are no checkpoints in it", f"Give {TRAINED}.")
    raise no_run(text, f"it is neither a checkpoint nor RUN/CELL, and there is no '{text}'", f"Give {TRAINED}.")


def find_network(text: str, what: str) -> TrainedNetwork:
    """The one trained network behind a text; ``what`` it is to be stands before the message of an error."""
    try:
        return find_trained(text).only()
    except StoreError as error:
        raise StoreError(f"{what}: {error}") from None


def _path(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # the home of a user who does not exist
        path = Path(text)
    return path.resolve() if ".." in path.parts else path


def _network(file: Path) -> TrainedNetwork:
    file = file.absolute()
    if file.name == BEST and file.parent.parent.name == CHECKPOINTS:
        return TrainedNetwork(file, file.parent.parent.parent, file.parent.name)
    return TrainedNetwork(file)


def _run_and_cell(path: Path) -> tuple[Path, str]:
    """The run's directory and the cell's name in RUN/CELL, RUN/checkpoints/CELL and RUN/checkpoints/CELL/best.pt."""
    path = path.parent if path.name == BEST else path
    inside = path.parent.name == CHECKPOINTS and not os.path.isdir(path.parent / CHECKPOINTS)
    return path.parent.parent if inside else path.parent, path.name


def _is_run(directory: Path) -> bool:
    return any(os.path.exists(directory / name) for name in (CHECKPOINTS, "cells", "config.toml"))


def _trained(run: Path) -> dict[str, Path]:
    return {file.parent.name: file for file in sorted((run / CHECKPOINTS).glob(f"*/{BEST}"))}


def _all_of(run: Path) -> tuple[TrainedNetwork, ...]:
    networks = tuple(_network(file) for file in _trained(run).values())
    if not networks:
        raise StoreError(f"'{run}' has no trained cells yet (no {CHECKPOINTS}/<cell>/{BEST}).")
    return networks


def _cell_of(run: Path, name: str) -> TrainedNetwork:
    trained = _trained(run)
    cells = _with_part(name, list(trained))
    if len(cells) > 1:
        raise _several(run, cells, f" with '{name}' in their names")
    if not cells:
        raise StoreError(f"'{run}' has no trained cell '{name}'.{did_you_mean(name, trained) or _listed(list(trained))}")
    return _network(trained[cells[0]])


def _with_part(name: str, cells: Sequence[str]) -> list[str]:
    """The cell of that name, else those that begin with it, else those that contain it.

    A student's id may contain its teacher's: the run that trained both must still know which is meant.
    """
    parts = (name, "--".join(slug(part.strip()) for part in split_outside(name, "|")))
    begin = [cell for cell in cells if cell.startswith(parts)]
    contain = [cell for cell in cells if any(part in cell for part in parts)]
    return [name] if name in cells else begin or contain


def _several(run: object, cells: Sequence[str], which: str = "") -> StoreError:
    return StoreError(f"'{run}' has {counted(len(cells), 'trained cell')}{which}: give one as {str(run).rstrip('/')}/CELL.{_listed(cells)}")


def _listed(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    return f" Trained cells: {', '.join(cells[:_SHOWN])}{more}." if cells else " It has no trained cells."


Key = tuple[str, str, str, str, int]
"""The identity of a cell in words: model, loss, recipe, variation, seed."""


@dataclass(frozen=True)
class SourceRequest:
    """A request for a trained network that a cell is made from."""

    role: str
    name: str
    what: str
    keys: tuple[Key, ...] = ()
    """The cells of the same run that it may be, best first, where it is named by its model."""


def requested_sources(
    model: Chosen[ModelSpec], loss: Chosen[LossSpec], rest: tuple[str, str, int], models: Collection[str], *, as_given: bool = False
) -> list[SourceRequest]:
    """Trained networks that a cell is made from; ``rest`` is its recipe, variation and seed, ``models`` are all installed models' names.

    A model that is taken ``as_given`` learns from no teacher.
    """
    requests = []
    # the teacher itself learned from labels alone: it may be a member of what its students are members of
    losses = [str(loss), *(str(part) for part in loss.parts)]
    for name in part_names(model) if model.spec.derives is not None else ():
        keys = () if names_network(name, models) else tuple((name, text, *rest) for text in losses)
        requests.append(SourceRequest("part", name, f"{model.spec.name} of", keys))
    if loss.spec.distils and trains(model) and not as_given:
        name = str(loss.options.values()["teacher"] or "")
        keys = () if names_network(name, models) else ((name, str(loss.parts[0]), *rest),)
        requests.append(SourceRequest("teacher", name, "teacher", keys))
    return requests


def find_source(request: SourceRequest, *, keys: Collection[Key], ids: Mapping[str, Key], directory: Path) -> Key | Path:
    """The cell of this run that is requested, or a file. Raises :class:`SegbenchError` kin where there is neither."""
    for key in request.keys:
        if key in keys:
            return key
    if request.keys:
        raise ConfigError(_missing(request, request.keys[0], keys))
    run, cell = _run_and_cell(_path(request.name))
    if cell in ids and run.resolve() == directory.resolve():
        return ids[cell]  # it may be still to be trained
    network = find_network(request.name, request.what)
    if network.run is not None and network.cell is not None and network.cell in ids and network.run.resolve() == directory.resolve():
        return ids[network.cell]
    return network.file


def _missing(request: SourceRequest, key: Key, keys: Collection[Key]) -> str:
    model, loss = key[:2]
    if not model:
        return "distill needs a teacher: give --teacher RUN/CELL, or distill[teacher=..] with a model of this run or RUN/CELL."
    if any(other[0] == model for other in keys):
        return f"{request.what} {model}: its cell with the loss '{loss}' is not in this run. Add {loss} to --losses."
    models = list(dict.fromkeys(other[0] for other in keys if model not in other[0].partition("[")[2]))  # without those made of it
    return (
        f"{request.what} {model}: there is no such model in this run.{did_you_mean(model, models)} "
        "Add it to --models (what is trained already is not trained again), or name trained weights: RUN/CELL."
    )


def trains(model: Chosen[ModelSpec]) -> bool:
    """True for a model that the recipe trains."""
    return not why_untrained(model)


def why_untrained(model: Chosen[ModelSpec]) -> str:
    """The reason why the recipe does not train a model; empty where it does."""
    if model.spec.given is not None:
        return "its weights are as given"
    derives = model.spec.derives
    return "it is put together from trained models and not trained itself" if derives is not None and not derives.trains else ""


def given_weights(model: Chosen[ModelSpec], task: Task) -> GivenWeights | None:
    """What is known of the weights that a model comes with, on the task as it sees it; None for a model without."""
    given: GivenWeights | None = resolve(model.spec.given)(task, model.options) if model.spec.given is not None else None
    return given


def kind_of(model: Chosen[ModelSpec], loss: Chosen[LossSpec], *, as_given: bool = False) -> str:
    """The kind of a cell's row."""
    if model.spec.derives is not None:
        return model.spec.derives.kind
    if model.spec.given is not None:
        return "given"
    return "distill" if loss.spec.distils and not as_given else "train"


def notes_of(model: Chosen[ModelSpec], loss: Chosen[LossSpec], *, as_given: bool = False) -> tuple[str, ...]:
    """Notes on the trained networks that a cell is made from."""
    notes = []
    derivation: Derivation | None = model.spec.derives
    if derivation is not None:
        # a score that took twice the training must not pass as one of the architecture
        longer = ", then trained on: its epochs come on top of those of what it is made of" if derivation.trains and not as_given else ""
        notes.append(f"{resolve(derivation.describe)(model.options)} {', '.join(part_names(model))}{longer}")
    if loss.spec.distils and trains(model) and not as_given:
        options = loss.options.values()
        settings = ", ".join(f"{key} {value:g}" for key, value in options.items() if isinstance(value, float))
        notes.append(f"distilled from {options['teacher']} ({settings})")
    return tuple(notes)


def refuse_other_task(what: str, name: str, own: Task, trained_for: Task) -> None:
    """Raise where trained weights are of other classes or inputs than this dataset's."""
    classes, inputs = list(trained_for.class_names), dict(trained_for.inputs)
    if len(classes) != own.num_classes:
        raise ConfigError(
            f"{what} '{name}' was trained for another task: {len(classes)} classes, this dataset has {own.num_classes}. "
            "Name one that was trained on this dataset's classes."
        )
    if classes != list(own.class_names):
        first = next(i for i, (a, b) in enumerate(zip(classes, own.class_names, strict=True)) if a != b)
        raise ConfigError(
            f"{what} '{name}' was trained for another task: its class {first} is '{classes[first]}', this dataset's is "
            f"'{own.class_names[first]}'. Name one that was trained on this dataset's classes."
        )
    if inputs != dict(own.inputs):
        raise ConfigError(
            f"{what} '{name}' was trained for another task: its inputs are {inputs}, this dataset's are {dict(own.inputs)}. "
            "Name one that was trained on these inputs."
        )
