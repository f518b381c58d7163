"""Train, evaluate and profile one cell, in its worker process or inline; knows nothing of other cells."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segbench.analysis.comparisons.confusions import METRIC_ARRAY
from segbench.config.settings import Settings
from segbench.data.selection import find_dataset, overlapping, same_dataset, scored_split
from segbench.errors import CheckpointError, DataError, PluginError
from segbench.execution.events import Emit, Fields
from segbench.execution.jobs import CellJob
from segbench.execution.plan.cell import measured_size
from segbench.execution.plan.sources import given_weights, trains
from segbench.networks.foreign import collected_remarks, remark, unchanged_process
from segbench.networks.network import DeployedNetwork, Network, build_network, deploy, resize_logits
from segbench.plugin.chosen import Chosen
from segbench.plugin.class_map import ClassMap, match_classes
from segbench.plugin.inputs import InputPlan, plan_inputs
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import (
    AugmentationSpec,
    Counts,
    DatasetSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    Normalisation,
    Sample,
    Task,
    resolve,
)
from segbench.results.records import Quality, Training
from segbench.util.image_size import Size, format_size, parse_size
from segbench.util.sequences import evenly_spaced
from segbench.util.value_range import ValueRange, unlike, value_range

if TYPE_CHECKING:
    from segbench.measure.quality.evaluate import Evaluation
    from segbench.networks.load import LoadedNetwork
    from segbench.training.session import Job as TrainingJob


@dataclass(frozen=True)
class Setup:
    """A job with its names looked up."""

    job: CellJob
    model: Chosen[ModelSpec]
    loss: Chosen[LossSpec] | None
    dataset: Chosen[DatasetSpec]
    settings: Settings
    task: Task
    model_task: Task
    inputs: InputPlan
    device: str
    catalog: Catalog
    emit: Emit

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.job.directory

    @property
    def checkpoints(self) -> Path:
        """The folder of the cell's own checkpoints."""
        return self.directory / "checkpoints" / self.job.cell

    @property
    def checkpoint(self) -> Path:
        """The trained weights: the cell's own, or a file that the job names."""
        return self.job.checkpoint or self.checkpoints / "best.pt"

    def sources(self, role: str) -> tuple[Path, ...]:
        """Checkpoints that the cell is made from, in one role ("part", "teacher")."""
        return self.job.sources.get(role, ())

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, decoded once and cached where the settings allow it."""
        from segbench.data.splits import open_split

        return open_split(self.dataset, self.job.root, split, self.settings.data, digest=self.job.digest, report=self.note)

    def training_samples(self) -> Sequence[Sample]:
        """The samples of the training split, also kept at the training sizes where that changes nothing."""
        from segbench.data.splits import open_training_split

        job, settings = self.job, self.settings
        if self.augmentation is not None and self.augmentation.spec.native:
            return self.samples(settings.train.split)
        return open_training_split(self.dataset, job.root, settings, task=self.task, digest=job.digest, report=self.note)

    @property
    def augmentation(self) -> Chosen[AugmentationSpec] | None:
        """What ``train.augmentation`` names, where a plugin gives it."""
        return self.catalog.augmentation(self.settings.train.augmentation)

    @property
    def metrics(self) -> list[Chosen[MetricSpec]]:
        """The plugins' metrics that ``eval.metrics`` names."""
        return [self.catalog.metric(name) for name in self.settings.eval.metrics]

    def groups(self, split: str, count: int) -> tuple[str, ...] | None:
        """For each of the ``count`` samples of a split the scene it belongs to, where the dataset knows."""
        from segbench.data.splits import split_groups

        try:
            groups = split_groups(self.dataset, self.job.root, split, self.settings.data, digest=self.job.digest)
        except DataError as error:  # no scene is better than a wrong one, and scores do not depend on it
            self.note(f"{error}: they are not used")
            return None
        return groups if groups is None or len(groups) == count else None

    def note(self, message: str) -> None:
        """Tell the user something that does not stop the cell."""
        self.emit("note", {"message": message})


