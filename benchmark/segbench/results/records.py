"""What a run produces, as data: the schema of ``run.json`` (version 1).

None always means "not measured". Units stand in the names; MB is 2**20 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, KeysView, Sequence
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from segbench.util.sequences import counted

SCHEMA_VERSION = 1

AS_GIVEN = "as given"
"""What stands in place of a loss for a network that was not trained."""

Status = Literal["ok", "failed", "skipped", "interrupted", "pending"]
ComparisonVerdict = Literal["faster", "slower", "better", "worse", "less", "more", "no difference shown", "cannot tell"]
ComparisonAxis = Literal["model", "loss", "recipe", "settings", "variant", "form"]


class Record(BaseModel):
    """Base of all result records: unknown keys of newer minor versions are kept."""

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="null", protected_namespaces=())


class SparseRecord(Record):
    """Base of records that are written with the keys that were set, and no others.

    Keys can also be read as those of a mapping, ``task["num_classes"]``, as in earlier versions, where these records were mappings.
    """

    @model_serializer(mode="wrap")
    def _set_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def without(self, *keys: str) -> Self:
        """A copy in which ``keys`` are not set."""
        return self.model_validate(self.model_dump(exclude=set(keys)))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default`` where it is not set."""
        return self._mapping().get(key, default)

    def keys(self) -> KeysView[str]:
        """The keys that are set."""
        return self._mapping().keys()

    def items(self) -> ItemsView[str, Any]:
        """The keys that are set, with their values."""
        return self._mapping().items()

    def _mapping(self) -> dict[str, Any]:
        return {key: value for key, value in self if key in self.model_fields_set}

    def __getitem__(self, key: str) -> Any:
        return self._mapping()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.model_fields_set


class ErrorInfo(Record):
    """Why a cell failed: a stage (plan, train, evaluate, ..), a kind (error, out-of-memory, timeout, killed, ..) and words."""

    stage: str = Field(description="where it happened: plan, train, evaluate, deploy, ..")
    kind: str = Field(description="error, out-of-memory, timeout, killed, ..")
    message: str = Field(description="what happened")
    advice: str = Field("", description="what to do about it")
    traceback: str | None = Field(None, description="Python's traceback")


class Epoch(Record):
    """One row of ``training.history``. Losses are means over valid pixels; ``val_*`` is null where no validation was run."""

    epoch: int = Field(description="counted from 1")
    train_loss: float | None = Field(None, description="mean over the valid pixels of the epoch")
    loss_parts: dict[str, float] = Field(default_factory=dict, description="means of the loss's named parts")
    learning_rate: float | None = Field(None, description="at the end of the epoch")
    val_loss: float | None = Field(None, description="mean over the valid pixels of the validation split; null where none was run")
    val_miou: float | None = Field(None, description="share, 0 to 1; null where no validation was run")
    val_classes_averaged: int | None = Field(None, description="how many classes val_miou is over: those with label pixels there")
    val_classes: int | None = Field(None, description="how many classes the task has")
    val_only_class: str | None = Field(None, description="the class that every labelled pixel is predicted as, where there is such a one")
    train_miou: float | None = Field(None, description="share, 0 to 1, of the batches as they were trained on")
    gradient_norm: float | None = Field(None, description="mean over the steps, before clipping")
    seconds: float | None = Field(None, description="of training, without validation")
    images_per_second: float | None = Field(None, description="while training")
    other_cpu_share: float | None = Field(
        None,
        description="share, 0 to 1, of the machine's CPU that other programs used, or the host of a virtual machine took away, "
        "while it trained; null where that cannot be seen",
    )
    other_gpu_processes: int | None = Field(
        None, description="other processes that held the GPU at the end of the epoch; null where they cannot be seen"
    )
    image_size: tuple[int, int] | None = Field(None, description="height and width in pixels")


class Diagnosis(Record):
    """What the curves say: kind, the evidence and the remedy."""

    kind: str = Field(description="unstable, oscillating, flat, no gain, plateau, overfitting, underfitting, healthy or too short")
    message: str = Field(description="the evidence")
    remedy: str = Field("", description="what may help")
    source: str = Field("", description="who says so")


class ClassWeights(Record):
    """Weights of classes that a loss computed by a rule, in the order of the task's classes."""

    rule: str = Field(description="inverse (frequency) or effective (number of pixels, Cui et al., CVPR 2019)")
    beta: float | None = Field(None, description="of the effective number: (N - 1) / N with N pixels of a class on average")
    pixels: list[int] = Field(description="labelled pixels of each class in the training split")
    weights: list[float] = Field(description="weight of each class; their mean over the pixels is 1")


class LoadedWeights(Record):
    """What a network took from a file of weights."""

    file: str = Field(description="name of the file")
    digest: str | None = Field(None, description="sha256 of the file, its first 16 digits")
    state: str | None = Field(
        None, description="where in the file they lie, such as state_dict or ema.module; null: the file is a state dict"
    )
    rule: str | None = Field(None, description="how names were changed to be those of the network; null: not at all")
    share: float = Field(1.0, description="share, 0 to 1, of the network's values that came from the file")
    tensors: int | None = Field(None, description="how many were loaded")
    not_loaded: list[str] = Field(
        default_factory=list, description="tensors of the network that the file lacks or has in another shape, the first 50"
    )
    not_loaded_count: int = Field(0, description="how many the network has beyond those loaded")
    left_over: list[str] = Field(default_factory=list, description="tensors in the file that the network does not have, the first 50")
    left_over_count: int = Field(0, description="how many the file has beyond those loaded")

    @property
    def words(self) -> str:
        """What was loaded as part of a sentence."""
        how = [*([f"'{self.state}' in it"] if self.state else []), *([self.rule] if self.rule else [])]
        text = f"weights from {self.file}" + (f" ({', '.join(how)})" if how else "")
        if self.not_loaded_count or self.left_over_count:
            text += f", {100 * self.share:.3g} % of the network's values loaded"
            text += _named("; not loaded", self.not_loaded, self.not_loaded_count)
            text += _named("; left over in the file", self.left_over, self.left_over_count)
        return text


def _named(what: str, names: Sequence[str], count: int, most: int = 3) -> str:
    more = f" and {count - most} more" if count > most else ""
    return f"{what}: {', '.join(names[:most])}{more}" if count else ""


