"""The functions of the public API that do what the commands of the same names do: run, profile, evaluate, score."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from segbench.config.run_config import load_config
from segbench.errors import ConfigError
from segbench.execution.evaluate import evaluate_checkpoint, evaluate_run
from segbench.execution.events import Listener, Silent
from segbench.execution.objects import dataset_object, model_object
from segbench.execution.plan.sources import find_trained
from segbench.execution.profile import profile_models
from segbench.execution.reports import require_empty_folder, write_result
from segbench.execution.runner import run as run_config
from segbench.plugin.choice import split_outside
from segbench.plugin.objects import ObjectSpec, offer
from segbench.plugin.registry import Catalog, load_catalog
from segbench.results.records import RunResult

_SHORTS = ("train.epochs", "train.batch_size", "train.image_size", "train.lr", "data.limit")


def run(
    models: Any = None,
    dataset: Any = None,
    *,
    data: str | Path | None = None,
    classes: Sequence[str] | None = None,
    losses: str | Sequence[str] | None = None,
    recipe: str | Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    backends: str | Sequence[str] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    image_size: int | str | None = None,
    lr: float | None = None,
    limit: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    fresh: bool = False,
    config: str | Path | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Train, score and measure models under one protocol, as ``segbench run`` does; results also lie in ``out``.

    ``models`` are names with options, modules, functions ``build(task)`` or specs, in a list, or in a mapping of labels to them.
    ``dataset`` is a name with options, or dataset objects (:func:`segbench.execution.objects.dataset_object`), with their ``classes``.
    ``settings`` has any settings by their dotted names (``{"train.schedule": "poly"}``). Raises :class:`SegbenchError` kin for what cannot
    be planned; a cell that fails is a row with its reason.
    """
    shorts = dict(zip(_SHORTS, (epochs, batch_size, image_size, lr, limit), strict=True))
    flags = {
        "models": _models(models),
        "dataset": _dataset(dataset, classes),
        "data": (str(data),) if data is not None else None,
        "losses": _texts(losses),
        "recipes": _texts(recipe),
        "seeds": [seeds] if isinstance(seeds, int) else seeds and list(seeds),
        "backends": _texts(backends),
        "vary": {key: list(values) for key, values in vary.items()} if vary else None,
        "device": device,
        "out": str(out) if out is not None else None,
        **{key: _plain(value) for key, value in (settings or {}).items()},
        **{key: value for key, value in shorts.items() if value is not None},
    }
    parsed = load_config(Path(config) if config is not None else None, flags=flags)
    if parsed.is_several:
        raise ConfigError("segbench.run takes one dataset, and no folds: call it for each, or use the command 'segbench run'.")
    return run_config(parsed, catalog=load_catalog(), listener=listener or Silent(), fresh=fresh)


