"""What a run produces, as data: the schema of ``run.json`` (version 1).

None always means "not measured". Units stand in the names; MB is 2**20 bytes.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Status = Literal["ok", "failed", "skipped", "interrupted", "pending"]


class Record(BaseModel):
    """Base of all result records: unknown keys of newer minor versions are kept."""

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="null", protected_namespaces=())


class ErrorInfo(Record):
    """Why a cell failed: a stage (plan, train, evaluate, ..), a kind (error, out-of-memory, timeout, killed, ..) and words."""

    stage: str
    kind: str
    message: str
    advice: str = ""
    traceback: str | None = None


class Epoch(Record):
    """One row of ``training.history``. Losses are means over valid pixels; ``val_*`` is null where no validation was run."""

    epoch: int
    train_loss: float | None = None
    loss_parts: dict[str, float] = Field(default_factory=dict)
    learning_rate: float | None = None
    val_loss: float | None = None
    val_miou: float | None = None
    train_miou: float | None = None
    gradient_norm: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    image_size: tuple[int, int] | None = None


class Diagnosis(Record):
    """What the curves say: kind (unstable, oscillating, flat, plateau, overfitting, underfitting, healthy), the evidence and the remedy."""

    kind: str
    message: str
    remedy: str = ""
    source: str = ""


class Training(Record):
    """How training went. ``seconds`` is training time without validation; ``peak_memory_mb`` is of the whole training stage."""

    epochs_run: int = 0
    best_epoch: int | None = None
    best_score: float | None = None
    select_on: str | None = None
    seconds: float | None = None
    validation_seconds: float | None = None
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    device: str | None = None
    precision: str | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    world_size: int | None = None
    stopped: str | None = None
    nondeterministic: list[str] = Field(default_factory=list)
    protocol_changed: str | None = None
    notes: list[str] = Field(default_factory=list)
    history: list[Epoch] = Field(default_factory=list)
    diagnosis: list[Diagnosis] = Field(default_factory=list)


class ReliabilityBin(Record):
    """Valid pixels whose confidence fell into one of 15 bins of equal width; their mean confidence and the share of right ones."""

    count: int
    confidence: float | None = None
    accuracy: float | None = None


class Quality(Record):
    """Scores from one int64 confusion matrix per image, at label resolution.

    ``miou``: dataset macro over the classes with label pixels in this split; ``miou_micro``: pooled intersection over pooled
    union; ``miou_imagewise``: mean over images of each image's macro IoU. Per-class lists follow ``class_names``; null where the
    class has no label pixels. ``selected_on`` names the split that chose the checkpoint where it is the scored one.
    ``training_score`` replaces ``miou`` where the training split overlaps the scored one.

    ``miou_worst_decile``: mean of ``miou_imagewise`` over the worst tenth of the images. ``miou_ci95``: 95 % interval of ``miou`` of this
    checkpoint over images (or their groups), not over trainings. ``boundary_iou``: mean over the classes of ``miou`` of the IoU of boundary
    regions (Cheng 2021, 2 % of the diagonal). ``ece``: expected calibration error, a share; ``reliability``: the curve behind it.
    """

    split: str
    images: int | None = None
    miou: float | None = None
    training_score: float | None = None
    selected_on: str | None = None
    miou_micro: float | None = None
    miou_imagewise: float | None = None
    miou_frequency_weighted: float | None = None
    miou_worst_decile: float | None = None
    miou_ci95: tuple[float, float] | None = None
    boundary_iou: float | None = None
    ece: float | None = None
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    headline_class: str | None = None
    headline_iou: float | None = None
    class_names: list[str] = Field(default_factory=list)
    iou_per_class: list[float | None] = Field(default_factory=list)
    f1_per_class: list[float | None] = Field(default_factory=list)
    precision_per_class: list[float | None] = Field(default_factory=list)
    recall_per_class: list[float | None] = Field(default_factory=list)
    label_pixels_per_class: list[int] = Field(default_factory=list)
    boundary_iou_per_class: list[float | None] = Field(default_factory=list)
    reliability: list[ReliabilityBin] = Field(default_factory=list)
    image_size: tuple[int, int] | None = None
    resize: str | None = None
    seconds: float | None = None


class Latency(Record):
    """Time per call of one batch in one deployment.

    ``rounds_ms`` holds the calls of each round, ``lead_in_ms`` those of the same round that came first after another contender had run:
    no figure is made of them. ``samples_ms`` are all calls of all rounds. ``ci95_ms`` is a 95 % interval of the median, ``p90_ci95_ms`` and
    ``p99_ci95_ms`` of those, from resampled rounds; a quantile without samples enough is null. On a GPU all of these are times of the
    device, and ``host_p50_ms`` is the median over rounds of the wall time per call.
    """

    batch_size: int
    input_size: tuple[int, int]
    device: str
    threads: int | None = None
    first_ms: float | None = None
    warmup_calls: int | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    p90_ci95_ms: tuple[float, float] | None = None
    p99_ci95_ms: tuple[float, float] | None = None
    host_p50_ms: float | None = None
    images_per_second: float | None = None
    energy_j_per_image: float | None = None
    energy_method: str | None = None
    samples_ms: list[float] = Field(default_factory=list)
    rounds_ms: list[list[float]] = Field(default_factory=list)
    lead_in_ms: list[list[float]] = Field(default_factory=list)
    clock: str | None = None
    notes: list[str] = Field(default_factory=list)


class Drift(Record):
    """How far a deployment's logits (N, K, H, W) lie from those of the eager fp32 network on the same images.

    ``max_abs`` and ``mean_abs`` are in units of logits, ``reference_std`` is the eager logits' deviation, which gives them a scale;
    ``label_agreement`` is the share of pixels with the same argmax. ``sizes`` repeats this at further sizes where the file takes them.
    """

    images: int = 0
    input_size: tuple[int, int] | None = None
    max_abs: float | None = None
    mean_abs: float | None = None
    reference_std: float | None = None
    label_agreement: float | None = None
    sizes: list[Drift] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class Memory(Record):
    """Megabytes (2**20 bytes). ``inference_peak`` and ``training_peak`` include the weights; ``activation_peak`` = peak - before.

    ``training_method`` is what the training step was; ``notes`` say why something was not measured.
    """

    weights: float | None = None
    inference_peak: float | None = None
    activation_peak: float | None = None
    training_peak: float | None = None
    reserved_peak: float | None = None
    batch_size: int | None = None
    input_size: tuple[int, int] | None = None
    method: str | None = None
    training_method: str | None = None
    notes: list[str] = Field(default_factory=list)


class Deployment(Record):
    """One deployed form of a model. ``raced`` is when its latency was measured: only equal times were one race.

    ``backend`` is the name as the user wrote it, options in brackets (``openvino[precision=int8]``). ``file_mb`` and ``export_seconds``
    are null where nothing is exported. ``quality`` is measured again through this backend, on the sizes that it takes; with
    ``fixed_size`` every image is padded up to that height and width. ``error`` says why something is missing; with ``error_kind``
    "refused" the backend cannot take the model, and nothing but a change of either will help. ``fingerprint`` is of what the
    drift and the quality depend on.
    """

    backend: str
    precision: str = "fp32"
    version: str | None = None
    file_mb: float | None = None
    export_seconds: float | None = None
    fixed_size: tuple[int, int] | None = None
    artifact: str | None = None
    drift: Drift | None = None
    quality: Quality | None = None
    memory_mb: Memory | None = None
    latency: list[Latency] = Field(default_factory=list)
    raced: str | None = None
    machine: dict[str, str] = Field(default_factory=dict)
    error: str | None = None
    error_kind: str | None = None
    fingerprint: str | None = None


class ModuleCost(Record):
    """One module by itself, its children left out: own parameters, multiply-adds for one image, and own time in ms per call.

    ``mark`` says that its time is far above what its multiply-adds explain, by the ``rule`` beside it.
    """

    name: str
    kind: str
    part: str | None = None
    params: int = 0
    macs: int | None = None
    ms: float | None = None
    mark: str | None = None


class ModuleCosts(Record):
    """Where a network's time goes. ``total_ms`` is a call without ticks; ``tick_overhead`` the share that they added, subtracted."""

    input_shape: list[list[int]] = Field(default_factory=list)
    device: str | None = None
    threads: int | None = None
    total_ms: float | None = None
    repeats: int | None = None
    tick_overhead: float | None = None
    rule: str = ""
    machine: dict[str, str] = Field(default_factory=dict)
    modules: list[ModuleCost] = Field(default_factory=list)


