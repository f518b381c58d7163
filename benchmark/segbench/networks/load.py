"""Networks loaded from checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.errors import CheckpointError, SegbenchError
from segbench.networks.checkpoint_meta import CheckpointMeta, without_download
from segbench.networks.checkpoints import load_model_state, read_own_checkpoint
from segbench.networks.derive import derive_model, rebuild_network
from segbench.networks.network import Network, build_network, input_channels
from segbench.plugin.choice import parse_choice
from segbench.plugin.chosen import Chosen, PartRecord
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import ModelSpec, Normalisation, Task


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network with everything that is needed to run it on its dataset or on another."""

    network: Network
    model: Chosen[ModelSpec]
    task: Task
    model_task: Task
    plan: InputPlan
    meta: CheckpointMeta


def load_network(path: Path, catalog: Catalog) -> LoadedNetwork:
    """Build the network that a checkpoint describes and load its weights; nothing is downloaded.

    Raises :class:`CheckpointError` for a foreign or damaged file, or one whose model has changed since.
    """
    checkpoint, meta = read_own_checkpoint(path)
    try:
        chosen = recorded_model(meta, catalog)
    except SegbenchError as error:
        raise CheckpointError(f"{path} is of the model '{meta.model}': {error}") from error
    if chosen.spec.derives is not None:
        network = rebuild_network(chosen, meta.model_task, checkpoint.model_state, seed=meta.seed)
    else:
        network = build_network(chosen.spec, meta.model_task, chosen.options, seed=meta.seed)
    load_model_state(network.model, checkpoint.model_state, source=str(path))
    return LoadedNetwork(network.eval(), chosen, meta.task, meta.model_task, meta.plan, meta)


def recorded_model(meta: CheckpointMeta, catalog: Catalog) -> Chosen[ModelSpec]:
    """The model with its recorded options, except that no pretrained weights are fetched only to be overwritten."""
    recorded = None if meta.model_parts is None else [_recorded_part(part) for part in meta.model_parts]
    return catalog.model(meta.model_name, without_download(meta.model_options), parts=recorded)


def _recorded_part(part: PartRecord) -> PartRecord:
    """A part of a derived model by its plain name: its recorded options say all that stood in brackets."""
    name = parse_choice(part["model"]).name
    parts = [_recorded_part(one) for one in part["parts"] or ()] or None
    return {"model": name, "options": without_download(part["options"]), "parts": parts}


def derive_network(chosen: Chosen[ModelSpec], task: Task, files: Sequence[Path], *, plan: InputPlan | None = None) -> Network:
    """The network that a derived model makes from trained ones. Raises :class:`CheckpointError` where they cannot go together."""
    derivation = chosen.spec.derives
    assert derivation is not None
    catalog = load_catalog()
    loaded = [load_network(file, catalog) for file in files]
    for base, file in zip(loaded, files, strict=True):
        if base.model_task.num_classes != task.num_classes:
            raise CheckpointError(f"'{file.parent.name}' knows {base.model_task.num_classes} classes, {chosen} needs {task.num_classes}")
        if plan is not None and (base.plan.groups != plan.groups or not same_normalisation(base.plan.normalisation, plan.normalisation)):
            raise CheckpointError(
                f"{chosen}: '{file.parent.name}' was trained on otherwise normalised inputs, and all members see the same tensor. "
                "Choose members whose encoders share a normalisation."
            )
    model = derive_model(derivation, [base.network for base in loaded], task, chosen.options)
    return Network(model, chosen.spec, task.num_classes, channels=input_channels(chosen.spec, task))


def same_normalisation(one: Mapping[str, Normalisation], other: Mapping[str, Normalisation]) -> bool:
    """True where two normalisations give the same values.

    >>> same_normalisation({"image": Normalisation((0.5,), (0.5,))}, {"image": Normalisation((0.5,), (0.25,))})
    False
    """
    return set(one) == set(other) and all(
        abs(a - b) <= 1e-6
        for name in one
        for mine, theirs in ((one[name], other[name]),)
        for a, b in zip((*mine.mean, *mine.std, mine.scale), (*theirs.mean, *theirs.std, theirs.scale), strict=True)
    )
