"""The configuration of a run: defaults < recipe < TOML file < ``--set`` < flags."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segbench.config.dataset_file import dataset_in_folder
from segbench.config.settings import SECTIONS, Settings
from segbench.errors import ConfigError, did_you_mean
from segbench.plugin.choice import parse_choice, parse_choices, parse_value, parse_values, split_outside
from segbench.plugin.specs import Recipe
from segbench.util.folds import LEAST_FOLDS, parse_fold
from segbench.util.plain_data import Plain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SettingValues: TypeAlias = Mapping[str, Plain]
"""Values of settings by dotted key (``train.epochs``), as a file or a user gives them: they are not validated yet."""
Sections: TypeAlias = dict[str, dict[str, Plain]]
"""The same by section and key."""

DEFAULT_MODELS = ("deeplab-original", "deeplab-optimized")
EMBEDDED_RECIPE = "smoke"
"""Recipe of a run on embedded data where the user names none."""
DATA_RECIPE = "quick-test"
"""Recipe of a run on a dataset of the user's where neither the user nor the dataset names one."""
DEFAULT_BACKENDS = ("eager",)


class RunConfig(BaseModel):
    """One benchmark: the axes of its matrix, and the settings that the user gave (``overrides``, by section)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = DEFAULT_MODELS
    weights: dict[str, str] = Field(default_factory=dict)
    """Files of weights, by the model that they are for as the user wrote it."""
    partial_weights: bool = False
    """True: such a file may lack some of a network's values, or have more."""
    losses: tuple[str, ...] | None = None
    dataset: str | None = None
    datasets: dict[str, str | None] = Field(default_factory=dict)
    """Several datasets, each with its folder where one was given: a run of its own each (:mod:`segbench.execution.several`)."""
    folds: int | None = None
    """Number of folds, each a run of its own."""
    recipes: tuple[str, ...] = ()  # none named: the plan takes the dataset's
    vary: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    backends: tuple[str, ...] = DEFAULT_BACKENDS
    teacher: str | None = None
    teacher_temperature: float | None = Field(None, gt=0)
    teacher_weight: float | None = Field(None, ge=0, le=1)
    device: str = "auto"
    out: str | None = None
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def settings(self, recipe: Recipe, variation: SettingValues | None = None) -> Settings:
        """The settings of one cell: recipe, then what the user gave, then the varied keys."""
        merged: Sections = {}
        for layer in (_nested(recipe.settings, f"recipe '{recipe.name}'"), self.overrides, _nested(variation or {}, "--vary")):
            for section, values in layer.items():
                merged.setdefault(section, {}).update(values)
        return _folded(validate_settings(merged), _nested(variation or {}, "--vary"), self.overrides)

    @property
    def is_several(self) -> bool:
        """True for several datasets or folds, which are runs of their own."""
        return len(self.datasets) > 1 or self.folds is not None

    @property
    def data_path(self) -> str | None:
        """The dataset's folder, where one was given."""
        path = self.overrides.get("data", {}).get("path")
        return None if path is None else str(path)


def load_config(file: Path | None = None, *, sets: Sequence[str] = (), flags: SettingValues | None = None) -> RunConfig:
    """Read a configuration from a TOML file, ``--set key=value`` and flags; flags are dotted keys or top-level names.

    Raises :class:`ConfigError` with the file, the key and near misses.
    """
    layers = []
    if file is not None:
        layers.append((_read_toml(file), str(file)))
    layers.append((dict(_assignment(text) for text in sets), "--set"))
    layers.append(({k: v for k, v in (flags or {}).items() if v is not None}, "the command line"))
    top: dict[str, Plain] = {}
    sections: Sections = {}
    for layer, where in layers:
        layer_top, layer_sections = _split(layer, where)
        top.update(layer_top)
        for section, values in layer_sections.items():
            sections.setdefault(section, {}).update(values)
    top, sections = _with_folders(top, sections)
    validate_settings(sections)
    return RunConfig.model_validate({**top, "overrides": sections})


