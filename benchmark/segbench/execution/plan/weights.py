"""Files of weights that a run's models start from or are taken with: looked up and checked before anything runs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.config.run_config import RunConfig
from segbench.data.selection import same_dataset
from segbench.errors import CheckpointError, ConfigError, SegbenchError, did_you_mean
from segbench.execution.plan.cell import Cell, StartingWeights
from segbench.execution.plan.sources import find_network
from segbench.plugin.choice import parse_choice
from segbench.plugin.chosen import Chosen
from segbench.plugin.class_map import match_classes
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import DatasetSpec, ModelSpec, Task
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from torch import nn

    from segbench.networks.checkpoint_meta import CheckpointMeta
    from segbench.networks.weights_file import WeightsFile  # it needs torch, which a plan does not


def files_by_model(config: RunConfig) -> dict[str, str]:
    """The file that ``--weights`` gives each model; named as in ``--models``, by its label, or by its name alone.

    Raises :class:`ConfigError` for a name that no model of the run has.
    """
    return {_model_named(name, config.models): file for name, file in config.weights.items()}


def _model_named(name: str, models: Sequence[str]) -> str:
    choices = {model: parse_choice(model, labels=True) for model in models}
    fitting = [model for model, choice in choices.items() if name in (model, choice.label, str(choice))]
    fitting = fitting or [model for model, choice in choices.items() if choice.name == name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConfigError(
            f"--weights {name}=..: {counted(len(fitting), 'model')} of this run have that name. Write the whole one: '{fitting[0]}=FILE'."
        )
    raise ConfigError(f"--weights {name}=..: this run has no such model.{did_you_mean(name, models)} Its models: {', '.join(models)}.")


def starting_weights(text: str, *, partial: bool, complete: bool) -> StartingWeights:
    """The weights behind FILE, RUN or RUN/CELL. Raises :class:`SegbenchError` kin where there are none and the plan is ``complete``."""
    path = Path(text).expanduser()
    if path.is_file():
        return StartingWeights(text, path.absolute(), partial)
    try:
        return StartingWeights(text, find_network(text, "--weights").file, partial)
    except SegbenchError:
        if complete:
            raise
        return StartingWeights(text, path.absolute(), partial)


def meta_of(weights: StartingWeights, *, complete: bool) -> CheckpointMeta | None:
    """What a checkpoint of segbench says of its network; None for any other file, and for a bad one where the plan is not ``complete``."""
    try:
        return _read(weights.file).meta
    except CheckpointError as error:
        if complete:
            raise CheckpointError(f"--weights: {error}") from error
        return None


def inputs_as_trained(inputs: InputPlan, meta: CheckpointMeta) -> InputPlan:
    """The input plan with the normalisation that a checkpoint's network was trained with."""
    if meta.plan.groups != inputs.groups:
        return inputs
    return InputPlan(inputs.groups, inputs.channels, {**inputs.normalisation, **meta.plan.normalisation}, inputs.early_fusion)


def history(meta: CheckpointMeta, dataset: Chosen[DatasetSpec]) -> dict[str, str | None]:
    """The splits of this dataset on which a checkpoint was trained and selected, as ``[train]`` names them; empty where it was not."""
    if meta.train_split is None or not same_dataset(meta.dataset, dataset):
        return {}
    return {"split": meta.train_split, "select_on": meta.select_on}


def check_weights(cells: Sequence[Cell]) -> None:
    """Raise :class:`SegbenchError` kin for a file that does not fit its model, or whose classes are not the dataset's."""
    checked = set()
    for cell in cells:
        weights = cell.weights
        if weights is None or (key := (str(cell.model), str(cell.model.options), weights)) in checked:
            continue
        checked.add(key)
        _check(cell, weights)


def _check(cell: Cell, weights: StartingWeights) -> None:
    from segbench.networks.weights import fit_weights, require_fit

    file = _read(weights.file)
    if file.meta is not None and cell.settings.train.as_given:
        own, names = file.meta.task.class_names, cell.task.class_names
        match_classes(own, names, cell.settings.eval.class_map, source=f"'{weights.text}'", target=f"dataset '{cell.dataset}'")
    model = _blank_model(cell.model, cell.model_task)
    if model is not None:
        require_fit(fit_weights(model, file), weights.file, partial=weights.partial, subject=str(cell.model))


def _blank_model(chosen: Chosen[ModelSpec], task: Task) -> nn.Module | None:
    """The network without values where it can be built so; None for one that cannot be built, which its cell will say."""
    import torch

    from segbench.networks.checkpoint_meta import options_without_download
    from segbench.networks.network import build_network

    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                return build_network(chosen.spec, task, options_without_download(chosen.options), seed=0).model
        except Exception:  # a plugin's build may raise anything, and some need values
            continue
    return None


def _read(path: Path) -> WeightsFile:
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _read_once(path, stamp)


@functools.lru_cache(maxsize=16)
def _read_once(path: Path, modified: int) -> WeightsFile:
    from segbench.networks.weights_file import read_weights
    from segbench.util.compat import require_torch

    require_torch()
    return read_weights(path, mapped=True)


def absolute_files(weights: Mapping[str, str]) -> dict[str, str]:
    """Files by model as a run in another folder finds them."""
    return {model: str(Path(file).expanduser().absolute()) for model, file in weights.items()}
