"""Specs that plugins provide: light descriptions of models, losses, datasets, backends, recipes, claims, reporters, ..

A spec imports nothing heavy. ``build`` and the other callables are import strings (``"package.module:function"``), resolved
at first use, or plain callables.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segbench.errors import PluginError
from segbench.plugin.field_types import check_fields
from segbench.plugin.options import NoOptions, Options
from segbench.util.packages import installed_version
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from torch import Tensor, nn


IGNORE_INDEX = 255

BUILT_IN_AUGMENTATIONS = ("none", "standard", "enhanced", "crop")
"""Values of ``train.augmentation`` that need no plugin."""

Ref = str | Callable[..., Any]
"""An import string such as ``"package.module:function"``, or the callable itself."""


def resolve(ref: Ref) -> Callable[..., Any]:
    """The callable behind an import string.

    >>> resolve("math:sqrt")(9.0)
    3.0
    """
    if callable(ref):
        return ref
    module, _, attribute = ref.partition(":")
    if not attribute:
        raise PluginError(f"'{ref}' is not of the form 'package.module:function'")
    try:
        target: Callable[..., Any] = operator.attrgetter(attribute)(importlib.import_module(module))
    except AttributeError:
        raise PluginError(f"'{ref}': module {module} has no '{attribute}'") from None
    if not callable(target):
        raise PluginError(f"'{ref}' is not callable")
    return target


@dataclass(frozen=True)
class Normalisation:
    """Stored values to network values, per channel: ``(value * scale - mean) / std``.

    ``mean`` and ``std`` are in units of ``value * scale``; for 8-bit images scale is 1/255.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "normalisation", declared_by=Normalisation)
        if len(self.mean) != len(self.std) or not self.mean:
            raise PluginError(f"normalisation needs one mean and one std per channel, got {self.mean} and {self.std}")
        if not all(math.isfinite(v) for v in (*self.mean, *self.std, self.scale)) or min(self.std) <= 0:
            raise PluginError(f"normalisation needs finite means and positive deviations, got {self.mean}, {self.std}")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A segmentation task: its classes, its inputs and the reading of its labels.

    ``inputs`` maps input names to channels in order (``{"image": 3}``, ``{"sar": 2, "optical": 13}``). Mask values are
    ``0 .. num_classes - 1`` and ``ignore_index``. An input without ``normalisation`` is normalised by the mean and
    deviation of the training split, which the harness computes. ``rgb`` names the inputs whose colours may be jittered.
    ``headline`` is the class whose IoU is quoted beside mIoU (water, crack, ..).
    """

    class_names: tuple[str, ...]
    inputs: Mapping[str, int] = field(default_factory=lambda: {"image": 3})
    ignore_index: int = IGNORE_INDEX
    normalisation: Mapping[str, Normalisation] = field(default_factory=dict)
    palette: tuple[tuple[int, int, int], ...] = ()
    headline: str | None = None
    rgb: tuple[str, ...] = ("image",)
    kind: Literal["multiclass"] = "multiclass"

    def __post_init__(self) -> None:
        if self.kind != "multiclass":
            raise PluginError(
                f"task kind '{self.kind}' is not supported: segbench scores one class per pixel (multiclass); "
                "multi-label masks would need another metric"
            )
        check_fields(self, "task", declared_by=Task)
        if len(self.class_names) < 2:
            raise PluginError("a task needs at least two classes (for a binary task: background and foreground)")
        if len(set(self.class_names)) != len(self.class_names):
            raise PluginError(f"class names must differ: {', '.join(self.class_names)}")
        if not self.inputs or min(self.inputs.values()) < 1:
            raise PluginError("a task needs at least one input, each with at least one channel")
        if 0 <= self.ignore_index < len(self.class_names):
            raise PluginError(f"ignore_index {self.ignore_index} is also the class '{self.class_names[self.ignore_index]}'")
        if self.palette and len(self.palette) != len(self.class_names):
            raise PluginError(f"the palette has {counted(len(self.palette), 'colour')} for {len(self.class_names)} classes")
        if self.headline is not None and self.headline not in self.class_names:
            raise PluginError(f"headline class '{self.headline}' is not among the classes")
        for name, norm in self.normalisation.items():
            if name not in self.inputs or len(norm.mean) != self.inputs[name]:
                raise PluginError(f"normalisation of '{name}' does not fit inputs {dict(self.inputs)}")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Sample:
    """One image with its label: inputs (C, H, W) in their stored dtype, mask int64 (H, W), and an id that never changes."""

    inputs: Mapping[str, Tensor]
    mask: Tensor
    id: str


@dataclass(frozen=True)
class Problem:
    """Something wrong with data on disk. ``error`` makes a run impossible, ``warning`` deserves a look."""

    message: str
    severity: Literal["error", "warning"] = "error"
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file of a dataset on the net.

    target    path below the data folder where the file goes; a mirror that the user names is asked for ``MIRROR/target`` first
    urls      where it is, tried in order
    checksum  ``"md5:.."`` or ``"sha256:.."`` in hexadecimal; empty where its publisher gives none
    extract   the file is an archive: its members go to this folder below the data folder, and the archive is deleted
    provides  path below the data folder that exists once all is done: where it does, nothing is downloaded (default ``target``)
    """

    target: str
    urls: tuple[str, ...]
    checksum: str = ""
    extract: str | None = None
    provides: str = ""

    def __post_init__(self) -> None:
        check_fields(self, f"download '{self.target}'", declared_by=Download)