class Training(Record):
    """How training went. ``seconds`` is training time without validation; ``peak_memory_mb`` is of the whole training stage."""

    epochs_run: int = Field(0, description="epochs that were finished")
    as_given: bool = Field(False, description="the network was taken as its weights were: nothing was trained here")
    weights: LoadedWeights | None = Field(
        None, description="what came from the file of weights that was given for the model; null: no such file was given"
    )
    best_epoch: int | None = Field(None, description="the epoch whose weights were kept")
    best_score: float | None = Field(None, description="share, 0 to 1: mIoU on the split that chose the checkpoint")
    select_on: str | None = Field(None, description="the split that chose the checkpoint; null: the last one was kept")
    seconds: float | None = Field(None, description="of training, without validation")
    validation_seconds: float | None = Field(None, description="of all validations")
    images_per_second: float | None = Field(None, description="while training: median over the epochs without the first")
    peak_memory_mb: float | None = Field(None, description="MB of 2**20 bytes, of the whole training stage")
    device: str | None = Field(None, description="where it was trained")
    precision: str | None = Field(None, description="bf16, fp16 or off")
    batch_size: int | None = Field(None, description="images in one batch")
    accumulate: int | None = Field(
        None, description="batches in one step of the optimiser: one large batch only where the loss is a mean over pixels"
    )
    world_size: int | None = Field(None, description="processes that trained together")
    optimizer: str | None = Field(None, description="the optimiser's class, and its momentum where it has one; null: AdamW")
    class_weights: list[ClassWeights] = Field(
        default_factory=list,
        description="weights that the loss computed from the training split; empty where it has numbers, or none",
    )
    trainable_params: int | None = Field(None, description="parameters that were trained, without frozen ones")
    stopped: str | None = Field(None, description="why it stopped before the last epoch")
    nondeterministic: list[str] = Field(default_factory=list, description="operations that are not deterministic on this device")
    protocol_changed: str | None = Field(None, description="what was changed on the way, such as a halved batch")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")
    history: list[Epoch] = Field(default_factory=list, description="one row for each epoch")
    diagnosis: list[Diagnosis] = Field(default_factory=list, description="what the curves say")

    @property
    def start_words(self) -> str:
        """What the network started from, or was taken as; empty for one that the model's own weights were trained from."""
        if self.as_given:
            built = "no file of weights was named, they are those that the model has when it is built"
            return f"as given, nothing was trained: {self.weights.words if self.weights else built}"
        return f"started from {self.weights.words}" if self.weights else ""


class ReliabilityBin(Record):
    """Valid pixels whose confidence fell into one of 15 bins of equal width; their mean confidence and the share of right ones."""

    count: int = Field(description="pixels")
    confidence: float | None = Field(None, description="share, 0 to 1: mean of the highest probability")
    accuracy: float | None = Field(None, description="share, 0 to 1, of right pixels")


class MetricScore(Record):
    """A score that a plugin's metric gave (``eval.metrics``), with what the plugin says of it, so that reports need no plugin.

    ``value`` and ``ci95`` are shares where ``unit`` is "%". ``ci95`` is the 95 % interval of this checkpoint over images, like mIoU's.
    """

    value: float | None = Field(None, description="in its unit, per cent as a share; null: see reason")
    reason: str = Field("", description="why there is no value: what the metric raised or returned")
    images: int | None = Field(None, description="images behind the mean, where the metric is a mean over images; null for pooled ones")
    ci95: tuple[float, float] | None = Field(None, description="95 % interval of value of this checkpoint over images, not over trainings")
    ci95_method: str | None = Field(None, description="what was resampled for ci95")
    ci95_reason: str | None = Field(None, description="why value has no interval over images")
    title: str = Field(description="in tables")
    unit: str = Field("%", description="% for shares from 0 to 1, else letters; empty for a plain number")
    better: Literal["higher", "lower"] = Field("higher", description="which direction is an improvement")
    digits: int = Field(2, description="decimals in tables, where the unit is not %")
    meaning: str = Field("", description="a sentence for readers")
    column: bool = Field(False, description="whether it has a column in the main table")
    code: str = Field("", description="what computed it: package==version, or package@digest of its sources")


