"""The session of a training: its state from epoch to epoch, started, saved and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from segbench.config.settings import Settings
from segbench.data.class_pixels import ClassPixels
from segbench.errors import CheckpointError, TrainingError
from segbench.networks.checkpoint_meta import CheckpointMeta, options_without_download
from segbench.networks.checkpoints import Checkpoint, differing_keys, load_model_state, plain, read_checkpoint, write_checkpoint
from segbench.networks.derive import rebuild_network
from segbench.networks.load import derive_network
from segbench.networks.losses import AppliedLoss, build_loss
from segbench.networks.network import Network, build_network
from segbench.networks.weights import load_weights, start_from
from segbench.plugin.chosen import Chosen
from segbench.plugin.class_weights import has_rules, with_class_weights
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import AugmentationSpec, LossSpec, ModelSpec, Sample, Task
from segbench.results.records import ClassWeights, Epoch
from segbench.training.distributed import Precision, choose_precision, make_fabric
from segbench.training.frozen import freeze, hold_in_eval
from segbench.training.optimizers import build_optimizer, describe_optimizer, parameter_groups, rate_notes
from segbench.training.schedules import Plateau, Stopping
from segbench.training.teacher import load_teacher
from segbench.util.distributed import ProcessRank, barrier, share_state
from segbench.util.image_size import parse_growing_size
from segbench.util.plain_data import Plain
from segbench.util.sequences import counted
from segbench.util.value_range import ValueRange


@dataclass(frozen=True)
class Job:
    """The inputs of one training, the same in every process."""

    model: Chosen[ModelSpec]
    loss: Chosen[LossSpec]
    task: Task
    model_task: Task
    plan: InputPlan
    train_samples: Sequence[Sample]
    val_samples: Sequence[Sample] | None
    settings: Settings
    seed: int
    directory: Path
    identity: Mapping[str, Plain]
    pictures: Path | None = None
    dataset: str | None = None
    parts: tuple[Path, ...] = ()
    """checkpoints of what a derived model is made of; without them its architecture is built with fresh weights"""
    teacher: Path | None = None
    weights: Path | None = None
    """file of weights that the model starts from, or is taken with where nothing is trained"""
    partial_weights: bool = False
    class_pixels: ClassPixels | None = None
    """pixels of each class in each training image, where the loss or the sampler asks for them"""
    augmentation: Chosen[AugmentationSpec] | None = None
    """what ``train.augmentation`` names, where a plugin gives it"""


@dataclass
class State:
    """The plain data of a training: saved with it, and the source of its record."""

    stopping: Stopping
    plateau: Plateau = field(default_factory=Plateau)
    epochs_done: int = 0
    steps_done: int = 0
    history: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0
    validation_seconds: float = 0.0
    stopped: str | None = None
    notes: list[str] = field(default_factory=list)
    nondeterministic: list[str] = field(default_factory=list)
    weights: dict[str, Any] | None = None
    """what was loaded from the job's file of weights, as the record of the training has it"""

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["history"] = [row.model_dump(mode="json") for row in self.history]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> State:
        return cls(
            **{
                **{key: value for key, value in values.items() if key != "images"},  # which earlier versions kept
                "stopping": Stopping(**values["stopping"]),
                "plateau": Plateau(**values["plateau"]),
                "history": [Epoch(**row) for row in values["history"]],
            }
        )