class TrainingCost(Record):
    """A training step of one batch taken apart: medians in ms, and peak memory of each phase in MB above what was held before the step.

    ``forward`` holds the loss, ``optimiser`` the clipping of gradients; ``bookkeeping`` is the running training score.
    """

    batch_size: int | None = None
    image_size: tuple[int, int] | None = None
    device: str | None = None
    precision: str | None = None
    steps: int | None = None
    step_ms: float | None = None
    forward_ms: float | None = None
    backward_ms: float | None = None
    optimiser_ms: float | None = None
    bookkeeping_ms: float | None = None
    forward_mb: float | None = None
    backward_mb: float | None = None
    optimiser_mb: float | None = None
    memory_method: str | None = None


class Artifacts(Record):
    """Paths relative to the run's directory."""

    best: str | None = None
    last: str | None = None
    confusions: str | None = None
    predictions: list[str] = Field(default_factory=list)
    log: str | None = None


class CellResult(Record):
    """One trained or derived model with everything measured on it."""

    id: str
    kind: str = "train"
    needs: list[str] = Field(default_factory=list)
    model: str
    loss: str | None = None
    dataset: str | None = None
    recipe: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    resolved: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    status: Status = "pending"
    error: ErrorInfo | None = None
    fingerprints: dict[str, str] = Field(default_factory=dict)
    ingredients: dict[str, Any] = Field(default_factory=dict)
    machine: dict[str, str] = Field(default_factory=dict)
    params: int | None = None
    params_trained: int | None = None
    params_trainable: int | None = None
    params_per_part: dict[str, int] = Field(default_factory=dict)
    size_mb: float | None = None
    macs: int | None = None
    macs_at_sizes: dict[str, int] = Field(default_factory=dict)
    flops: int | None = None
    fvcore_flops: int | None = None
    fvcore_error: str | None = None
    uncounted_ops: dict[str, int] | None = None
    input_shape: list[list[int]] | None = None
    early_fusion: bool = False
    training: Training | None = None
    quality: Quality | None = None
    deployments: list[Deployment] = Field(default_factory=list)
    modules: ModuleCosts | None = None
    training_cost: TrainingCost | None = None
    cost_notes: list[str] = Field(default_factory=list)
    artifacts: Artifacts = Field(default_factory=Artifacts)
    overhead_seconds: float | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def label(self) -> str:
        """Model, loss and whatever else differs, in one line of plain text."""
        parts = [self.model, *([self.loss] if self.loss else []), *(f"{k}={v}" for k, v in self.settings.items())]
        return " | ".join(parts)