class Quality(Record):
    """Scores from one int64 confusion matrix per image, at label resolution.

    ``miou``: dataset macro over the classes with label pixels in this split; ``miou_micro``: pooled intersection over pooled
    union; ``miou_imagewise``: mean over images of each image's macro IoU. Per-class lists follow ``class_names``; null where the
    class has no label pixels. ``selected_on`` names the split that chose the checkpoint where it is the scored one.
    ``training_score`` replaces ``miou`` where the training split overlaps the scored one.

    ``miou_worst_decile``: mean of ``miou_imagewise`` over the worst tenth of the images. ``miou_ci95``: 95 % interval of ``miou`` of this
    checkpoint over images (their groups, or blocks of consecutive ones), not over trainings. ``boundary_iou``: mean over the classes of
    ``miou`` of the IoU of boundary regions (Cheng 2021, 2 % of the diagonal), with predictions cut at ignored pixels before boundaries are
    drawn; ``boundary_iou_uncut``: after. ``ece``: expected calibration error, a share; ``reliability``: the curve behind it.
    """

    split: str = Field(description="the split that was scored")
    images: int | None = Field(None, description="how many were scored")
    split_images: int | None = Field(
        None, description="how many the split has, where only some were scored: such a row is neither ranked nor compared; null: all were"
    )
    miou: float | None = Field(
        None, description="share, 0 to 1: mean IoU over the classes with label pixels in this split, from one confusion matrix"
    )
    training_score: float | None = Field(
        None, description="share, 0 to 1: stands in place of miou where the scored split was trained on; never ranked"
    )
    selected_on: str | None = Field(None, description="the split that chose the checkpoint, where it is the scored one")
    miou_micro: float | None = Field(None, description="share, 0 to 1: pooled intersection over pooled union")
    miou_imagewise: float | None = Field(None, description="share, 0 to 1: mean over images of each image's mean IoU")
    miou_frequency_weighted: float | None = Field(None, description="share, 0 to 1: classes weighted by their label pixels")
    miou_worst_decile: float | None = Field(None, description="share, 0 to 1: miou_imagewise over the worst tenth of the images")
    miou_ci95: tuple[float, float] | None = Field(
        None, description="shares: 95 % interval of miou of this checkpoint over images, not over trainings"
    )
    miou_ci95_method: str | None = Field(None, description="what was resampled for miou_ci95")
    miou_ci95_reason: str | None = Field(None, description="why miou has no interval over images")
    boundary_iou: float | None = Field(
        None, description="share, 0 to 1: mean IoU of boundary regions, 2 % of the diagonal; predictions are cut at ignored pixels first"
    )
    boundary_iou_uncut: float | None = Field(
        None, description="share, 0 to 1: the same with the boundaries of the uncut prediction, of which ignored pixels are left out then"
    )
    ece: float | None = Field(None, description="share, 0 to 1: expected calibration error")
    ece_reason: str | None = Field(None, description="why there is no calibration, where the network gives no probabilities")
    pixel_accuracy: float | None = Field(None, description="share, 0 to 1, of right pixels")
    mean_accuracy: float | None = Field(None, description="share, 0 to 1: mean over the classes of their recall")
    headline_class: str | None = Field(None, description="the class that the task is about")
    headline_iou: float | None = Field(None, description="share, 0 to 1: IoU of that class")
    class_names: list[str] = Field(default_factory=list, description="the order of all lists per class")
    iou_per_class: list[float | None] = Field(default_factory=list, description="shares, 0 to 1; null where the class has no label pixels")
    f1_per_class: list[float | None] = Field(default_factory=list, description="shares, 0 to 1; null where the class has no label pixels")
    precision_per_class: list[float | None] = Field(
        default_factory=list, description="shares, 0 to 1; null where the class has no label pixels"
    )
    recall_per_class: list[float | None] = Field(
        default_factory=list, description="shares, 0 to 1; null where the class has no label pixels"
    )
    label_pixels_per_class: list[int] = Field(default_factory=list, description="pixels of the labels in the scored split")
    predicted_pixels_per_class: list[int] = Field(
        default_factory=list, description="pixels of the predictions, where the label is not ignored; empty in runs of earlier versions"
    )
    classes_averaged: int | None = Field(
        None, description="how many classes have label pixels in this split: means over classes are over these; null in earlier versions"
    )
    only_class: str | None = Field(
        None, description="the class that every labelled pixel is predicted as, where there is such a one: nothing was learned"
    )
    boundary_iou_per_class: list[float | None] = Field(
        default_factory=list, description="shares, 0 to 1; null where the class has no boundary"
    )
    reliability: list[ReliabilityBin] = Field(default_factory=list, description="bins of equal width from 0 to 1")
    metrics: dict[str, MetricScore] = Field(default_factory=dict, description="scores of plugins' metrics, by name")
    image_size: tuple[int, int] | None = Field(
        None, description="height and width in pixels of the network's input; scores are at the labels' own size"
    )
    resize: str | None = Field(None, description="how images were brought to that size: keep-aspect, warp or none")
    seconds: float | None = Field(None, description="of the evaluation")


class Latency(Record):
    """Time per call of one batch in one deployment.

    ``rounds_ms`` holds the calls of each round, ``lead_in_ms`` those of the same round that came first after another contender had run: no
    figure is made of them. ``samples_ms`` are all calls of all rounds; ``start_rounds`` says how many of these came after each start of the
    process. ``ci95_ms`` is a 95 % interval of the median, ``p90_ci95_ms`` and ``p99_ci95_ms`` of those, over calls, rounds and starts of
    the process; ``no_interval`` says of p50, p90 and p99 why one is null. A quantile without samples enough is null. On a GPU all of these
    are times of the device, and ``host_p50_ms`` is the median over rounds of the wall time per call.
    """

    batch_size: int = Field(description="images in one call")
    input_size: tuple[int, int] = Field(description="height and width in pixels")
    device: str = Field(description="where it was timed")
    threads: int | None = Field(None, description="of the CPU")
    first_ms: float | None = Field(None, description="milliseconds of the very first call")
    warmup_calls: int | None = Field(None, description="calls before any that counts")
    p50_ms: float | None = Field(None, description="milliseconds of one call: the median")
    p90_ms: float | None = Field(None, description="milliseconds; null where there are too few calls")
    p99_ms: float | None = Field(None, description="milliseconds; null where there are too few calls")
    mean_ms: float | None = Field(None, description="milliseconds")
    ci95_ms: tuple[float, float] | None = Field(None, description="milliseconds: 95 % interval of the median, from how starts differ")
    p90_ci95_ms: tuple[float, float] | None = Field(None, description="milliseconds: 95 % interval of the 90th percentile")
    p99_ci95_ms: tuple[float, float] | None = Field(None, description="milliseconds: 95 % interval of the 99th percentile")
    no_interval: dict[str, str] = Field(default_factory=dict, description="why p50, p90 or p99 has no interval")
    host_p50_ms: float | None = Field(None, description="milliseconds of wall time per call on a GPU: median over rounds")
    images_per_second: float | None = Field(None, description="at the median time of a call; in older results at the mean")
    energy_j_per_image: float | None = Field(None, description="joules")
    energy_method: str | None = Field(None, description="what measured the energy")
    samples_ms: list[float] = Field(default_factory=list, description="milliseconds of every call of all rounds")
    rounds_ms: list[list[float]] = Field(default_factory=list, description="milliseconds of the calls of each round")
    lead_in_ms: list[list[float]] = Field(
        default_factory=list,
        description="milliseconds of the calls that came first in a round, after another contender; no figure is made of them",
    )
    start_rounds: list[PositiveInt] = Field(default_factory=list, description="rounds after each start of its process, in order")
    clock: str | None = Field(None, description="what measured the time")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")

    @property
    def rate(self) -> float | None:
        """Images per second at the median time of a call, as comparisons of throughput read it; None where there is no median."""
        return 1e3 * self.batch_size / self.p50_ms if self.p50_ms else self.images_per_second

    @property
    def rate_ci95(self) -> tuple[float, float] | None:
        """95 % interval of :attr:`rate`: that of the median time."""
        if self.ci95_ms is None or self.ci95_ms[0] <= 0:
            return None
        return 1e3 * self.batch_size / self.ci95_ms[1], 1e3 * self.batch_size / self.ci95_ms[0]

    @model_validator(mode="after")
    def _rounds_are_those_of_the_starts(self) -> Latency:
        if self.start_rounds and sum(self.start_rounds) != len(self.rounds_ms):
            raise ValueError(
                f"start_rounds add up to {sum(self.start_rounds)}, but rounds_ms holds {counted(len(self.rounds_ms), 'round')}"
            )
        return self