def set_up(job: CellJob, emit: Emit, catalog: Catalog | None = None) -> Setup:
    """Look up what a job names."""
    with unchanged_process("importing plugins"):
        catalog = catalog or load_catalog()
    model = catalog.model(job.model, job.model_options, parts=job.model_parts)
    dataset = find_dataset(catalog, job.dataset)
    task = dataset.spec.make_task(dataset.options, job.root)
    inputs, model_task = plan_inputs(model.spec, task, model.options)
    loss = catalog.loss(job.loss) if job.loss else None
    inputs = inputs.with_normalisation(job.normalisation)
    return Setup(job, model, loss, dataset, job.settings, task, model_task, inputs, job.device, catalog, emit)


def run(job: CellJob, emit: Emit, catalog: Catalog | None = None) -> float:
    """Run the stages that the job names; seconds that were spent on neither training nor evaluation.

    Each stage's result is emitted as it is done, so that a later failure does not lose it.
    """
    started = time.perf_counter()
    with stage("plan"):
        with collected_remarks() as early:
            setup = set_up(job, emit, catalog)
        _set_threads(setup)
    work = 0.0
    for name in job.stages:
        with stage(name):
            emit("stage", {"stage": name})
            begun = time.perf_counter()
            result = _with_notes(name, setup, emit, early)
            work += time.perf_counter() - begun if name in ("train", "evaluate") else 0.0
            emit("result", {"stage": name, **result})
    return time.perf_counter() - started - work