def _with_folders(top: dict[str, Any], sections: Sections) -> tuple[dict[str, Any], Sections]:
    """Each dataset with the folder that ``--data`` gives it; a single one as ``dataset`` and ``data.path``."""
    texts: list[str] = top.pop("data", [])
    datasets: dict[str, str | None] = dict(top.pop("datasets", {}))
    if datasets:
        _refuse_two_ways(top)
        if (path := sections.get("data", {}).pop("path", None)) is not None:
            texts = [str(path), *texts]
        datasets |= _folders(texts, datasets)
    elif len(texts) > 1:
        raise ConfigError("Several --data need --datasets A,B: each folder is given as NAME=DIR.")
    elif texts:
        sections = {**sections, "data": {**sections.get("data", {}), "path": texts[0]}}
    if len(datasets) == 1:
        ((top["dataset"], path),) = datasets.items()
        return top, {**sections, "data": {**sections.get("data", {}), "path": path}} if path else sections
    return {**top, "datasets": datasets}, sections


def _refuse_two_ways(top: Mapping[str, Any]) -> None:
    if top.get("dataset") is not None:
        raise ConfigError("Both one dataset and several were given: leave out --dataset (in a file: dataset) or --datasets.")


def _folders(texts: Sequence[str], datasets: Mapping[str, str | None]) -> dict[str, str]:
    """The folder of each dataset from texts ``name=DIR`` or ``a=DIR,b=DIR``."""
    known = list(datasets)
    folders: dict[str, str] = {}
    for text in texts:
        if len(known) == 1 and _named_folder(text, datasets) is None:
            folders[known[0]] = text
            continue
        last = ""
        for part in split_outside(text):
            pair = _named_folder(part, datasets)
            if pair is not None:
                last, folder = pair
                if last in folders:
                    raise ConfigError(f"--data gives '{last}' two folders: '{folders[last]}' and '{folder}'.")
                folders[last] = folder
            elif last:
                folders[last] += f",{part}"  # a folder with a comma in its name
            else:
                names = ", ".join(known)
                raise ConfigError(
                    f"--data '{text}' does not say whose folder it is: with several datasets write NAME=DIR, "
                    f"such as --data '{known[0]}={text.partition('=')[2] or text}'. Datasets: {names}."
                )
    return folders


def _named_folder(text: str, datasets: Mapping[str, str | None]) -> tuple[str, str] | None:
    """The dataset and folder of ``name=DIR``; None for another text.

    The name may leave options out where only one dataset has it, or only one that has no folder yet.
    """
    name, *rest = split_outside(text, "=")
    if not rest:
        return None
    fitting = [dataset for dataset in datasets if dataset == _plain_name(name)]
    fitting = fitting or [dataset for dataset in datasets if parse_choice(dataset).name == name.strip()]
    without = [dataset for dataset in fitting if datasets[dataset] is None]
    fitting = without if len(fitting) > 1 and len(without) == 1 else fitting
    if len(fitting) > 1:
        raise ConfigError(f"--data '{text}' fits {len(fitting)} datasets: write the whole name, such as '{fitting[0]}=DIR'.")
    return (fitting[0], "=".join(rest)) if fitting else None


def _plain_name(text: str) -> str:
    try:
        return str(parse_choice(text.strip()))
    except ConfigError:
        return ""


def _folded(settings: Settings, *given: Mapping[str, SettingValues]) -> Settings:
    """With ``data.fold``: the fold's splits, and no selection, which would have to see the scored part. ``given`` may not contradict."""
    if settings.data.fold is None:
        return settings
    fold = parse_fold(settings.data.fold)
    fixed: Mapping[str, SettingValues] = {
        "train": {"split": fold.training, "select_on": None, "patience": None},
        "eval": {"split": fold.scored},
    }
    for layer in given:
        for section, values in fixed.items():
            for key in values.keys() & layer.get(section, {}).keys():
                value = layer[section][key]
                if value not in (values[key], None):
                    raise ConfigError(
                        f"{section}.{key} = {value!r} does not go with folds: fold {fold} trains on its other parts, keeps the last "
                        f"checkpoint and scores its own part. Leave {section}.{key} out."
                    )
    train, scored = (getattr(settings, name).model_copy(update=dict(values)) for name, values in fixed.items())
    return settings.model_copy(update={"train": train, "eval": scored})


