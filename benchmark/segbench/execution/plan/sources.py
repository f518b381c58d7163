"""What a cell starts from beside data: trained cells of the same run, or trained weights from elsewhere.

A derived model (pruned, ensemble) needs its bases, a distilled one its teacher. Here names become cells and files, and what does not go
together is refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.errors import ConfigError, did_you_mean
from segbench.networks.checkpoint_meta import read_meta
from segbench.plugin.choice import parse_choice
from segbench.plugin.chosen import Chosen
from segbench.plugin.derived import part_names
from segbench.plugin.options import describe
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Derivation, LossSpec, ModelSpec, Task, resolve

BEST = "best.pt"


@dataclass(frozen=True)
class Source:
    """Where trained weights come from: a cell of this run, or a file. ``name`` is what the user wrote."""

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
    """What a cell is made from."""

    kind: str = "train"
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    chained: Mapping[str, Any] = field(default_factory=dict)
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
    record = part_record(catalog, text, shared)
    return catalog.model(text, record["options"], parts=record["parts"])


def part_record(catalog: Catalog, text: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """A model as plain data: by its name, or by the checkpoint that ``text`` names."""
    if is_path(text):
        meta = read_meta(find_checkpoint(text, "model"))
        return {"model": meta["model"], "options": _local(meta["model_options"]), "parts": meta.get("model_parts") or None}
    choice = parse_choice(text)
    spec, _ = catalog.spec("models", choice.name)
    own = {key: value for key, value in shared.items() if key in describe(spec.options)}
    parts = None
    if spec.derives is not None:
        parts = [part_record(catalog, name, shared) for name in part_names(catalog.choose("models", choice, own))]
    return {"model": text, "options": own, "parts": parts}


def _local(options: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded options, without fetching weights that are overwritten at once."""
    stored = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return {**stored, **{name: default for name, default in (("pretrained", False), ("weights", None)) if name in stored}}


def is_path(text: str) -> bool:
    """Whether a text names trained weights (``RUN/CELL``, ``best.pt``) rather than a model.

    >>> is_path("runs/a/unet--ce"), is_path("weights.pt"), is_path("unet"), is_path("focal[a=x/y]")
    (True, True, False, False)
    """
    head = text.partition("[")[0]
    return "/" in head or "\\\\" in head or head.endswith((".pt", ".pth"))


def find_checkpoint(text: str, what: str) -> Path:
    """The file behind ``RUN/CELL`` or a path. Raises :class:`ConfigError` that says what there is."""
    given = Path(text).expanduser()
    if given.is_file():
        return given.absolute()
    folder = given.parent / "checkpoints"
    if (folder / given.name / BEST).is_file():
        return (folder / given.name / BEST).absolute()
    there = sorted(path.parent.name for path in folder.glob(f"*/{BEST}")) if folder.is_dir() else []
    if there:
        raise ConfigError(f"{what} '{text}': '{given.parent}' has no trained cell '{given.name}'.{did_you_mean(given.name, there)}")
    raise ConfigError(f"{what} '{text}' is neither a checkpoint nor RUN/CELL with RUN/checkpoints/CELL/{BEST}.")


Key = tuple[str, str, str, str, int]
"""What a cell is, in words: model, loss, recipe, variation, seed."""


@dataclass(frozen=True)
class SourceRequest:
    """Something that a cell is made from, before it is found."""

    role: str
    name: str
    what: str
    keys: tuple[Key, ...] = ()
    """The cells of the same run that it may be, best first, where it is named by its model."""


def requested_sources(
    model: Chosen[ModelSpec], loss: Chosen[LossSpec], rest: tuple[str, str, int], models: Collection[str]
) -> list[SourceRequest]:
    """What a cell is made from; ``rest`` is its recipe, variation and seed."""
    found = []
    # the teacher itself learned from labels alone: it may be a member of what its students are members of
    losses = [str(loss), *(str(part) for part in loss.parts)]
    for name in part_names(model) if model.spec.derives is not None else ():
        keys = () if is_path(name) else tuple((name, text, *rest) for text in losses)
        found.append(SourceRequest("part", name, f"{model.spec.name} of", keys))
    if loss.spec.distils and trains(model):
        name = str(loss.options.values()["teacher"] or "")
        named = name in models or not is_path(name)
        found.append(SourceRequest("teacher", name, "teacher", ((name, str(loss.parts[0]), *rest),) if named else ()))
    return found


def find_source(want: SourceRequest, *, keys: Collection[Key], ids: Mapping[str, Key], directory: Path) -> Key | Path:
    """The cell of this run that is wanted, or the file. Raises :class:`ConfigError` where there is neither."""
    for key in want.keys:
        if key in keys:
            return key
    if want.keys:
        raise ConfigError(_missing(want, want.keys[0], keys))
    given = Path(want.name).expanduser()
    run, cell = (given.parent.parent.parent, given.parent.name) if given.name == BEST else (given.parent, given.name)
    if run.absolute() == directory and cell in ids:
        return ids[cell]
    return find_checkpoint(want.name, want.what)


def _missing(want: SourceRequest, key: Key, keys: Collection[Key]) -> str:
    model, loss = key[:2]
    if not model:
        return "distill needs a teacher: give --teacher RUN/CELL, or distill[teacher=..] with a model of this run or RUN/CELL."
    if any(other[0] == model for other in keys):
        return f"{want.what} {model}: its cell with the loss '{loss}' is not in this run. Add {loss} to --losses."
    models = list(dict.fromkeys(other[0] for other in keys))
    return (
        f"{want.what} {model}: there is no such model in this run.{did_you_mean(model, models)} "
        "Add it to --models (what is trained already is not trained again), or name trained weights: RUN/CELL."
    )


def trains(model: Chosen[ModelSpec]) -> bool:
    """Whether a model is trained by the recipe, and not only put together."""
    return model.spec.derives is None or model.spec.derives.trains


def kind_of(model: Chosen[ModelSpec], loss: Chosen[LossSpec]) -> str:
    """The kind of a cell's row."""
    if model.spec.derives is not None:
        return model.spec.derives.kind
    return "distill" if loss.spec.distils else "train"


def notes_of(model: Chosen[ModelSpec], loss: Chosen[LossSpec]) -> tuple[str, ...]:
    """In words, what a cell is made from."""
    notes = []
    how: Derivation | None = model.spec.derives
    if how is not None:
        # a score that took twice the training must not pass as one of the architecture
        longer = ", then trained on: its epochs come on top of those of what it is made of" if how.trains else ""
        notes.append(f"{resolve(how.describe)(model.options)} {', '.join(part_names(model))}{longer}")
    if loss.spec.distils and trains(model):
        options = loss.options.values()
        said = ", ".join(f"{key} {value:g}" for key, value in options.items() if isinstance(value, float))
        notes.append(f"distilled from {options['teacher']} ({said})")
    return tuple(notes)


def refuse_other_task(what: str, name: str, own: Task, meta: Mapping[str, Any]) -> None:
    """Trained weights must be of this dataset's classes and inputs."""
    classes, inputs = list(meta["task"]["class_names"]), dict(meta["task"]["inputs"])
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