def _with_notes(name: str, setup: Setup, emit: Emit, early: Sequence[str]) -> Fields:
    """A stage's result with what was noticed of the plugin's code; where the stage fails that is emitted by itself."""
    try:
        with collected_remarks() as remarks, unchanged_process(f"a later call during '{name}'"):
            result = _STAGES[name](setup, emit)
    except BaseException:
        emit("result", {"stage": name, "notes": [*early, *remarks]})
        raise
    return {**result, "notes": [*early, *remarks]}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage in any exception that leaves it."""
    try:
        yield
    except BaseException as error:
        if not hasattr(error, "segbench_stage"):
            error.segbench_stage = name  # type: ignore[attr-defined]
        raise


def _train(setup: Setup, emit: Emit) -> Fields:
    from segbench.execution.cells.class_pixels import needed_class_pixels
    from segbench.training.fit import fit

    settings = setup.settings
    select_on = settings.train.select_on
    assert setup.loss is not None
    if not trains(setup.model):
        return _assemble(setup)
    if settings.train.as_given:
        return _take_as_given(setup)
    teachers, samples = setup.sources("teacher"), setup.training_samples()
    training: Training = fit(
        model=setup.model,
        loss=setup.loss,
        task=setup.task,
        model_task=setup.model_task,
        plan=setup.inputs,
        train_samples=samples,
        val_samples=setup.samples(select_on) if select_on else None,
        settings=settings,
        seed=setup.job.seed,
        device=setup.device,
        directory=setup.checkpoints,
        emit=emit,
        identity=setup.job.identity,
        pictures=setup.directory / "predictions" / setup.job.cell / "epochs",
        dataset=str(setup.dataset),
        parts=setup.sources("part"),
        teacher=teachers[0] if teachers else None,
        augmentation=setup.augmentation,
        weights=setup.job.weights,
        partial_weights=setup.job.partial_weights,
        class_pixels=needed_class_pixels(setup.job, samples, loss=setup.loss, dataset=setup.dataset, task=setup.task),
    )
    return {"training": training.model_dump()}


def _assemble(setup: Setup) -> Fields:
    """Put a model together that needs no training."""
    from segbench.training.record import assemble, keep_given_weights

    if setup.model.spec.given is not None:
        return {"training": keep_given_weights(_untrained_job(setup), device=setup.device).model_dump()}
    names = ", ".join(str(part) for part in setup.model.parts)
    return {"training": assemble(_untrained_job(setup), names=names, device=setup.device).model_dump()}


def _take_as_given(setup: Setup) -> Fields:
    """Take a model as its weights are."""
    from segbench.training.record import take_as_given

    return {"training": take_as_given(_untrained_job(setup), device=setup.device).model_dump()}


def _untrained_job(setup: Setup) -> TrainingJob:
    """The inputs of a training that does not take place."""
    from segbench.training.session import Job

    assert setup.loss is not None
    return Job(
        model=setup.model,
        loss=setup.loss,
        task=setup.task,
        model_task=setup.model_task,
        plan=setup.inputs,
        train_samples=(),
        val_samples=() if setup.settings.train.select_on else None,
        settings=setup.settings,
        seed=setup.job.seed,
        directory=setup.checkpoints,
        identity=setup.job.identity,
        dataset=str(setup.dataset),
        parts=setup.sources("part"),
        weights=setup.job.weights,
        partial_weights=setup.job.partial_weights,
    )


def _evaluate(setup: Setup, emit: Emit) -> Fields:
    from segbench.data.visualization import prediction_panel
    from segbench.measure.quality.evaluate import evaluate

    split = scored_split(setup.dataset, setup.settings)
    samples = setup.samples(split)
    trained = trained_network(setup)
    class_map = class_map_of(setup, trained.meta.task)
    uncalibrated = why_uncalibrated(trained)
    trained_elsewhere = setup.job.checkpoint is not None or setup.settings.train.as_given
    if trained_elsewhere and trained.meta.value_ranges is not None and not setup.settings.eval.any_values:
        require_trained_values(samples, trained.meta.value_ranges, f"'{split}' of dataset '{setup.dataset}'")
    wanted = evenly_spaced(len(samples), setup.settings.eval.pictures)
    done = evaluate(
        trained.network,
        samples,
        task=setup.task,
        plan=trained.plan,
        settings=_without_calibration(setup.settings) if uncalibrated else setup.settings,
        device=setup.device,
        want_pictures=wanted,
        detailed=True,
        twice=True,
        class_map=class_map,
        metrics=[chosen.spec for chosen in setup.metrics],
    )
    done.nonfinite.require_none(f"'{split}'")
    if done.differing is not None:
        remark(
            f"two passes over one image differ, in logits by up to {done.differing:.3g}: is dropout or noise active in eval mode? "
            "Scores are of one pass"
        )
    _require_same_deployed(setup, trained.network)
    confusions = setup.directory / "confusions" / f"{setup.job.cell}.npz"
    save_confusions(confusions, done, setup.groups(split, len(samples)))
    folder = setup.directory / "predictions" / setup.job.cell
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for index, prediction in sorted(done.predictions.items()):
        path = folder / f"{_file_name(samples[index].id)}.png"
        prediction_panel(samples[index], prediction, setup.task).save(path)
        pictures.append(path.relative_to(setup.directory).as_posix())
    quality = scored(setup, done, split, trained_on=trained.meta.dataset, class_map=class_map)
    quality = quality.model_copy(update={"ece_reason": uncalibrated}) if uncalibrated else quality
    return {
        "quality": quality.model_dump(),
        "artifacts": {
            "best": _relative(setup, "best.pt"),
            "last": _relative(setup, "last.pt"),
            "confusions": confusions.relative_to(setup.directory).as_posix(),
            "predictions": pictures,
        },
    }


def _require_same_deployed(setup: Setup, network: Network) -> None:
    """Raise :class:`PluginError` where the spec's ``deployed`` makes another network of the trained one: costs would be of that."""
    if not setup.model.spec.deployed:
        return
    from segbench.measure.drift import DriftMeter, differs_from_network

    size, meter = measured_size(setup.settings), DriftMeter()
    inputs = example_inputs(setup.inputs, size, batch_size=1, device=setup.device)
    network = network.to(setup.device).eval()
    with torch.no_grad():
        trained = resize_logits(network(*inputs)["logits"], size)
        meter.add(deploy(network)(*inputs), trained)
    drift = meter.result(size)
    if bool(trained.isfinite().all()) and differs_from_network(drift):
        raise PluginError(
            f"model '{setup.model.spec.name}': 'deployed' gives other logits than the trained network (off by up to {drift.max_abs:.3g}), "
            "so that what is timed would not be what is scored. Let it keep the network's weights and modules."
        )


def why_uncalibrated(trained: LoadedNetwork) -> str:
    """The reason why a network's probabilities mean nothing; empty where they are its own."""
    given = given_weights(trained.model, trained.model_task)
    return given.uncalibrated if given else ""


def _without_calibration(settings: Settings) -> Settings:
    return settings.model_copy(update={"eval": settings.eval.model_copy(update={"calibration": False})})