class Drift(Record):
    """How far a deployment's logits (N, K, H, W) lie from those of the eager fp32 network on the same images.

    ``max_abs`` and ``mean_abs`` are in units of logits, ``reference_std`` is the eager logits' deviation, which gives them a scale;
    ``label_agreement`` is the share of pixels with the same argmax. ``sizes`` repeats this at further sizes where the file takes them.
    """

    images: int = Field(0, description="how many were compared")
    input_size: tuple[int, int] | None = Field(None, description="height and width in pixels")
    max_abs: float | None = Field(None, description="units of logits")
    mean_abs: float | None = Field(None, description="units of logits")
    reference_std: float | None = Field(None, description="units of logits: standard deviation of the eager network's")
    label_agreement: float | None = Field(None, description="share, 0 to 1, of pixels with the same argmax")
    sizes: list[Drift] = Field(default_factory=list, description="the same at further input sizes")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")


class Memory(Record):
    """Megabytes (2**20 bytes). ``inference_peak`` and ``training_peak`` include the weights; ``activation_peak`` = peak - before.

    On a CPU ``inference_peak`` is of the whole process, interpreter and libraries included, and differs from process to process:
    it is the median of ``inference_peaks``, one of each process that was started anew, itself the median of so many ``calls``.
    ``inference_peak_ci95`` is the interval of that median, null for the reason in ``no_interval``; ``activation_peak`` likewise.
    Results without these lists were read once, in one process. ``training_method`` is what the training step was; ``notes`` say why
    something was not measured.
    """

    weights: float | None = Field(None, description="MB of 2**20 bytes")
    inference_peak: float | None = Field(None, description="MB of 2**20 bytes during one call, weights included; median over processes")
    inference_peak_ci95: tuple[float, float] | None = Field(None, description="MB of 2**20 bytes: 95 % interval over processes")
    inference_peaks: list[float] = Field(default_factory=list, description="MB of 2**20 bytes in each process, started anew")
    activation_peak: float | None = Field(
        None, description="MB of 2**20 bytes: the peak above what was held before the call; median over processes"
    )
    activation_peak_ci95: tuple[float, float] | None = Field(None, description="MB of 2**20 bytes: 95 % interval over processes")
    activation_peaks: list[float] = Field(default_factory=list, description="MB of 2**20 bytes in each process, started anew")
    calls: int | None = Field(None, description="measured calls of which each process gives the median")
    no_interval: str = Field("", description="why there are no intervals")
    training_peak: float | None = Field(None, description="MB of 2**20 bytes during one training step, weights included")
    reserved_peak: float | None = Field(None, description="MB of 2**20 bytes that the allocator held")
    batch_size: int | None = Field(None, description="images in one call")
    input_size: tuple[int, int] | None = Field(None, description="height and width in pixels")
    method: str | None = Field(None, description="what measured it")
    training_method: str | None = Field(None, description="what the training step was")
    notes: list[str] = Field(default_factory=list, description="why something was not measured")


class ModuleLatency(SparseRecord):
    """Time of some modules of a network by themselves, as contenders of the same race as the network.

    A process of its own ran one forward pass of one image and kept copies of what the modules were called with; each timed call makes all
    of these calls again, one after the other. In the network other modules run between them, so that their inputs are less often in the
    processor's caches. ``rounds_ms`` of each timing stand in place of the samples.
    """

    name: str = Field(description="dotted names or classes of the modules, joined by +: an entry of measure.race_modules")
    latency: list[Latency] = Field(default_factory=list, description="one record for each input size of the network, batch 1")
    error: str | None = Field(None, description="why it was not timed")


class Deployment(Record):
    """One deployed form of a model. ``raced`` is when its latency was measured: only equal times were one race.

    ``backend`` is the name as the user wrote it, options in brackets (``openvino[precision=int8]``). ``file_mb`` and ``export_seconds``
    are null where nothing is exported. ``quality`` is measured again through this backend, on the sizes that it takes; with
    ``fixed_size`` every image is padded up to that height and width. ``error`` says why something is missing; with ``error_kind``
    "refused" the backend cannot take the model, and nothing but a change of either will help. ``fingerprint`` is of what the
    drift and the quality depend on.
    """

    backend: str = Field(description="as the user wrote it, options in brackets")
    precision: str = Field("fp32", description="of the arithmetic: fp32, bf16, fp16, int8")
    version: str | None = Field(None, description="of the backend")
    file_mb: float | None = Field(None, description="MB of 2**20 bytes; null where nothing is exported")
    export_seconds: float | None = Field(None, description="null where nothing is exported")
    fixed_size: tuple[int, int] | None = Field(None, description="height and width in pixels to which every image is padded")
    artifact: str | None = Field(None, description="the exported file, relative to the run's directory")
    drift: Drift | None = Field(None, description="difference of the logits from the eager network's")
    quality: Quality | None = Field(None, description="scores through this backend")
    confusions: str | None = Field(
        None, description="path of one int64 confusion matrix for each image through this backend, relative to the run's directory"
    )
    memory_mb: Memory | None = Field(None, description="MB of 2**20 bytes")
    latency: list[Latency] = Field(default_factory=list, description="one record for each batch and input size")
    module_latency: list[ModuleLatency] = Field(
        default_factory=list, description="modules of the network that were raced by themselves (measure.race_modules)"
    )
    raced: str | None = Field(None, description="when it was timed: only forms with equal values were timed in one race")
    machine: dict[str, str] = Field(default_factory=dict, description="what speed depends on")
    error: str | None = Field(None, description="why something is missing")
    error_kind: str | None = Field(None, description="refused: the backend cannot take this model")
    fingerprint: str | None = Field(None, description="of what drift and quality depend on")
    code_notes: list[str] = Field(default_factory=list, description="what was noticed of the model's own code while it was timed")