@dataclass
class Session:
    """The live objects of one process."""

    job: Job
    process: ProcessRank
    fabric: Fabric
    precision: Precision
    network: Network
    wrapped: Any
    """the network as Fabric knows it; it is not called, as it would turn inputs into half precision before the network sees them"""
    loss: AppliedLoss
    optimizer: Any
    state: State
    optimizer_name: str = ""
    frozen: Sequence[torch.nn.Module] = ()
    """modules that stay in eval mode while the others are trained"""
    average: Any = None
    """the moving average of the network (``ModelEmaV3``), where ``train.ema`` asks for one"""
    class_weights: Sequence[ClassWeights] = ()
    value_ranges: Mapping[str, ValueRange] | None = None

    @property
    def result(self) -> Network:
        """The network that is validated and kept: the moving average where there is one."""
        averaged: Network = self.network if self.average is None else self.average.module
        return averaged

    @property
    def trainable_params(self) -> int:
        """Parameters of the network that are trained."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def start_training(self) -> None:
        """Put the network in training mode, but for what is frozen."""
        self.network.train()
        hold_in_eval(self.frozen)

    def update_average(self, step: int) -> None:
        """Take the weights after optimiser step ``step`` (from 1) into the moving average."""
        if self.average is not None:
            self.average.update(self.network, step=step)

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """The parameters of the network and of the loss that are trained."""
        return [p for p in [*self.network.parameters(), *self.loss.parameters()] if p.requires_grad]

    @property
    def best_path(self) -> Path:
        return self.job.directory / "best.pt"

    @property
    def last_path(self) -> Path:
        return self.job.directory / "last.pt"

    def save(self, *, best: bool) -> None:
        """Write ``best.pt`` (where this epoch is the best) and then ``last.pt``: a kill between them repeats one epoch, no more."""
        if self.process.first:
            if best:
                self.save_best()
            write_checkpoint(self.last_path, self._checkpoint(self._training_state()))
        barrier(self.process)

    def save_best(self) -> None:
        """Write the weights as they are now to ``best.pt``."""
        write_checkpoint(self.best_path, self._checkpoint({}))

    def _checkpoint(self, training: Mapping[str, Any]) -> Checkpoint:
        score = self.state.stopping.best_score if not training else None
        meta = replace(describe_job(self.job), epoch=self.state.epochs_done, val_miou=score, value_ranges=self.value_ranges)
        network = self.network if training else self.result
        return Checkpoint(network.model.state_dict(), meta, self.job.identity, training)

    def _training_state(self) -> dict[str, Any]:
        scaler = self.fabric.strategy.precision.state_dict()
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler,
            "loss": self.loss.module.state_dict() if self.loss.module else {},
            "state": self.state.to_dict(),
            **({"average": self.average.module.model.state_dict()} if self.average is not None else {}),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from ``last.pt``."""
        load_model_state(self.network.model, checkpoint.model_state, source=str(self.last_path))
        training = checkpoint.training
        if self.average is not None:
            load_model_state(self.average.module.model, training["average"], source=str(self.last_path))
        if self.loss.module:
            self.loss.module.load_state_dict(training["loss"])
        self.optimizer.load_state_dict(training["optimizer"])
        self.fabric.strategy.precision.load_state_dict(training["scaler"])
        self.state = State.from_dict(training["state"])


def describe_job(job: Job) -> CheckpointMeta:
    """The ``meta`` of a job's checkpoints, but for the epoch."""
    train = job.settings.train
    return CheckpointMeta(
        model=str(job.model),
        model_name=job.model.spec.name,
        model_options=job.model.options.values(),
        model_parts=job.model.parts_record() or None,
        model_plugin=job.model.code.identity,
        loss=str(job.loss),
        task=job.task,
        model_task=job.model_task,
        plan=job.plan,
        image_size=parse_growing_size(train.image_size)[-1][1],
        seed=job.seed,
        dataset=job.dataset,
        train_split=train.split,
        select_on=train.select_on if job.val_samples is not None else None,
    )