def validate_settings(sections: Mapping[str, SettingValues]) -> Settings:
    """Settings from nested values; one clear :class:`ConfigError` for the first thing that does not fit."""
    try:
        return Settings.model_validate(sections)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def config_to_toml(config: RunConfig, settings: Settings | None = None) -> str:
    """A configuration file that repeats the run. With ``settings`` (a run of one recipe) every resolved value is spelled out."""
    document: dict[str, Plain] = {"models": list(config.models)}
    document |= {"partial_weights": True} if config.partial_weights else {}
    if config.losses is not None:
        document["losses"] = list(config.losses)
    if config.dataset is not None:
        document["dataset"] = config.dataset
    document |= {"datasets": {name: folder or "" for name, folder in config.datasets.items()}} if config.datasets else {}
    document |= {"folds": config.folds} if config.folds is not None else {}
    document |= {"recipes": list(config.recipes)} if config.recipes else {}
    document["seeds"] = list(config.seeds)
    if config.backends != DEFAULT_BACKENDS:
        document["backends"] = list(config.backends)
    document |= {key: value for key in _TEACHER_KEYS if (value := getattr(config, key)) is not None}
    document["device"] = config.device
    sections = settings.model_dump() if settings else config.overrides
    for section, values in sections.items():
        written = {k: _toml_value(v) for k, v in values.items()}
        if written:
            document[section] = written
    document |= {"weights": dict(config.weights)} if config.weights else {}
    if config.vary:
        document["vary"] = {key: [_toml_value(v) for v in values] for key, values in config.vary.items()}
    return tomli_w.dumps(document)


def _toml_value(value: Any) -> Any:
    # TOML has no null: the word `none` is read back as one
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value


def _read_toml(file: Path) -> SettingValues:
    try:
        document: SettingValues = tomllib.loads(file.read_text(encoding="utf-8"))
        return document
    except FileNotFoundError:
        raise ConfigError(f"Configuration file '{file}' does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Configuration file '{file}' cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Configuration file '{file}' is not valid TOML: {error}") from None


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, such as train.epochs=20; got '{text}'.")
    return key.strip(), parse_value(value.strip())


_TEACHER_KEYS = ("teacher", "teacher_temperature", "teacher_weight")
_AXES = (
    *("models", "weights", "partial_weights", "losses", "dataset", "datasets", "folds", "recipes", "vary", "seeds", "backends"),
    *(*_TEACHER_KEYS, "device", "out"),
)
_ALIASES = {
    "recipe": "recipes",
    "model_names": "models",
    "loss": "losses",
    "seed": "seeds",
    "backend": "backends",
}


def _split(layer: SettingValues, where: str) -> tuple[dict[str, Plain], Sections]:
    """Top-level axes and sections of one layer, keys checked."""
    top: dict[str, Plain] = {}
    dotted: dict[str, Plain] = {}
    for key, value in layer.items():
        name = _ALIASES.get(key, key)
        if name == "data" and isinstance(value, (list, tuple)):
            top["data"] = [str(folder) for folder in value]
        elif name == "data" and not isinstance(value, Mapping):
            dotted["data.path"] = str(value)
        elif name == "dataset" and isinstance(value, str) and (in_folder := dataset_in_folder(value)):
            top[name] = str(in_folder[0])
            dotted.setdefault("data.path", str(in_folder[1]))
        elif name in _AXES:
            top[name] = _axis(name, value, where)
        elif name in SECTIONS and isinstance(value, Mapping):
            dotted.update({f"{name}.{k}": v for k, v in value.items()})
        elif "." in name:
            dotted[name] = value
        else:
            if name in SECTIONS:
                raise ConfigError(f"{where}: '{name}' is a section, not a setting. Write {name}.key, such as train.epochs=20.")
            names = [*_AXES, "data", *SECTIONS]
            sections = [setting for setting in all_settings() if setting.endswith(f".{key}")]
            near = f" Did you mean '{sections[0]}'?" if sections else did_you_mean(key, names)
            raise ConfigError(f"{where}: unknown key '{key}'.{near} Known: {', '.join(dict.fromkeys(names))}.")
    return top, _nested(dotted, where)


def _nested(dotted: SettingValues, where: str) -> Sections:
    nested: Sections = {}
    for key, value in dotted.items():
        section, _, name = key.partition(".")
        if section not in SECTIONS or not name:
            raise ConfigError(f"{where}: unknown setting '{key}'.{_near_setting(key)} Write section.key, such as train.epochs.")
        fields = getattr(Settings.model_fields[section].annotation, "model_fields", None)
        if fields is not None and name not in fields:
            near = did_you_mean(name, fields) or _near_setting(key)
            raise ConfigError(f"{where}: unknown setting '{key}'.{near} [{section}] has: {', '.join(fields)}.")
        nested.setdefault(section, {})[name] = _null_or_choice(key, value)
    return nested