@dataclass(frozen=True, kw_only=True)
class _Spec:
    name: str
    summary: str

    def __post_init__(self) -> None:
        declared_by = next(cls for cls in type(self).__mro__ if cls.__module__ == __name__)  # a plugin may have a subclass of its own
        check_fields(self, f"{declared_by.__name__.removesuffix('Spec').lower()} '{self.name}'", declared_by=declared_by)


@dataclass(frozen=True, kw_only=True)
class _BuiltSpec(_Spec):
    build: Ref
    options: type[Options] = NoOptions
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """The making of a model from trained ones, which its option ``of`` names: models of the same run, or ``RUN/CELL``.

    kind       what results call such a model: "prune", "ensemble"
    make       ``make(bases, inputs, task, options) -> nn.Module``: from networks in eval mode, on the CPU, and example inputs. May
               change the bases in place
    rebuild    ``rebuild(bases, state, task, options) -> nn.Module``: the architecture that ``state`` is of, from untrained bases, so that
               a checkpoint is loaded without the files that it was made of
    like_base  True: ``bases`` holds the one plugin's model as it is, and what comes of it keeps that model's inputs, outputs, auxiliary
               heads and padding. False: bases map inputs (N, C, H, W) to logits (N, K, H, W), and so must the result
    trains     whether training follows
    least      fewest bases
    describe   ``describe(options) -> "pruned by 30 % from"``: what stands before the names of the bases in reports
    """

    kind: str
    make: Ref
    rebuild: Ref
    describe: Ref
    like_base: bool = False
    trains: bool = False
    least: int = 1

    def __post_init__(self) -> None:
        check_fields(self, f"derivation '{self.kind}'", declared_by=Derivation)


_SAME_FOR_ALL_OPTIONS = frozenset({"name", "summary", "source", "options", "derives", "for_options"})