def open_session(job: Job, process: ProcessRank) -> Session:
    """A fresh session, or the one that ``last.pt`` holds where it was written under the same identity."""
    settings, device = job.settings.train, torch.device(process.device)
    precision = choose_precision(settings.precision, device)
    fabric = make_fabric(process, precision)
    previous, notes = _read_previous(job)
    network = build_job_network(job, previous)
    chosen_loss, weights = _numeric_loss(job)
    loss = build_loss(
        chosen_loss,
        job.task,
        aux_weights=job.model.spec.aux_weights,
        seed=job.seed,
        device=device,
        teacher=load_teacher(job.teacher, task=job.task, plan=job.plan, device=device) if job.teacher else None,
    )
    loaded = None
    if previous is None and job.weights:
        record, _ = load_weights(network.model, job.weights, partial=job.partial_weights, subject=str(job.model))
        loaded = record.model_dump()
    elif previous is None and settings.init_from:
        notes += start_from(Path(settings.init_from), network.model, head=job.model.spec.head, class_names=job.task.class_names)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    network.to(device)
    if settings.compile:
        network.compile()
    share_state(network, process)
    parts = job.model.spec.parts
    frozen = freeze(network.model, settings.freeze, parts=parts)
    _require_trainable(network, loss, settings.epochs)
    average = _moving_average(network, settings.ema) if settings.ema else None
    groups = parameter_groups(network.model, loss.parameters(), settings, parts=parts)
    optimizer = build_optimizer(groups, settings, device=device)
    optimizer_name = describe_optimizer(optimizer, settings)
    wrapped, own_optimizer = fabric.setup(network, optimizer)
    state = State(Stopping(settings.patience), notes=[*notes, *rate_notes(settings)], weights=loaded)
    session = Session(
        job, process, fabric, precision, network, wrapped, loss, own_optimizer, state, optimizer_name, frozen, average, weights
    )
    if previous is not None:
        session.restore(previous)
    barrier(process)
    return session


def _require_trainable(network: Network, loss: AppliedLoss, epochs: int) -> None:
    """Raise :class:`TrainingError` where epochs are to be trained and nothing can be."""
    name, own = network.spec.name, list(network.parameters())
    if not epochs or any(p.requires_grad for p in [*own, *loss.parameters()]):
        return
    fault = f"all {len(own)} parameters of model '{name}' are frozen" if own else f"model '{name}' has no parameters"
    remedy = "Leave requires_grad of what is to be trained on in build" if own else "Keep weights as nn.Parameter, not as buffers"
    raise TrainingError(f"{fault}: there is nothing to train in {counted(epochs, 'epoch')}. {remedy}.")


def _numeric_loss(job: Job) -> tuple[Chosen[LossSpec], list[ClassWeights]]:
    """The loss with class weights in numbers, and those that were computed for it."""
    if job.class_pixels is not None:
        return with_class_weights(job.loss, job.class_pixels.sum(axis=0).tolist())
    if has_rules(job.loss, job.task.num_classes):
        raise TrainingError(f"loss '{job.loss}' computes class weights, and the pixels of the training split were not counted")
    return job.loss, []


def _moving_average(network: Network, decay: float) -> Any:
    """timm's moving average of weights and running statistics; counters are copied.

    After step n the decay is ``min(decay, 1 - n ** (-2/3))``, so that the first step's weights take the place of the untrained ones
    and short trainings do not end with an average of their beginning.
    """
    from timm.utils.model_ema import ModelEmaV3

    average = ModelEmaV3(network, decay=decay, use_warmup=True)
    average.requires_grad_(False)
    return average


def build_job_network(job: Job, previous: Checkpoint | None = None) -> Network:
    """A fresh network, or one derived from trained ones, which resuming does not need any more."""
    if job.model.spec.derives is None or not job.parts:
        # no pretrained weights are fetched only to be overwritten
        options = options_without_download(job.model.options) if job.weights and not job.partial_weights else job.model.options
        return build_network(job.model.spec, job.model_task, options, seed=job.seed)
    if previous is not None:
        return rebuild_network(job.model, job.model_task, previous.model_state, seed=job.seed)
    return derive_network(job.model, job.model_task, job.parts)


def _read_previous(job: Job) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to resume from, or None and a note with the reason."""
    last, best = job.directory / "last.pt", job.directory / "best.pt"
    if not last.exists():
        return None, []
    try:
        checkpoint = read_checkpoint(last)
        changed = differing_keys(checkpoint.identity, plain(job.identity))
        if changed or not checkpoint.training:
            return None, [f"started over: {last.name} was trained under other settings ({', '.join(changed[:5]) or 'no training state'})"]
        if checkpoint.training["state"]["stopping"]["best_epoch"] is not None:
            read_checkpoint(best)
    except CheckpointError as error:
        return None, [f"started over: {error}"]
    return checkpoint, []