def _null_or_choice(key: str, value: Any) -> Any:
    """The value of a setting; the word ``none`` is null, which TOML lacks, unless it is one of the setting's own choices.

    >>> _null_or_choice("train.patience", "none"), _null_or_choice("train.augmentation", None)
    (None, 'none')
    """
    section, _, name = key.partition(".")
    fields = getattr(Settings.model_fields[section].annotation, "model_fields", {}) if section in Settings.model_fields else {}
    if value not in (None, "none"):
        return value
    return "none" if name in fields and "none" in _literals(fields[name].annotation) else None


def _literals(annotation: Any) -> list[Any]:
    """The choices of a setting, also where it takes other text beside."""
    return [value for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal for value in get_args(part)]


def _near_setting(key: str) -> str:
    return did_you_mean(key, all_settings())


def all_settings() -> list[str]:
    """Every settable key (``train.epochs``, ..)."""
    keys = []
    for section in SECTIONS:
        fields = getattr(Settings.model_fields[section].annotation, "model_fields", {})
        keys += [f"{section}.{name}" for name in fields]
    return keys


def _axis(name: str, value: Any, where: str) -> Any:
    if name in ("models", "losses"):
        return _choices(value, name, where)
    if name == "backends":
        # every other form is compared with the network as it was trained
        return tuple(dict.fromkeys((*DEFAULT_BACKENDS, *_choices(value, name, where))))
    if name == "recipes":
        return tuple(_texts(value, name, where))
    if name == "seeds":
        return _seeds(value, where)
    if name == "weights":
        return _weights(value, where)
    if name == "partial_weights":
        return _switch(name, value, where)
    if name == "datasets":
        return _datasets(value, where)
    if name == "folds":
        return _folds(value, where)
    if name == "vary":
        return _vary(value, where)
    if name in ("teacher_temperature", "teacher_weight"):
        return _number(name, value, where)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {name} = {value!r} does not fit: expected text")
    return str(parse_choice(value)) if name == "dataset" else value


def _choices(value: Any, name: str, where: str) -> tuple[str, ...]:
    labels = name == "models"
    if isinstance(value, str):
        choices = parse_choices(value, labels=labels)
    else:
        choices = [parse_choice(text, labels=labels) for text in _texts(value, name, where)]
    _distinct([str(choice) for choice in choices], name, where)
    _distinct([choice.label for choice in choices if choice.label], name, where)
    return tuple(choice.labelled_text for choice in choices)


def _texts(value: Any, name: str, where: str) -> list[str]:
    texts = [part.strip() for part in split_outside(value)] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) and t for t in texts) or not texts:
        raise ConfigError(f"{where}: {name} = {value!r} does not fit: expected a list of names")
    return list(_distinct(texts, name, where))


def _datasets(value: Any, where: str) -> dict[str, str | None]:
    """Names, or a table of names and folders. A folder that describes itself stands for its dataset."""
    if not isinstance(value, Mapping):
        value = dict.fromkeys(_texts(value, "datasets", where), "")
    if not value or not all(isinstance(folder, str) for folder in value.values()):
        raise ConfigError(f"{where}: datasets = {value!r} does not fit: expected a list of names, or a table of names and their folders")
    folders: dict[str, str | None] = {}
    for text, folder in value.items():
        in_folder = dataset_in_folder(text)
        choice, own = in_folder or (parse_choice(text), None)
        _distinct([*folders, str(choice)], "datasets", where)
        folders[str(choice)] = folder or (str(own) if own else None)
    return folders