class ModuleCost(Record):
    """One module by itself, its children left out: own parameters, multiply-adds for one image, and own time in ms per call.

    ``mark`` says that its time is far above what its multiply-adds explain, by the ``rule`` beside it.
    """

    name: str = Field(description="dotted, as in the network")
    kind: str = Field(description="its class")
    part: str | None = Field(None, description="encoder, context, decoder, head, ..")
    params: int = Field(0, description="own parameters")
    macs: int | None = Field(None, description="own multiply-adds for one image")
    ms: float | None = Field(None, description="own milliseconds in one call")
    mark: str | None = Field(None, description="why it stands out")


class ModuleCosts(Record):
    """Where a network's time goes. ``total_ms`` is a call without ticks; ``tick_overhead`` the share that they added, subtracted."""

    input_shape: list[list[int]] = Field(default_factory=list, description="one shape for each input: batch, channels, height, width")
    device: str | None = Field(None, description="where it was timed")
    threads: int | None = Field(None, description="of the CPU")
    total_ms: float | None = Field(None, description="milliseconds of a call without ticks")
    repeats: int | None = Field(None, description="calls")
    tick_overhead: float | None = Field(None, description="share that the ticks added, subtracted from the figures")
    rule: str = Field("", description="how modules are marked")
    machine: dict[str, str] = Field(default_factory=dict, description="what speed depends on")
    modules: list[ModuleCost] = Field(default_factory=list, description="one record for each module with own costs")


class TrainingCost(Record):
    """A training step of one batch taken apart: medians in ms, and peak memory of each phase in MB above what was held before the step.

    ``forward`` holds the loss, ``optimiser`` the clipping of gradients; ``bookkeeping`` is the running training score.
    """

    batch_size: int | None = Field(None, description="images in the step")
    image_size: tuple[int, int] | None = Field(None, description="height and width in pixels")
    device: str | None = Field(None, description="where it was timed")
    precision: str | None = Field(None, description="bf16, fp16 or off")
    steps: int | None = Field(None, description="how many were timed")
    step_ms: float | None = Field(None, description="milliseconds: median of a whole step")
    forward_ms: float | None = Field(None, description="milliseconds: median, with the loss")
    backward_ms: float | None = Field(None, description="milliseconds: median")
    optimiser_ms: float | None = Field(None, description="milliseconds: median, with clipping")
    bookkeeping_ms: float | None = Field(None, description="milliseconds: median of the running training score")
    forward_mb: float | None = Field(None, description="MB of 2**20 bytes: peak above what was held before the step")
    backward_mb: float | None = Field(None, description="MB of 2**20 bytes: peak above what was held before the step")
    optimiser_mb: float | None = Field(None, description="MB of 2**20 bytes: peak above what was held before the step")
    memory_method: str | None = Field(None, description="what measured the memory")


class Artifacts(Record):
    """Paths relative to the run's directory."""

    best: str | None = Field(None, description="checkpoint with the best score")
    last: str | None = Field(None, description="checkpoint of the last epoch")
    confusions: str | None = Field(None, description="one int64 confusion matrix for each image, with ids")
    predictions: list[str] = Field(default_factory=list, description="pictures")
    log: str | None = Field(None, description="what the cell printed")


class CellResult(Record):
    """One trained or derived model with everything measured on it."""

    id: str = Field(description="unique in the run; also the name of its files")
    kind: str = Field(
        "train", description="train, given (it came with its weights), or how it was made of the cells in needs; masks: a folder of masks"
    )
    needs: list[str] = Field(default_factory=list, description="ids of the cells that it is made of")
    model: str = Field(description="name with options, as the user wrote it")
    short_name: str | None = Field(None, description="what the user calls the model in reports; null: nothing, its name stands there")
    loss: str | None = Field(None, description="name with options, as the user wrote it")
    dataset: str | None = Field(None, description="name with options, as the user wrote it")
    recipe: str | None = Field(None, description="name")
    settings: dict[str, Any] = Field(default_factory=dict, description="only what differs between the cells of the run")
    resolved: dict[str, Any] = Field(default_factory=dict, description="all options and settings, defaults included")
    fold: str | None = Field(None, description="2/5: scored on the second of five parts of the data, trained on the others; null: no folds")
    limit: int | None = Field(
        None, description="at most so many images of each split were used: a quick try, neither ranked nor compared nor judged; null: all"
    )
    seed: int | None = Field(None, description="of weights, order and augmentation")
    status: Status = Field("pending", description="ok, or why there is no result (yet)")
    error: ErrorInfo | None = Field(None, description="where status is failed")
    fingerprints: dict[str, str] = Field(default_factory=dict, description="of what each stage depends on; equal ones need not run again")
    ingredients: dict[str, Any] = Field(default_factory=dict, description="what the fingerprints are made of; empty in published runs")
    machine: dict[str, str] = Field(default_factory=dict, description="what speed depends on")
    params: int | None = Field(None, description="parameters of the model as deployed, auxiliary heads left out")
    params_trained: int | None = Field(None, description="parameters while training, auxiliary heads included")
    params_trainable: int | None = Field(None, description="parameters that training changes")
    params_per_part: dict[str, int] = Field(default_factory=dict, description="parameters of encoder, context, decoder, head, ..")
    params_in_buffers: int | None = Field(
        None, description="numbers that products take as weights although they are no parameters: in buffers and plain tensors"
    )
    size_mb: float | None = Field(
        None,
        description="MB of 2**20 bytes: the parameters as 32-bit floats, with params_in_buffers from 1 % of them on; of a model that is a "
        "file, the file itself",
    )
    buffers_mb: float | None = Field(None, description="MB of 2**20 bytes: all buffers as they are stored, running statistics among them")
    macs: int | None = Field(
        None,
        description="multiply-adds of convolutions, linear layers and matrix products for one image of input_shape; null where some cannot "
        "be counted",
    )
    macs_at_least: int | None = Field(None, description="the multiply-adds that were counted, where others could not be")
    macs_not_counted: list[str] = Field(default_factory=list, description="why some multiply-adds could not be counted; empty: all were")
    macs_at_sizes: dict[str, int] = Field(default_factory=dict, description="multiply-adds for one image by input size")
    flops: int | None = Field(None, description="2 * macs")
    fvcore_flops: int | None = Field(None, description="fvcore's own total: one multiply-add counts one, norms and upsampling included")
    fvcore_error: str | None = Field(None, description="why fvcore has no total")
    uncounted_ops: dict[str, int] | None = Field(None, description="operations that fvcore could not count, with how often they occur")
    input_shape: list[list[int]] | None = Field(
        None, description="at which costs were counted: one shape for each input: batch, channels, height, width"
    )
    counts_missing: str | None = Field(None, description="why params or macs could not be counted; null: they were")
    auxiliary_kept: str | None = Field(
        None, description="auxiliary outputs whose modules are counted and measured too, with the reason; null: there are none"
    )
    early_fusion: bool = Field(False, description="whether several inputs were concatenated by channel for a model of one")
    training: Training | None = Field(None, description="null where nothing was trained")
    quality: Quality | None = Field(None, description="null where nothing was scored")
    deployments: list[Deployment] = Field(default_factory=list, description="the deployed forms that were measured, eager first")
    modules: ModuleCosts | None = Field(None, description="where the network's time goes")
    training_cost: TrainingCost | None = Field(None, description="a training step taken apart")
    cost_notes: list[str] = Field(default_factory=list, description="why some cost was not measured")
    artifacts: Artifacts = Field(default_factory=Artifacts, description="files of this cell")
    overhead_seconds: float | None = Field(None, description="of starting, saving and waiting")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")
    code_notes: dict[str, list[str]] = Field(
        default_factory=dict,
        description="what was noticed of the model's own code, by stage: changed inputs or settings of the process, ..",
    )

    @property
    def all_notes(self) -> list[str]:
        """Remarks for the reader, those on the model's own code included, each once."""
        code = [*self.code_notes.values(), *(deployment.code_notes for deployment in self.deployments)]
        return list(dict.fromkeys([*self.notes, *(note for notes in code for note in notes)]))

    _identity: str | None = PrivateAttr(None)
    _dataset_identity: str | None = PrivateAttr(None)

    def with_shown_names(self, model: str, dataset: str | None) -> CellResult:
        """A copy for showing, with short names; ``identity`` and ``dataset_identity`` keep those with options."""
        shown = self.model_copy(update={"model": model, "dataset": dataset})
        shown._identity, shown._dataset_identity = self.identity, self.dataset_identity
        return shown

    @property
    def dataset_identity(self) -> str | None:
        """The dataset's name with options, also where ``dataset`` is a short name."""
        return self._dataset_identity or self.dataset

    @property
    def identity(self) -> str:
        """The model's name with options, also where ``model`` is a short name."""
        return self._identity or self.model

    @property
    def label(self) -> str:
        """Model, loss and varied settings, in one line of plain text."""
        loss = AS_GIVEN if self.is_as_given else self.loss
        parts = [self.model, *([loss] if loss else []), *(f"{k}={v}" for k, v in self.settings.items())]
        return " | ".join(parts)

    @property
    def is_as_given(self) -> bool:
        """True for a network that was taken as its weights were: nothing was trained."""
        return self.training is not None and self.training.as_given