def class_map_of(setup: Setup, own: Task) -> ClassMap | None:
    """The map from the classes of a network, trained for the task ``own``, to the dataset's; None where they are the same.

    Raises :class:`ConfigError` where names do not match and ``eval.class_map`` does not say what they stand for.
    """
    source, target = "the network", f"dataset '{setup.dataset}'"
    names = setup.task.class_names
    class_map = match_classes(own.class_names, names, setup.settings.eval.class_map, source=source, target=target)
    return None if class_map.is_identity else class_map


def require_trained_values(samples: Sequence[Sample], trained: Mapping[str, ValueRange], what: str) -> None:
    """Raise :class:`DataError` where most images have values unlike those that a network was trained on; a few of them are looked at."""
    from segbench.data.samples import load_sample

    drawn = [load_sample(samples, index) for index in evenly_spaced(len(samples), 9)]
    for name, own in trained.items():
        seen = [value_range([sample.inputs[name].numpy()]) for sample in drawn if name in sample.inputs]
        faults = [(one, why) for one in seen if one is not None and (why := unlike(own, one))]
        if len(faults) > len(seen) // 2:
            one, why = faults[0]
            raise DataError(
                f"{what}: input '{name}' has values of {one}, the network was trained on {own}: {why}. Convert the images, or score them "
                "as they are with --set eval.any_values=true."
            )


def scored(setup: Setup, done: Evaluation, split: str, *, trained_on: str | None, class_map: ClassMap | None = None) -> Quality:
    """The scores of an evaluated split; ``trained_on`` is the dataset that the weights were trained on, by its name."""
    from segbench.measure.quality.evaluate import evaluation_size
    from segbench.measure.quality.plugin_metrics import metric_scores
    from segbench.measure.quality.scores import score

    train = setup.settings.train
    # old checkpoints of segbench do not say on what they were trained: on this dataset; what others were trained on is not known
    seen = same_dataset(trained_on, setup.dataset) and not (train.as_given and trained_on is None)
    trained_on_split, groups = seen and overlapping(setup.dataset, train.split, split), setup.groups(split, len(done.ids))
    quality: Quality = score(
        done.matrices,
        class_names=class_map.class_names if class_map else setup.task.class_names,
        split=split,
        headline=setup.task.headline,
        selected_on=train.select_on if seen and train.select_on and overlapping(setup.dataset, train.select_on, split) else None,
        trained_on=trained_on_split,
        image_size=evaluation_size(setup.settings),
        resize=setup.settings.eval.resize,
        seconds=done.seconds,
        interval=True,
        groups=groups,
        ids=done.ids,
        boundary=done.boundary,
        boundary_uncut=done.boundary_uncut,
        calibration=done.calibration,
    )
    metrics = metric_scores(setup.metrics, done.metrics, done.matrices, trained_on=trained_on_split, groups=groups, ids=done.ids)
    return quality.model_copy(update={"metrics": metrics})


def _profile(setup: Setup, emit: Emit) -> Fields:
    from segbench.measure.counts import profile_network

    size = measured_size(setup.settings)
    if counts := declared_counts(setup, size):
        return {"profile": _counted_elsewhere(setup, counts, size)}
    network = build_network(setup.model.spec, setup.model_task, setup.model.options, seed=0)
    inputs = example_inputs(setup.inputs, size, batch_size=1)
    # a plugin's deployed() may take parts off in place: what was trained is counted on a copy
    trained, deployed = copy.deepcopy(network), deploy(network)
    if deployed.kept_auxiliary:
        setup.note(
            f"auxiliary outputs are counted and measured with the model ({deployed.kept_auxiliary}). "
            "Give 'deployed' in its ModelSpec, a function that drops them."
        )
    # parts are prefixes of the plugin's own model
    parts = {part: tuple(f"network.model.{prefix}" for prefix in prefixes) for part, prefixes in setup.model.spec.parts.items()}
    fields = profile_network(deployed, inputs, parts=parts, trained=trained).fields()
    return {"profile": {**fields, "macs_at_sizes": _macs_at_sizes(setup, deployed)}}