@dataclass(frozen=True, kw_only=True)
class GivenWeights:
    """What is known of the weights that a model comes with.

    digest        of all that its results depend on beside its options: the content of its files
    class_names   of the output's channels, in order; None where nothing names them: they are the dataset's, which has as many
    trained_on    the dataset of the weights, where that is known
    fixed_size    (height, width) to which every image is padded; None where the network takes any
    uncalibrated  why there are no probabilities to calibrate; empty where there are
    notes         sentences for the result's row
    """

    digest: str
    class_names: tuple[str, ...] | None = None
    trained_on: str | None = None
    fixed_size: tuple[int, int] | None = None
    uncalibrated: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "given weights", declared_by=GivenWeights)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters, multiply-adds for one image, and MB of 2**20 bytes; ``missing`` says why one of them is None."""

    params: int | None = None
    macs: int | None = None
    size_mb: float | None = None
    missing: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "counts", declared_by=Counts)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(_BuiltSpec):
    """An architecture: ``build(task, options) -> nn.Module`` that maps inputs (N, C, H, W) to logits (N, K, h, w).

    inputs          names of the task inputs that ``forward`` takes, in positional order
    channels        channel counts that each input can take, where not any ({"image": (3,)})
    size_multiple   height and width must be multiples of this; the harness pads (reflection-free, on the right and bottom) and crops
    min_size        smallest height and width
    max_size        largest height and width; larger images are taken in tiles (``eval.tile``)
    fixed_size      the only (height, width) that it takes, as of many transformers: smaller images are padded up to it, larger ones are
                    taken in tiles of it
    margin          pixels at each border of the input that have no output, as with unpadded convolutions (the first U-Net): the harness
                    mirrors the image at its borders by as many, so that every pixel has logits (the overlap-tile strategy of
                    Ronneberger et al., MICCAI 2015, arXiv 1505.04597, p. 3)
    read_output     ``read_output(output) -> {"logits": .., aux..}`` where forward returns something unusual
    aux_weights     weight of each auxiliary output's loss by name ({"aux": 0.4}); outputs not named weigh nothing
    parts           part name -> prefixes of parameter names ({"encoder": ("backbone.",)}), for counts per part
    head            prefixes of parameter names that depend on the class count (left out of ``init_from`` across class counts)
    normalise       ``normalise(task, options) -> {input: Normalisation} | None``: a pretrained encoder's own
    deployed        ``deployed(model) -> model`` without what only training needs (auxiliary heads). Without it, modules that serve
                    auxiliary outputs alone are dropped where the logits stay bit-identical, and kept otherwise, with a note
    check           ``check(task, options) -> [what is missing and how to get it, ..]``, called at planning; cheap
    class_names     ``class_names(options) -> names in order``: the classes of the weights that the options load, where their class layer
                    is kept for these names only; None where they have no class layer. Such a model is not scored as given on others
    for_options     ``for_options(options) -> {field: value}``: fields of this spec that depend on the options, such as ``head``,
                    ``parts``, ``aux_weights``, ``deployed`` or ``fixed_size``; cheap, as every command that names the model calls it
    derives         :class:`Derivation` of a model that is made of trained ones; ``build`` is not called then
    reconstruction  what the network was made from where its authors published no code ("the flood guide's text, which gives no layer
                    code"); verdicts on claims about it then say "of this reconstruction"
    given           ``given(task, options) -> GivenWeights``, called at planning: the network comes with its weights (an exported file) and
                    is never trained
    counts          ``counts(task, options, size) -> Counts`` for one image of ``size`` (height, width), where the network's operations do
                    not run in PyTorch and cannot be counted there
    """

    inputs: tuple[str, ...] = ("image",)
    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    size_multiple: int = 1
    min_size: int = 1
    max_size: int | None = None
    fixed_size: tuple[int, int] | None = None
    margin: int = 0
    read_output: Ref | None = None
    aux_weights: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    head: tuple[str, ...] = ()
    normalise: Ref | None = None
    deployed: Ref | None = None
    check: Ref | None = None
    class_names: Ref | None = None
    for_options: Ref | None = None
    derives: Derivation | None = None
    reconstruction: str = ""
    given: Ref | None = None
    counts: Ref | None = None

    def with_options(self, options: Options) -> ModelSpec:
        """The spec with the fields that depend on these options. Raises :class:`PluginError` for names that are no such fields."""
        if self.for_options is None:
            return self
        changes = dict(resolve(self.for_options)(options))
        unknown = sorted(set(changes) - ({one.name for one in fields(self)} - _SAME_FOR_ALL_OPTIONS))
        if unknown:
            raise PluginError(f"model '{self.name}': for_options gives {', '.join(unknown)}, which no option may change")
        return replace(self, **changes, for_options=None)


@dataclass(frozen=True)
class Progress:
    """The progress of training, for losses that change with time. ``share`` runs from 0 to 1."""

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def share(self) -> float:
        return self.step / self.steps if self.steps else 0.0


@dataclass(frozen=True)
class LossBatch:
    """The batch that a loss with ``takes = "batch"`` gets beside the outputs: normalised inputs, mask (N, H, W) and extras.

    ``output_weights`` are the weights of the model's outputs by name; empty where only ``logits`` counts.
    """

    inputs: tuple[Tensor, ...]
    mask: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    output_weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LossFormula:
    """A loss's mathematics, written a second time so that ``segbench check`` and the conformance classes can compare the loss with it.

    function     ``function(logits, mask, ignore_index=.., options=.., share=..) -> float``: plain numpy in float64, logits (N, K, H, W)
                 and mask (N, H, W) as arrays, ``share`` of training that has passed; calls nothing of the loss itself
    choices      the loss with options, beside its defaults: ``("focal[gamma=1]",)``
    worked       ``worked() -> [(what, expected, measured), ..]``: worked figures of a paper or guide, ``measured`` by the loss's code
    num_classes  classes of the scene it is tried on
    """

    function: Ref
    choices: tuple[str, ...] = ()
    worked: Ref | None = None
    num_classes: int = 5

    def __post_init__(self) -> None:
        check_fields(self, "formula", declared_by=LossFormula)


@dataclass(frozen=True, kw_only=True)
class LossSpec(_BuiltSpec):
    """A training loss: ``build(task, options) -> callable`` (an ``nn.Module`` where it has parameters or buffers).

    takes = "logits"  ``loss(logits, mask) -> scalar``: applied to each output head with its weight
    takes = "batch"   ``loss(outputs, batch, progress) -> scalar | {part: scalar}``: outputs {"logits": .., aux..} at mask size,
                      batch :class:`LossBatch`, progress :class:`Progress`; parts are summed and logged
    prepare           ``prepare(mask) -> {name: tensor}``, run in the loader's worker after geometry; fills ``batch.extras``
    check             ``check(task, options) -> [what is missing, ..]``, called at planning
    formula           :class:`LossFormula`, which ``segbench check`` holds the loss against
    class_weights     ``class_weights(options, weights_of) -> options`` with numbers in place of rules, before ``build``:
                      ``weights_of("auto")`` gives one weight per class, computed from the training split (:data:`WeightRule` is the
                      type of such an option). A loss without rules among its options calls it never
    distils           the loss learns from a trained network: its option ``loss`` names another loss, ``teacher`` the network, and it is
                      built by ``build(task, options, inner, teacher)`` with ``inner(outputs, batch, progress) -> scalar`` (a module) and
                      ``teacher(inputs, size) -> logits`` (N, K, *size) float32, without a graph. Needs takes = "batch"
    """

    takes: Literal["logits", "batch"] = "logits"
    prepare: Ref | None = None
    check: Ref | None = None
    formula: LossFormula | None = None
    class_weights: Ref | None = None
    distils: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(_Spec):
    """A dataset.

    task        ``task(options) -> Task``; reads no data. ``task(options, root)`` where class names may stand in a file of the data folder
    splits      names of its splits, or ``splits(options) -> names``
    load        ``load(root, split, options) -> Sequence[Sample]``; root is None for embedded datasets; cheap to create, samples are
                read on access, picklable
    unions      splits that are declared unions of others: {"trainval": ("train", "val")}
    groups      ``groups(root, split, options) -> Sequence[str]``: for each sample, which scene it belongs to
    check_data  ``check_data(root, options) -> [Problem, ..]``: what goes wrong with this layout in practice (beside the general
                checks, which are the harness's)
    check       ``check(task, options) -> [what is missing, ..]``
    unused      ``unused(root, options) -> {path: reason}``: files below the data folder that no split uses
    remedies    which of the options ``value_map``, ``ignore``, ``colours`` and ``group`` it has, with the meaning that they have in
                ``folder``: advice on labels and splits names only these
    fetch       ``fetch(root, options) -> Iterable[Download]``: what ``segbench data fetch`` downloads; each is on disk before
                the next is asked for, so that a generator can read a list that it has just been given
    embedded    True where no data folder is needed
    recipe      name of the recipe that fits it, for runs that name none; by default ``smoke`` where it is embedded, else ``quick-test``
    """

    task: Ref
    splits: tuple[str, ...] | Callable[[Any], Sequence[str]]
    load: Ref
    options: type[Options] = NoOptions
    unions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Ref | None = None
    check_data: Ref | None = None
    check: Ref | None = None
    unused: Ref | None = None
    remedies: tuple[str, ...] = ()
    fetch: Ref | None = None
    embedded: bool = False
    recipe: str | None = None
    source: str = ""

    def split_names(self, options: Options) -> tuple[str, ...]:
        """Names of all splits, declared unions among them."""
        return tuple(self.splits(options)) if callable(self.splits) else self.splits

    def make_task(self, options: Options, root: Path | None) -> Task:
        """The task of the dataset that lies in ``root`` (None where it is embedded)."""
        task = resolve(self.task)
        made: Task = task(options, root) if len(inspect.signature(task).parameters) > 1 else task(options)
        return made


@dataclass(frozen=True)
class Target:
    """The device ("cpu", "cuda:0") and CPU threads (None: the runtime's own choice) on which a deployed model runs."""

    device: str = "cpu"
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class BackendSpec(_Spec):
    """A way to deploy a trained network. ``network`` maps inputs (N, C, H, W) to logits (N, K, H, W), in eval mode.

    In memory (``eager``, ``compile``), where nothing is written:
    build       ``build(network, inputs, options) -> callable(*inputs) -> logits``; ``inputs`` are example tensors

    Through a file, which can be shipped without segbench and torch (``onnxruntime``, ``openvino``):
    export      ``export(network, inputs, folder, options, calibration) -> Path``: write the file for exactly these input shapes below
                ``folder`` (empty; all that lies there afterwards counts as its size) and return its path; ``calibration`` is a sequence
                of input tuples from the training split, empty where the backend does not calibrate. An operator that cannot be exported
                is named in the :class:`~segbench.BackendError` raised
    load        ``load(path, options, target) -> callable(*inputs) -> logits``, in a process that has no network; idle threads must not spin
    annotate    ``annotate(path, {key: text}) -> None``: write metadata into the file, where its format has room for it

    fixed_size  whether the form takes only the size that it was made for; by default a file does and a form in memory does not. Where
                the options have ``dynamic``, that decides; a form that takes any size is tried at three others
    precision   ``precision(options) -> "fp32" | "bf16" | "fp16" | "int8"``; by default the option ``precision`` where there is one
    calibrates  ``calibrates(options) -> bool``: whether export needs calibration images
    devices     where it can run
    package     the distribution whose version is recorded beside the results ("onnxruntime")
    check       ``check(task, options) -> [what is missing and how to get it, ..]``, called at planning
    """

    build: Ref | None = None
    export: Ref | None = None
    load: Ref | None = None
    annotate: Ref | None = None
    fixed_size: bool | None = None
    options: type[Options] = NoOptions
    precisions: tuple[str, ...] = ("fp32",)
    precision: Ref | None = None
    calibrates: Ref | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    package: str | None = None
    check: Ref | None = None
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.build is None) == (self.export is None) or (self.export is None) != (self.load is None):
            raise PluginError(f"backend '{self.name}' needs either build, or export and load")

    def precision_of(self, options: Options) -> str:
        """The numeric format that this choice of options runs in."""
        if self.precision is not None:
            return str(resolve(self.precision)(options))
        return str(getattr(options, "precision", self.precisions[0]))

    def installed_version(self) -> str | None:
        """The version of ``package``, None where it is not installed or none is named."""
        return installed_version(self.package) if self.package else None

    def takes_any_size(self, options: Options) -> bool:
        """True where the deployment takes images of other sizes than it was made for."""
        dynamic = getattr(options, "dynamic", None)
        if dynamic is not None:
            return bool(dynamic)
        return self.export is None if self.fixed_size is None else not self.fixed_size

    def needs_calibration(self, options: Options) -> bool:
        """True where export needs images of the training split."""
        return bool(self.calibrates is not None and resolve(self.calibrates)(options))


@dataclass(frozen=True, kw_only=True)
class Recipe(_Spec):
    """Named settings: dotted keys as in a config file ({"train.epochs": 50}), and optionally a default loss and dataset."""

    settings: Mapping[str, Any]
    loss: str | None = None
    dataset: str | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim(_Spec):
    """A published figure, to be compared with measured ones.

    name         unique id ("deeplab/optimized-params")
    summary      the statement in the source's words
    read_as      how this claim reads the statement, where it can be read in another way, too ("less time" beside "more speed")
    reading_of   the claim that this is another reading of: reports count all readings of it as one claim with one verdict. Two figures that
                 contradict each other are two claims
    subject      the model (or ``model|loss``) that the claim speaks of, in the grammar of names
    baseline     what it is compared with, where the reading is relative
    quantity     what is measured: a name of :data:`segbench.results.metrics.METRICS` ("params", "size_mb", "latency_ms", "miou", ..)
    reading      value: the quantity itself; ratio: subject / baseline; speedup: baseline / subject for times, subject / baseline for
                 rates; reduction: 1 - subject / baseline; points: subject - baseline
    comparator   about (value +- tolerance, relative), at least, at most, range (low..high)
    value        the figure; for ``range`` the low end, with ``high`` the other
    conditions   what must hold for the claim to be judged ({"dataset": "voc2012", "image_size": 512, "device": "cuda"})
    baseline_conditions  what must hold for the baseline instead, where it differs from the subject in a setting and not (only) in its
                 model ({"train.batch_size": 8} beside conditions {"train.batch_size": 16}); all else is equal on both sides
    modules      for quantities of a part of the network ("module_params"): dotted names or classes of the modules whose sum is meant, each
                 with everything below it; ``baseline_modules`` those of the baseline where they are others
    source       where it stands
    """

    subject: str
    quantity: str
    comparator: Literal["about", "at least", "at most", "range"]
    value: float
    source: str
    baseline: str | None = None
    reading: Literal["value", "ratio", "speedup", "reduction", "points"] = "value"
    high: float | None = None
    tolerance: float = 0.0
    unit: str = ""
    good: Literal["higher", "lower"] = "higher"
    conditions: Mapping[str, Any] = field(default_factory=dict)
    baseline_conditions: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    baseline_modules: tuple[str, ...] = ()
    reading_of: str = ""
    read_as: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reading_of and not self.read_as:
            raise PluginError(f"claim '{self.name}': a reading of '{self.reading_of}' needs read_as, which distinguishes the two")
        if not all(math.isfinite(figure) for figure in (self.value, self.tolerance, self.high or 0.0)):
            raise PluginError(f"claim '{self.name}': its figures must be finite")
        if self.comparator == "range" and (self.high is None or self.high < self.value):
            raise PluginError(f"claim {self.name}: a range needs high >= value")
        if self.reading != "value" and self.baseline is None:
            raise PluginError(f"claim {self.name}: a {self.reading} needs a baseline")


@dataclass(frozen=True, kw_only=True)
class Reporter(_Spec):
    """A report format: ``render(result, target) -> text``.

    With ``suffix`` ("md") the harness writes the text to ``report.<suffix>`` in ``target.directory``; without one it prints it.
    Pictures and other side files are written by ``render`` below ``target.directory``. ``overview({name: result}, target) -> text``
    puts several runs into one document; each one's own report lies below ``target.directory``, in a folder of that name.
    ``site({name: result}, target)`` writes the pages above several runs (``segbench publish``); each one's own files lie below
    ``target.directory / "runs"``, in a folder of that name.
    ``comparison(comparison, target) -> text`` shows what ``segbench compare`` found.
    Models are given by their short names, ``cell.identity`` is the whole one; with ``whole_names`` (data formats) by their whole names.
    """

    render: Ref
    suffix: str = ""
    overview: Ref | None = None
    comparison: Ref | None = None
    site: Ref | None = None
    check: Ref | None = None
    whole_names: bool = False


@dataclass(frozen=True, kw_only=True)
class ConverterSpec(_Spec):
    """A reader of an annotation tool's files, which writes them anew as a dataset that ``--dataset OUT`` reads.

    convert  ``convert(source, out, options, skip_missing) -> Conversion``: read the folder ``source`` and write the folder ``out``, which
             does not exist yet, with a ``dataset.toml`` in it (what that holds: :mod:`segbench.config.dataset_file`).
             Nothing outside of the two is read or written. ``skip_missing``: images that are not on disk are left out and counted
    check    ``check(options) -> [what is missing and how to get it, ..]``
    """

    convert: Ref
    options: type[Options] = NoOptions
    check: Ref | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of a conversion.

    splits         images per split that the source has; one entry ``""`` where it has none
    objects        objects painted per class name, in the order of the class ids
    empty          images without any object: background alone
    not_converted  objects that were not painted as their class, counted by reason
    skipped        images that are not on disk and were left out
    notes          sentences on what was decided for the user
    """

    splits: Mapping[str, int]
    objects: Mapping[str, int]
    empty: int = 0
    not_converted: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "conversion", declared_by=Conversion)


@dataclass(frozen=True)
class ReportTarget:
    """The target of a report: its directory, the run's directory (None for results without one), and the terminal's width in columns.

    ``everything``: nothing is to be left out for brevity. ``home``: address of the page above a report, which links to it; of a site, where
    it will be served, with its ``title``.
    """

    directory: Path
    run_directory: Path | None = None
    width: int = 120
    color: bool = False
    home: str = ""
    title: str = ""
    everything: bool = False


@dataclass(frozen=True, kw_only=True)
class MetricSpec(_Spec):
    """A score of the predictions on a split, beside segbench's own; chosen by ``eval.metrics`` or ``--metrics``.

    Either of these computes it, with numpy arrays that are its own:
    from_confusions  ``from_confusions(matrices)``: int64 (N, K, K), an image each, rows = label, columns = prediction. Returns one float,
                     which must be that of the sum of the matrices; or one value for each image (N,), whose mean is the score
    from_image       ``from_image(prediction, mask, ignore_index) -> float``: class ids int64 (H, W) at the label's own size;
                     ``ignore_index`` stands in ``mask`` alone. The score is the mean over the images
    A value of NaN for an image says that its label has nothing to be scored: the image is left out. One float of NaN is no score.

    title    in tables and sentences ("Dice"); by default the name
    unit     "%" for shares from 0 to 1, which are shown times 100 and compared in points; else letters ("px"), or "" for a plain number
    better   which direction is an improvement
    digits   decimals in tables, where the unit is not "%" (per cent has one)
    meaning  one sentence for the readers of reports; by default the summary
    column   whether it has a column in the main table; it always stands in the table of conventions
    """

    from_confusions: Ref | None = None
    from_image: Ref | None = None
    title: str = ""
    unit: str = "%"
    better: Literal["higher", "lower"] = "higher"
    digits: int = 2
    meaning: str = ""
    column: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.from_confusions is None) == (self.from_image is None):
            raise PluginError(f"metric '{self.name}' needs either from_confusions or from_image")
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise PluginError(f"metric '{self.name}': a name has lower-case letters, digits and underscores, such as mean_dice")
        if not re.fullmatch("%|[A-Za-z]*", self.unit):
            raise PluginError(f"metric '{self.name}': its unit is '{self.unit}'; expected %, letters such as px, or nothing")
        if not 0 <= self.digits <= 6:
            raise PluginError(f"metric '{self.name}': digits is {self.digits}; expected 0 to 6 decimals")


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(_BuiltSpec):
    """A random change of training samples: ``build(task, options, size) -> transform``; chosen by ``train.augmentation=NAME[option=..]``.

    ``transform(inputs, mask) -> (inputs, mask)``, as torchvision's transforms v2 are called: ``inputs`` maps names to
    ``tv_tensors.Image`` (C, H, W), uint8 or float32 as stored and not normalised, and ``mask`` is a ``tv_tensors.Mask`` (H, W) int64 of
    class ids and ``task.ignore_index``. Both come back with the same names, channels and dtypes, at ``size`` (height, width). What lies
    outside of the image is ``task.ignore_index`` in the mask: transforms that pad take ``fill={tv_tensors.Mask: task.ignore_index, ..}``.
    Random numbers come from torch, ``random`` or ``numpy.random``, which are seeded for each sample; nothing is kept between samples.

    native       the transform gets samples at their own size, and must bring them to ``size``; else they have been resized to it
    adds_labels  it may paint classes that a sample does not have (objects pasted in); without it segbench refuses such a transform, as
                 padding with class 0 looks like that
    check        ``check(task, options) -> [what is missing and how to get it, ..]``, called at planning
    """

    native: bool = False
    adds_labels: bool = False
    check: Ref | None = None


Builder = Callable[[Task, Options], "nn.Module"]
Spec = ModelSpec | LossSpec | DatasetSpec | BackendSpec | Recipe | Claim | Reporter | ConverterSpec | MetricSpec | AugmentationSpec