class PluginInfo(Record):
    """A plugin that took part: where it came from and its version."""

    name: str = Field(description="of the plugin")
    version: str | None = Field(None, description="of its package")
    origin: str | None = Field(None, description="package or file that it came from")
    error: str | None = Field(None, description="why it was skipped")


class Environment(Record):
    """Where the run was measured."""

    segbench: str | None = Field(None, description="version")
    python: str | None = Field(None, description="version")
    platform: str | None = Field(None, description="operating system and architecture")
    cpu: str | None = Field(None, description="model name")
    cpu_cores: int | None = Field(None, description="that may be used")
    threads: int | None = Field(None, description="of the CPU")
    memory_gb: float | None = Field(None, description="GB of 2**30 bytes")
    gpu: list[str] = Field(default_factory=list, description="model names")
    cuda: str | None = Field(None, description="version")
    driver: str | None = Field(None, description="version")
    packages: dict[str, str] = Field(default_factory=dict, description="versions by name")
    plugins: list[PluginInfo] = Field(default_factory=list, description="all that were loaded or skipped")
    started: str | None = Field(None, description="time with its zone (ISO 8601)")
    load_average: list[float] | None = Field(None, description="of the machine over 1, 5 and 15 minutes, at the start")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")


class Family(Record):
    """The comparisons of one quantity that share an error rate of 5 %; ``planned`` ones have four fifths of it where there are others."""

    planned: int = Field(description="comparisons that the run was made for, such as those with the first model")
    others: int = Field(0, description="all other pairs")


class Comparison(Record):
    """One thing measured on two sides, with its uncertainty. A run has one record of each pair under the same circumstances.

    ``reading`` is ``ratio`` (subject / baseline) or ``difference`` (subject - baseline, in the quantity's own unit: mIoU as a share);
    ``low`` and ``high`` bound it with ``confidence``, and are null where nothing can be said. All bounds of a ``family`` hold together in
    95 % of runs: the more comparisons, the higher the confidence of each. ``verdict`` for times: faster, slower; for scores: better, worse;
    for memory: less, more; for all: no difference shown (the interval holds ratio 1 or difference 0), cannot tell (no interval).
    ``scope`` says what the verdict is about ("these two checkpoints", "the architectures under this recipe", "this machine"),
    ``method`` how the interval was made, ``n`` over how many independent units (rounds, images, blocks of images, groups, seeds). ``axis``
    says in what the two sides differ, and ``subject`` and ``baseline`` are their names there; ``variant`` is more than one of model, loss,
    recipe, settings. ``headline`` marks comparisons with the run's first on that axis. ``context`` holds what both sides share (batch_size,
    input_size, device, dataset, split, model, loss, recipe, settings) and the number of an ablation's step.
    """

    quantity: str = Field(description="miou, latency_ms, throughput, ..")
    axis: ComparisonAxis = Field("model", description="in what the two sides differ")
    subject: str = Field(description="what is judged")
    baseline: str = Field(description="what it is compared with")
    subject_cells: list[str] = Field(default_factory=list, description="ids")
    baseline_cells: list[str] = Field(default_factory=list, description="ids")
    subject_backend: str | None = Field(None, description="null: the trained network itself")
    baseline_backend: str | None = Field(None, description="null: the trained network itself")
    reading: Literal["ratio", "difference"] = Field("difference", description="ratio: subject / baseline; difference: subject - baseline")
    value: float | None = Field(None, description="ratio without unit, or difference in the quantity's own unit (mIoU: a share)")
    low: float | None = Field(None, description="lower bound; null where nothing can be said")
    high: float | None = Field(None, description="upper bound; null where nothing can be said")
    confidence: float = Field(0.95, description="share, of the interval by itself; the intervals of the family hold together with 0.95")
    family: Family | None = Field(None, description="the comparisons that share the error rate; null where nothing can be said")
    planned: bool = Field(True, description="whether the run was made for it")
    p_value: float | None = Field(None, description="two-sided")
    p_adjusted: float | None = Field(None, description="times the number of comparisons in the family, by their weights (Bonferroni)")
    verdict: ComparisonVerdict = Field("cannot tell", description="drawn from the interval alone")
    headline: bool = Field(True, description="whether the baseline is the run's first on this axis")
    scope: str = Field("", description="what the verdict is about")
    method: str = Field("", description="how the interval was made")
    unit: str = Field("", description="of the value; empty for a ratio")
    n: int | None = Field(None, description="rounds, images, blocks of images, groups, epochs, processes or seeds behind the interval")
    reason: str = Field("", description="why nothing can be said")
    context: dict[str, Any] = Field(default_factory=dict, description="what both sides share")
    notes: list[str] = Field(default_factory=list, description="remarks for the reader")