class PluginInfo(Record):
    """A plugin that took part: where it came from and its version."""

    name: str
    version: str | None = None
    origin: str | None = None
    error: str | None = None


class Environment(Record):
    """Where the run was measured."""

    segbench: str | None = None
    python: str | None = None
    platform: str | None = None
    cpu: str | None = None
    cpu_cores: int | None = None
    threads: int | None = None
    memory_gb: float | None = None
    gpu: list[str] = Field(default_factory=list)
    cuda: str | None = None
    driver: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    plugins: list[PluginInfo] = Field(default_factory=list)
    started: str | None = None
    load_average: list[float] | None = None
    notes: list[str] = Field(default_factory=list)


class Comparison(Record):
    """One thing measured on two sides, with its uncertainty.

    ``reading`` is ``ratio`` (subject / baseline) or ``difference`` (subject - baseline, in the quantity's own unit: mIoU as a share);
    ``low`` and ``high`` bound it with ``confidence``, and are null where nothing can be said. ``verdict`` for times: faster, slower;
    for scores: better, worse; for both: no difference shown (the interval holds ratio 1 or difference 0), cannot tell (no interval).
    ``scope`` says what the verdict is about ("these two checkpoints", "the architectures under this recipe", "this machine"),
    ``method`` how the interval was made, ``n`` over how many independent units (rounds, images, groups, seeds).
    ``headline`` marks comparisons with the run's baseline; the others belong to all-pairs tables, whose p values are Holm-corrected.
    ``context`` holds what both sides share (batch_size, input_size, device, dataset, split, loss, recipe, settings).
    """

    quantity: str
    subject: str
    baseline: str
    subject_cells: list[str] = Field(default_factory=list)
    baseline_cells: list[str] = Field(default_factory=list)
    subject_backend: str | None = None
    baseline_backend: str | None = None
    reading: Literal["ratio", "difference"] = "difference"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    p_value: float | None = None
    p_adjusted: float | None = None
    verdict: Literal["faster", "slower", "better", "worse", "no difference shown", "cannot tell"] = "cannot tell"
    headline: bool = True
    scope: str = ""
    method: str = ""
    unit: str = ""
    n: int | None = None
    reason: str = ""
    context: dict[str, Any] = Field(default_factory=dict)


class SeedSummary(Record):
    """One quantity over the seeds of cells that differ in nothing else.

    ``deviation`` is the sample's (n - 1), ``low`` and ``high`` Student's t interval of the mean; null below three seeds.
    """

    quantity: str
    cells: list[str]
    seeds: list[int] = Field(default_factory=list)
    n: int
    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95


class AblationStep(Record):
    """One step of a walk from one preset to another: which option changed, and the models on both sides of the step."""

    option: str
    before: str
    after: str
    subject: str
    baseline: str


class Ablation(Record):
    """A walk from ``start`` to ``end``, one option at a time; deltas are read from the cells of the models that the steps name."""

    start: str
    end: str
    steps: list[AblationStep] = Field(default_factory=list)


class Verdict(Record):
    """A published claim beside what was measured.

    ``verdict``: kept, kept (exceeded), broken, cannot tell (the measured interval holds both), not tested here. ``low`` and ``high`` bound
    ``measured_value`` with 95 % confidence where an interval could be had.
    """

    claim: str
    summary: str
    claimed: str
    measured: str | None = None
    measured_value: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Literal["kept", "kept (exceeded)", "broken", "cannot tell", "not tested here"]
    missing: str | None = None
    subject: str | None = None
    cells: list[str] = Field(default_factory=list)
    source: str = ""


class RunResult(Record):
    """A whole run: what ``run.json`` holds."""

    schema_version: int = SCHEMA_VERSION
    command: str | None = None
    complete: bool = True
    config: dict[str, Any] = Field(default_factory=dict)
    environment: Environment = Field(default_factory=Environment)
    task: dict[str, Any] = Field(default_factory=dict)
    race: dict[str, Any] | None = None
    cells: list[CellResult] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    seeds: list[SeedSummary] = Field(default_factory=list)
    ablation: Ablation | None = None
    instruments: dict[str, Any] | None = None
    claims: list[Verdict] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