def declared_counts(setup: Setup, size: Size) -> Counts | None:
    """The model's own counts for one image of ``size``; None where its operations run in PyTorch and are counted there."""
    spec = setup.model.spec
    counts: Counts | None = resolve(spec.counts)(setup.model_task, setup.model.options, size) if spec.counts else None
    return counts


def _counted_elsewhere(setup: Setup, counts: Counts, size: Size) -> Fields:
    at_sizes = {text: declared_counts(setup, parse_size(text)) for text in setup.settings.measure.input_sizes or ()}
    return {
        "params": counts.params,
        "params_trained": counts.params,
        "params_trainable": None if counts.params is None else 0,
        "params_per_part": {},
        "size_mb": counts.size_mb,
        "macs": counts.macs,
        "macs_at_sizes": {format_size(parse_size(text)): one.macs for text, one in at_sizes.items() if one and one.macs is not None},
        "flops": None if counts.macs is None else 2 * counts.macs,
        "fvcore_flops": None,
        "fvcore_error": "its operations do not run in PyTorch modules",
        "uncounted_ops": None,
        "input_shape": [[1, channels, *size] for channels in setup.inputs.channels],
        "counts_missing": counts.missing or None,
    }


def _macs_at_sizes(setup: Setup, network: DeployedNetwork) -> dict[str, int]:
    """Multiply-adds of one image at each size that is swept; none where some cannot be counted."""
    from segbench.measure.macs import trace_macs

    sizes = [parse_size(size) for size in setup.settings.measure.input_sizes or ()]
    totals = {format_size(size): trace_macs(network, example_inputs(setup.inputs, size, batch_size=1)).total for size in sizes}
    return {size: total for size, total in totals.items() if total is not None}


_STAGES: dict[str, Callable[[Setup, Emit], Fields]] = {"train": _train, "evaluate": _evaluate, "profile": _profile}


def trained_network(setup: Setup) -> LoadedNetwork:
    """The network with the weights of the cell's best checkpoint, and the input plan that it was trained with."""
    from segbench.networks.load import load_network

    path = setup.checkpoint
    if not path.exists():
        raise CheckpointError(f"'{path}' does not exist: the cell has not been trained here")
    return load_network(path, setup.catalog)


def example_inputs(inputs: InputPlan, size: tuple[int, int], *, batch_size: int, device: str = "cpu") -> tuple[torch.Tensor, ...]:
    """Random inputs (N, C, H, W) as the network gets them after normalisation; the same values each time."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch_size, channels, *size, generator=generator).to(device) for channels in inputs.channels)


def statistics(job: CellJob, emit: Emit, catalog: Catalog | None = None) -> dict[str, Normalisation]:
    """Mean and deviation of the inputs for which the dataset declares none, from the training split."""
    from segbench.data.channel_statistics import compute_normalisation

    with stage("plan"):
        setup = set_up(job, emit, catalog)
        missing = setup.inputs.missing_normalisation()
        return dict(compute_normalisation(setup.samples(setup.settings.train.split), setup.task, missing))


def _set_threads(setup: Setup) -> None:
    if setup.settings.measure.threads:
        torch.set_num_threads(setup.settings.measure.threads)


def save_confusions(path: Path, done: Evaluation, groups: Sequence[str] | None) -> None:
    """Write what comparisons between cells need: ids, matrices and, where known, groups, boundary counts and metrics of each image."""
    import io

    from segbench.util.files import write_atomic

    buffer = io.BytesIO()
    further: dict[str, Any] = {
        **{f"{METRIC_ARRAY}{name}": values.per_image for name, values in done.metrics.items()},
        "groups": None if groups is None else np.asarray(groups),
        "boundary": done.boundary,
        "boundary_uncut": done.boundary_uncut,
    }
    known = {name: values for name, values in further.items() if values is not None}
    np.savez_compressed(buffer, ids=np.asarray(done.ids), matrices=done.matrices, **known)
    write_atomic(path, buffer.getvalue())


def _relative(setup: Setup, name: str) -> str | None:
    path = setup.checkpoints / name
    return path.relative_to(setup.directory).as_posix() if path.exists() else None


def _file_name(sample_id: str) -> str:
    from segbench.plugin.choice import slug

    return slug(sample_id)