class SeedSummary(Record):
    """One quantity over the seeds of cells that differ in nothing else.

    ``deviation`` is the sample's (n - 1), ``low`` and ``high`` Student's t interval of the mean; null below three seeds.
    """

    quantity: str = Field(description="miou, ..")
    cells: list[str] = Field(description="ids")
    seeds: list[int] = Field(default_factory=list, description="of these cells")
    n: int = Field(description="how many")
    mean: float = Field(description="in the quantity's own unit")
    deviation: float | None = Field(None, description="standard deviation of the sample (n - 1)")
    low: float | None = Field(None, description="lower bound of the mean, Student's t; null below three seeds")
    high: float | None = Field(None, description="upper bound of the mean, Student's t; null below three seeds")
    confidence: float = Field(0.95, description="share, of the interval")


class AblationStep(Record):
    """One step of a walk from one preset to another: which option changed, and the models on both sides of the step."""

    option: str = Field(description="which changed")
    before: str = Field(description="its value before the step")
    after: str = Field(description="its value after the step")
    subject: str = Field(description="model after the step")
    baseline: str = Field(description="model before the step")


class Ablation(Record):
    """A walk from ``start`` to ``end``, one option at a time; deltas are read from the cells of the models that the steps name."""

    start: str = Field(description="model")
    end: str = Field(description="model")
    steps: list[AblationStep] = Field(default_factory=list, description="in order")


class Verdict(Record):
    """A published claim beside what was measured.

    ``verdict``: kept, kept (exceeded), broken, cannot tell (the measured interval holds both), not tested here. ``low`` and ``high`` bound
    ``measured_value`` with 95 % confidence where an interval could be had; of two noisy sides without one both are printed, but no ratio. A
    claim that is tested under several conditions, or that can be read in several ways, has a row for each; ``claim_verdict`` is its one
    verdict over all of them, with ``depends on the ..`` where one row keeps it and another breaks it.
    """

    claim: str = Field(description="its name")
    summary: str = Field(description="what is claimed, in words")
    claimed: str = Field(description="the figure, with its unit")
    measured: str | None = Field(None, description="the figure, with its unit")
    measured_value: float | None = Field(
        None, description="in the claim's unit; null where two noisy sides have no interval (missing: why)"
    )
    low: float | None = Field(None, description="lower 95 % bound of measured_value")
    high: float | None = Field(None, description="upper 95 % bound of measured_value")
    verdict: Literal["kept", "kept (exceeded)", "broken", "cannot tell", "not tested here"] = Field(
        description="whether what was measured bears the claim out"
    )
    missing: str | None = Field(None, description="what would be needed to test it")
    subject: str | None = Field(None, description="the model that it is about")
    cells: list[str] = Field(default_factory=list, description="ids of the cells that it was tested on")
    source: str = Field("", description="where it was published")
    circumstances: dict[str, Any] = Field(default_factory=dict, description="under which it was measured: backend, input size, recipe, ..")
    reconstruction: str | None = Field(None, description="where the judged networks are no published code: what they were made from")
    claim_verdict: str | None = Field(None, description="the one verdict of the claim over all of its rows")
    reading_of: str | None = Field(None, description="the claim that this is another reading of; both count as one")
    read_as: str | None = Field(None, description="how this row reads the published statement, where there is another way")


class ConfigRecord(SparseRecord):
    """The configuration of a run: the axes of its matrix, and the settings that the user gave. The run's directory is left out."""

    models: list[str] = Field(default_factory=list, description="names with options, as the user wrote them")
    weights: dict[str, str] = Field(
        default_factory=dict, description="names of the files of weights, by the model that they were given for"
    )
    partial_weights: bool = Field(False, description="whether such a file might lack some of a network's values")
    losses: list[str] | None = Field(None, description="names with options, as the user wrote them; null: each recipe's own")
    dataset: str | None = Field(None, description="name with options; missing where the task was declared by inputs and classes")
    recipes: list[str] = Field(default_factory=list, description="names")
    vary: dict[str, list[Any]] = Field(default_factory=dict, description="values of each varied setting, by its dotted key")
    seeds: list[int] = Field(default_factory=list, description="of weights, order and augmentation")
    backends: list[str] = Field(default_factory=list, description="names with options, as the user wrote them")
    teacher: str | None = Field(None, description="the trained network that was distilled, as the user wrote it")
    teacher_temperature: float | None = Field(None, description="divisor of the logits in distillation; null: the loss's own")
    teacher_weight: float | None = Field(None, description="share, 0 to 1, of the teacher in the loss; null: the loss's own")
    device: str | None = Field(None, description="where the run was done")
    overrides: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings that the user gave, by section (train, eval, data, measure, execute, model)"
    )