def profile(
    models: Any,
    dataset: str | None = None,
    *,
    inputs: str | None = None,
    num_classes: int | None = None,
    input_size: int | str | None = None,
    latency: bool = True,
    settings: Mapping[str, Any] | None = None,
    backends: str | Sequence[str] | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> RunResult:
    """Params, multiply-adds, latency and memory of models in their deployed form, without training, as ``segbench profile`` does.

    >>> from torch import nn
    >>> inline = {"execute.where": "inline"}
    >>> result = profile(nn.Conv2d(3, 4, 1), inputs="image=3", num_classes=4, input_size=32, latency=False, settings=inline, device="cpu")
    >>> result.cells[0].params, result.cells[0].macs
    (16, 12288)
    """
    names = ",".join(_models(models) or ())
    texts = [f"{key}={value}" for key, value in (settings or {}).items()]
    texts += [f"measure.input_size={input_size}"] if input_size is not None else []
    texts += [] if latency else ["measure.latency=false", "measure.memory=false"]
    return profile_models(
        names,
        catalog=load_catalog(),
        listener=listener or Silent(),
        dataset=dataset,
        inputs=inputs,
        num_classes=num_classes,
        settings=texts,
        device=device,
        backends=",".join(_texts(backends) or ()) or None,
    )


def evaluate(
    trained: str | Path,
    dataset: Any = None,
    *,
    data: str | Path | None = None,
    classes: Sequence[str] | None = None,
    split: str | None = None,
    image_size: int | str | None = None,
    class_map: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    listener: Listener | None = None,
) -> RunResult:
    """Score trained networks again, as ``segbench evaluate`` does.

    ``trained`` is a run, ``RUN/CELL``, or a checkpoint, whose scores are written to ``out`` where that is given.
    """
    networks = find_trained(str(trained))
    texts = [f"{key}={value}" for key, value in (settings or {}).items()]
    texts += [f"eval.split={split}"] if split else []
    texts += [f"eval.image_size={image_size}"] if image_size is not None else []
    given = {"data": data and str(data), "device": device, "dataset": _dataset(dataset, classes), "eval.class_map": class_map}
    flags = {key: value for key, value in given.items() if value}
    catalog, follower = load_catalog(), listener or Silent()
    if networks.networks[0].run is not None and Path(networks.text).expanduser().is_dir():
        if out is not None:
            raise ConfigError("out goes with a checkpoint: the scores of a run are kept in its own directory, under evaluations/.")
        return evaluate_run(networks, catalog=catalog, listener=follower, sets=texts, flags=flags)[0]
    if out is not None:
        require_empty_folder(Path(out))
    with tempfile.TemporaryDirectory(prefix="segbench-evaluate-") as folder:
        place = Path(out) if out is not None else Path(folder)
        result = evaluate_checkpoint(networks.only().file, catalog=catalog, listener=follower, out=place, sets=texts, flags=flags)
    if out is not None:
        write_result(result, Path(out), catalog)
    return result


def score(
    folders: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    dataset: Any,
    *,
    data: str | Path | None = None,
    classes: Sequence[str] | None = None,
    split: str | None = None,
    class_map: str | None = None,
    mask_classes: str | None = None,
    colours: str | None = None,
    resize: Literal["nearest"] | None = None,
    partial: bool = False,
    metrics: Sequence[str] = (),
    out: str | Path | None = None,
) -> RunResult:
    """Score folders of predicted masks, as ``segbench score`` does: one mask for each image of the split.

    ``folders`` is a folder, several, or a mapping of names to them. ``mask_classes`` are the classes that the masks' ids mean
    (``--classes``), ``colours`` those of masks in colours, ``metrics`` names of plugins' metrics.
    Results are written to ``out`` where that is given.
    """
    from segbench.execution.masks.subjects import MaskOptions
    from segbench.execution.score import score_masks

    if isinstance(folders, Mapping):
        named: list[str | Path] = [f"{name}={folder}" for name, folder in folders.items()]
    else:
        named = [folders] if isinstance(folders, str | Path) else list(folders)
    options = MaskOptions(class_map=class_map, classes=mask_classes, colours=colours, resize=resize, partial=partial)
    if out is not None:
        require_empty_folder(Path(out))
    catalog, name = _offer_dataset(dataset, classes)
    with tempfile.TemporaryDirectory(prefix="segbench-score-") as folder:
        directory = Path(out).absolute() if out is not None else Path(folder)
        where: dict[str, Any] = {"dataset": name, "data": data, "split": split}
        return score_masks(named, **where, catalog=catalog, directory=directory, options=options, metrics=metrics)


def _offer_dataset(dataset: Any, classes: Sequence[str] | None) -> tuple[Catalog, str]:
    name = _dataset(dataset, classes)
    if name is None:
        raise ConfigError("masks are scored against a dataset: name one, or give a dataset object.")
    return load_catalog(), name


def _models(models: Any) -> list[str] | None:
    """Names of models with their labels; objects are offered as specs."""
    if models is None:
        return None
    if isinstance(models, Mapping):
        return [f"{label}={one}" if isinstance(one, str) else _offered(model_object(one, str(label))) for label, one in models.items()]
    if isinstance(models, str):
        return _texts(models)
    several = models if isinstance(models, Iterable) and not callable(models) else [models]
    return [one if isinstance(one, str) else _offered(model_object(one)) for one in several]


def _dataset(dataset: Any, classes: Sequence[str] | None) -> str | None:
    if dataset is None or isinstance(dataset, str):
        if classes:
            raise ConfigError("classes name those of a dataset object; a dataset that is named has its own (folder[classes=(..)]).")
        return dataset
    return _offered(dataset_object(dataset, classes=classes))


def _offered(one: ObjectSpec) -> str:
    offer(one)
    return one.spec.name


def _texts(value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [part.strip() for part in split_outside(value)] if isinstance(value, str) else list(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