def _weights(value: Any, where: str) -> dict[str, str]:
    """Files by model, from texts ``MODEL=FILE`` or a table."""
    if not isinstance(value, Mapping):
        texts = value if isinstance(value, (list, tuple)) else [value]
        pairs = [split_outside(str(text), "=") for text in texts]
        for text, (_, *file) in zip(texts, pairs, strict=True):
            if not any(file):
                raise ConfigError(f"--weights takes MODEL=FILE, such as unet=weights.pth; got '{text}'.")
        models = _distinct([_plain_name(model) or model.strip() for model, *_ in pairs], "weights", where)
        return dict(zip(models, ("=".join(file).strip() for _, *file in pairs), strict=True))
    if not all(isinstance(file, str) and file for file in value.values()):
        raise ConfigError(f"{where}: weights = {value!r} does not fit: expected a table of models and their files")
    return {_plain_name(model) or model: file for model, file in value.items()}


def _switch(name: str, value: Any, where: str) -> bool:
    parsed = parse_value(value) if isinstance(value, str) else value
    if not isinstance(parsed, bool):
        raise ConfigError(f"{where}: {name} = {value!r} does not fit: expected true or false")
    return parsed


def _folds(value: Any, where: str) -> int:
    number = parse_value(value) if isinstance(value, str) else value
    if type(number) is not int or number < LEAST_FOLDS:
        raise ConfigError(f"{where}: folds = {value!r} does not fit: expected a whole number from {LEAST_FOLDS}, such as 5")
    return number


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    values = parse_values(value) if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    if not values or not all(type(seed) is int and seed >= 0 for seed in values):
        raise ConfigError(f"{where}: seeds = {value!r} does not fit: expected whole numbers from 0, such as 0,1,2")
    return _distinct(values, "seeds", where)


def _number(name: str, value: Any, where: str) -> float:
    """A temperature above 0, or a weight from 0 to 1."""
    number = parse_value(value) if isinstance(value, str) else value
    expected = "a number above 0" if name == "teacher_temperature" else "a number from 0 to 1"
    fits = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not fits or not (0 < number < math.inf if name == "teacher_temperature" else 0 <= number <= 1):
        raise ConfigError(f"{where}: {name} = {value!r} does not fit: expected {expected}")
    return float(number)


def _vary(value: Any, where: str) -> dict[str, tuple[Any, ...]]:
    """``{"train.lr": [..]}`` from a table, or from texts ``train.lr=1e-3,1e-4``."""
    if not isinstance(value, Mapping):
        pairs = {}
        for text in value:
            key, equals, values = text.partition("=")
            if not equals:
                raise ConfigError(f"--vary takes key=value,value,.. such as train.lr=1e-3,1e-4; got '{text}'.")
            pairs[key.strip()] = parse_values(values)
        value = pairs
    varied: dict[str, tuple[Any, ...]] = {}
    for key, values in _flatten(value).items():
        if not isinstance(values, (list, tuple)) or not values:
            raise ConfigError(f"{where}: vary.{key} = {values!r} does not fit: expected a list of values")
        _nested({key: values[0]}, f"{where}: vary")
        if key == "data.fold":
            raise ConfigError(f"{where}: folds are runs of their own: give --folds 5 instead of varying '{key}'")
        if key == "data.limit":
            raise ConfigError(f"{where}: '{key}' cannot be varied: rows with a limit are a quick try and are not compared")
        if key.split(".")[0] in ("execute", "data"):
            raise ConfigError(f"{where}: '{key}' cannot be varied: it does not change what is trained or measured")
        # a file has no null: the word none is read as one here as in any other layer, or the cell would have another name
        varied[key] = _distinct([_null_or_choice(key, v) for v in values], f"vary.{key}", where)
    return varied


def _flatten(table: SettingValues) -> dict[str, Plain]:
    flat = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{k}": v for k, v in value.items()})
        else:
            flat[key] = value
    return flat


def _distinct(values: Iterable[Any], name: str, where: str) -> tuple[Any, ...]:
    seen: list[Any] = []
    for value in values:
        if value in seen:
            raise ConfigError(f"{where}: {name} names '{value}' twice")
        seen.append(value)
    return tuple(seen)


_EXPECTED = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "model_type": "a table",
    "dict_type": "a table",
}


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    if first["type"] in _EXPECTED:
        return f"{key} = {first['input']!r} does not fit: expected {_EXPECTED[first['type']].format(**first.get('ctx', {}))}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if message.startswith("Input"):
        return f"{key} = {first['input']!r} does not fit: {message}"
    prefix = "" if message != first["msg"] and first["type"] == "value_error" else "expected "
    return f"{key} = {first['input']!r} does not fit: {prefix}{message}"