class TaskRecord(SparseRecord):
    """The task that the models were built for."""

    dataset: str | None = Field(None, description="name with options; missing where the task was declared by inputs and classes")
    summary: str | None = Field(None, description="the dataset in one line")
    num_classes: int | None = Field(None, description="classes to tell apart, the ignored label left out")
    class_names: list[str] = Field(default_factory=list, description="in the order of the labels")
    inputs: dict[str, int] = Field(default_factory=dict, description="channels of each input, by its name")
    ignore_index: int | None = Field(None, description="label of pixels that are neither trained on nor scored")
    # parts of a plugin's colours are not held to be numbers: readers look before they paint
    palette: list[list[Any]] = Field(default_factory=list, description="red, green and blue of each class, 0 to 255")
    headline: str | None = Field(None, description="the class that the task is about")
    splits: list[str] = Field(default_factory=list, description="names of the dataset's splits")


class RaceContender(SparseRecord):
    """A model through a backend that took part in a race."""

    model: str = Field(description="name with options, as the user wrote it")
    backend: str = Field(description="as the user wrote it, options in brackets")
    modules: str | None = Field(None, description="the modules that were timed by themselves; null: the whole model")


class ReferenceLatency(SparseRecord, Latency):
    """Times of the reference network at one batch and input size; its rounds stand in place of the samples."""

    raced: str | None = Field(None, description="when it was timed: forms with an equal value were timed in the same race")


class ReferenceRecord(SparseRecord):
    """The reference network, a fixed network that every race includes, so that races of different days have something in common."""

    name: str | None = Field(None, description="of the reference network; another computation has another name")
    error: str | None = Field(None, description="why it was not timed")
    latency: list[ReferenceLatency] = Field(default_factory=list, description="one record for each batch and input size of each race")


class _RaceProtocol(SparseRecord):
    measured: str | None = Field(None, description="time with its zone (ISO 8601)")
    models: dict[str, str] = Field(default_factory=dict, description="models by the fingerprint of their measurement")
    contenders: dict[str, RaceContender] = Field(default_factory=dict, description="what was timed, by its key fingerprint|backend|modules")
    rounds: int | None = Field(None, description="blocks of calls of each contender; the contenders take turns")
    starts: int | None = Field(None, description="how often each process was started")
    layout: str | None = Field(None, description="of the processes' memory: drawn (by chance for each start), or as it came")
    threads: int | None = Field(None, description="of the CPU")
    orders: dict[str, list[list[str]]] = Field(
        default_factory=dict, description="contenders in the order of their turns, round by round, by batch or size/batch"
    )
    overhead: float | None = Field(None, description="share, 0 to 1, of the race in which no contender computed")
    disturbances: list[str] | None = Field(None, description="what disturbed the race, in sentences; missing where nobody looked")


class RaceGroup(_RaceProtocol):
    """Models that were raced under the same settings, apart from those of the run's other groups."""

    machine_state: dict[str, int | float] = Field(
        default_factory=dict, description="figures behind disturbances: seconds, cores used by other programs, shares, events"
    )


class RaceRecord(_RaceProtocol):
    """How latencies were taken: which contenders, in what order, under which disturbances.

    Where models of other ``measure`` settings were raced apart, each of ``groups`` has its own rounds, starts, layout, threads and orders.
    """

    anchor: ReferenceRecord | None = Field(None, description="the reference network's times; null where it was not raced")
    cells: dict[str, str] = Field(default_factory=dict, description="fingerprint of each cell's measurement, by the cell's id")
    load_average: list[float] | None = Field(None, description="of the machine over 1, 5 and 15 minutes, at the end")
    machine_state: list[dict[str, int | float]] = Field(
        default_factory=list, description="figures behind disturbances, one for each group: seconds, cores used by others, shares, events"
    )
    groups: list[RaceGroup] = Field(default_factory=list, description="missing where all models were raced together")


class VerificationRecord(SparseRecord):
    """Outcome of ``segbench verify``, and the machine, versions and code that it vouches for."""

    time: str | None = Field(None, description="time with its zone (ISO 8601)")
    checks: int | None = Field(None, description="how many were done; skipped ones are not counted")
    ok: int | None = Field(None, description="how many agreed with what is known")
    failed: int | None = Field(None, description="how many did not")
    cannot_tell: int | None = Field(None, description="how many the machine was too busy for")
    skipped: int | None = Field(None, description="how many lacked a library or a device")
    failed_checks: list[str] = Field(default_factory=list, description="names of the checks that failed")
    seconds: float | None = Field(None, description="of the whole verification")
    cpu: str | None = Field(None, description="model name")
    gpu: str | None = Field(None, description="model names")
    torch: str | None = Field(None, description="version")
    segbench: str | None = Field(None, description="version")
    instruments: str | None = Field(None, description="hash of the code that measures")


VIEWS: dict[str, Callable[[RunResult], Any]] = {}
"""Views of a run, by name: ``results/frame.py`` has them, which knows the metrics; the store loads it."""


class RunResult(Record):
    """A whole run: what ``run.json`` holds."""

    schema_version: int = Field(SCHEMA_VERSION, description="rises when a reader of the old version would misread the new one")
    command: str | None = Field(None, description="command lines that made it, one a line, without folders of the author's machine")
    complete: bool = Field(True, description="false: cells are still to be done")
    config: ConfigRecord = Field(default_factory=ConfigRecord, description="the configuration as it was given")
    environment: Environment = Field(default_factory=Environment, description="where it was measured")
    task: TaskRecord = Field(default_factory=TaskRecord, description="classes, inputs, splits and palette of the dataset")
    race: RaceRecord | None = Field(None, description="how latencies were taken; null where none were")
    cells: list[CellResult] = Field(default_factory=list, description="one for each model, loss, recipe, setting and seed")
    comparisons: list[Comparison] = Field(default_factory=list, description="what was measured on two sides, with intervals and verdicts")
    seeds: list[SeedSummary] = Field(default_factory=list, description="means over seeds")
    ablation: Ablation | None = Field(None, description="of segbench ablate")
    instruments: VerificationRecord | None = Field(
        None, description="when the instruments were last held against known quantities on this machine"
    )
    claims: list[Verdict] = Field(default_factory=list, description="published claims beside what was measured")
    warnings: list[str] = Field(default_factory=list, description="for the reader")

    def to_frame(self) -> Any:
        """The cells as a pandas data frame, metrics in the units of tables."""
        return VIEWS["frame"](self)

    def _repr_html_(self) -> str:
        """The cells as an HTML table, which notebooks show."""
        return str(VIEWS["html"](self))

    def __repr__(self) -> str:
        return str(VIEWS["line"](self)) if "line" in VIEWS else super().__repr__()
