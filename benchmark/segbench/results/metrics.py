"""The table of metrics: what is measured, where it stands in ``run.json``, what it is called, and how it is printed and compared.

Tables, boards, CSV, comparisons, gates, claims and seeds all draw from :data:`METRICS`; a metric that is registered there appears in each
of them that it has a part for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from segbench.errors import PluginError, UnknownNameError, did_you_mean
from segbench.results import readings
from segbench.results.readings import MetricReading, ModuleReadings, Readings, RecordName, Shown, ShownValue
from segbench.results.records import CellResult
from segbench.results.training_epochs import QUIET


@dataclass(frozen=True)
class TableColumn:
    """A metric's column in the main table.

    order         place among the columns, from the left
    priority      columns with a low one stay on a narrow screen
    key           name in the page's data, where it is not the metric's
    unit          second line of the heading, where it says more than the unit; ``{batch}`` is the timed batch
    narrow_title  heading in the terminal, with ``narrow_unit``
    relative      a row's ratio or points against the first row stand below the value
    quiet         the value is shown without its spread
    question      what the best of the column answers ("Fewest parameters"); empty for none
    """

    order: int = 100
    priority: int = 9
    key: str = ""
    unit: str = ""
    narrow_title: str = ""
    narrow_unit: str = ""
    relative: bool = True
    quiet: bool = False
    question: str = ""


@dataclass(frozen=True)
class ChangeRow:
    """A metric's row in a comparison of two runs, and the conditions that ``--fail-on`` takes.

    Counts (no ``noise``) and scores get their rows from this entry alone; for times and memory the comparison knows how to relate two runs.

    name   in the comparison's document and in conditions, where it is not the metric's
    title  in the comparison's table, where it is not the metric's
    unit   of the values in the document, where it is not :attr:`Metric.stored_unit`
    units  absolute units of a threshold and what one of them is; a ratio also takes per cent, a score takes points only
    """

    name: str = ""
    title: str = ""
    unit: str = ""
    units: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric: one entry of the table.

    name      canonical name; ``aliases`` are further ones that users type and documents carry
    title     in a table's head; ``axis`` at an axis and in a sentence of the summary, ``words`` in a claim's
    meaning   a sentence for readers, starting with the title in bold
    unit      behind a shown value, which is the stored one times ``scale``; claims print it with ``digits`` decimals (0: a count), tables
              per cent with one decimal and all else with three significant digits
    better    which direction is an improvement; None where neither is
    compare   two models or runs are compared by ratio, by the difference of a score (of shares in points), or (None) not at all
    noise     what makes it vary: nothing (a count), the processes that memory was read in, calls, epochs, seeds and images (``scores`` that
              ``segbench.analysis.statistics.scores`` takes of drawn images), or ``seeds`` only
    depends   what a claim must hold fixed: the ``network`` (and where it runs), or also its ``training``; None: no claim can name it
    of_class  of the task's headline class, whose name stands behind the title
    at_input  counted for the input shape that the cell states
    record    the record of ``run.json`` with its ``key``; None where it is made of several
    readings  all values of a cell with their circumstances, for claims; by default the one at ``record`` and ``key``
    of_modules  the same of a part of the network, which a claim names by its modules
    shown     the one value of a cell that tables show; by default the same
    column    its column in the main table, if it has one
    change    its row in comparisons of two runs, if it has one
    """

    name: str
    title: str = ""
    axis: str = ""
    words: str = ""
    meaning: str = ""
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    better: Literal["higher", "lower"] | None = "lower"
    compare: Literal["ratio", "points"] | None = "ratio"
    noise: Literal["none", "memory", "calls", "epochs", "scores", "seeds"] = "none"
    depends: Literal["network", "training"] | None = "network"
    of_class: bool = False
    at_input: bool = False
    record: RecordName | None = None
    key: str = ""
    readings: Readings | None = None
    of_modules: ModuleReadings | None = None
    shown: Shown | None = None
    column: TableColumn | None = None
    change: ChangeRow | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spelled = self.name.replace("_", " ")
        defaults = {"title": spelled, "words": spelled, "axis": self.title or spelled, "key": self.name}
        for attribute, default in defaults.items():
            if not getattr(self, attribute):
                object.__setattr__(self, attribute, default)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which it can be found."""
        return tuple(dict.fromkeys([self.name, self.column_key, self.change_name, *self.aliases]))

    @property
    def column_key(self) -> str:
        """Its name in the data of the main table."""
        return (self.column.key if self.column else "") or self.name

    @property
    def column_unit(self) -> str:
        """The second line of its heading in tables; ``{batch}`` stands for the timed batch."""
        return (self.column.unit if self.column else "") or self.unit

    def heading(self, headline: str) -> str:
        """The first line of its heading in tables of a task with this headline class."""
        return f"{self.title} {headline}" if self.of_class else self.title

    @property
    def change_name(self) -> str:
        """Its name in comparisons of two runs and in ``--fail-on``."""
        return (self.change.name if self.change else "") or self.name

    @property
    def change_title(self) -> str:
        """Its title in comparisons of two runs."""
        return (self.change.title if self.change else "") or self.title

    @property
    def change_unit(self) -> str:
        """The unit of its values in comparisons of two runs."""
        return (self.change.unit if self.change else "") or self.stored_unit

    @property
    def stored_unit(self) -> str:
        """The unit of a stored value; empty for a plain count."""
        return "share" if self.unit == "%" else self.unit if self.scale == 1 else ""

    @property
    def axis_title(self) -> str:
        """``latency, batch 1 (ms)``."""
        unit, _, under = self.column_unit.partition(", ")
        return f"{self.axis}, {under} ({unit})" if under else f"{self.axis} ({unit})"

    @property
    def threshold_units(self) -> dict[str, float]:
        """Units of a threshold of ``--fail-on``, and what one of each is in stored units, or as a share for per cent."""
        relative = {} if self.is_score and self.unit != "%" else {"pt" if self.is_score else "%": 0.01}
        return {**relative, **(self.change.units if self.change else {})}

    @property
    def is_score(self) -> bool:
        """Compared by difference: a share of pixels or images in points, a plugin's score in its own unit."""
        return self.compare == "points"

    @property
    def is_rate(self) -> bool:
        """Compared by ratio, where more is faster: a speed-up is subject / baseline."""
        return self.compare == "ratio" and self.better == "higher"

    @property
    def csv_column(self) -> str:
        """Its column in the CSV report."""
        return self.key if self.record in ("cell", None) else f"{self.record}_{self.key}"

    def read(self, cell: CellResult, modules: tuple[str, ...] = ()) -> Iterator[MetricReading]:
        """All values of a cell, each with its circumstances; ``modules`` name the part where the metric is one of a part."""
        if self.of_modules is not None:
            return self.of_modules(cell, modules)
        if self.readings is not None:
            return self.readings(cell)
        if self.record in ("quality", "metrics"):
            return readings.score(cell, self.key, self.record)
        return readings.count(cell, self.record or "cell", self.key, at_input=self.at_input)

    def value(self, cell: CellResult) -> ShownValue | None:
        """The value of a cell that tables show; None where it was not measured, and no score of a cell that failed."""
        if self.record in ("quality", "metrics") and cell.status == "failed":
            return None
        if self.shown is not None:
            return self.shown(cell)
        number = readings.finite(readings.stored(cell, self.record, self.key)) if self.record else None
        return None if number is None else ShownValue(number)


class MetricTable(Mapping[str, Metric]):
    """Metrics in the order of tables, by any of their names; iteration gives the canonical ones."""

    def __init__(self, metrics: tuple[Metric, ...] = ()) -> None:
        self._metrics: dict[str, Metric] = {}
        self._by_name: dict[str, Metric] = {}
        for metric in metrics:
            self.register(metric)

    def register(self, metric: Metric) -> None:
        """Add a metric behind the others. Raises :class:`PluginError` where a name is taken or cannot be typed."""
        for name in metric.names:
            if name in self._by_name:
                raise PluginError(f"metric '{metric.name}': the name '{name}' belongs to '{self._by_name[name].name}'")
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise PluginError(f"metric '{metric.name}': '{name}' is no name: lower-case letters, digits and underscores")
        self._metrics[metric.name] = metric
        self._by_name |= dict.fromkeys(metric.names, metric)

    def remove(self, name: str) -> None:
        """Take a metric out again, with all of its names."""
        metric = self._metrics.pop(self._by_name[name].name)
        for each in metric.names:
            del self._by_name[each]

    def __getitem__(self, name: str) -> Metric:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    @property
    def scores(self) -> list[Metric]:
        """Those that are compared in points: over images, over seeds and between runs."""
        return [metric for metric in self.values() if metric.is_score]

    @property
    def columns(self) -> list[Metric]:
        """Those of the main table, from the left."""
        return sorted((metric for metric in self.values() if metric.column), key=lambda metric: metric.column.order if metric.column else 0)

    @property
    def changes(self) -> list[Metric]:
        """Those that comparisons of two runs have rows for."""
        return [metric for metric in self.values() if metric.change]


def _score(name: str, *, column: TableColumn | None = None, change: ChangeRow | None = None, **other: Any) -> Metric:
    """A share of pixels or images; ``compare`` only where ``change`` says that runs are compared by it."""
    shared: dict[str, Any] = {
        "unit": "%",
        "scale": 100.0,
        "better": "higher",
        "noise": "scores",
        "depends": "training",
        "record": "quality",
    }
    return Metric(name, compare="points" if change else None, column=column, change=change, **(shared | other))


def _params(name: str, **other: Any) -> Metric:
    return Metric(name, unit="M", scale=1e-6, **({"record": "cell"} | other))


def _operations(name: str, **other: Any) -> Metric:
    return Metric(name, unit="G", scale=1e-9, digits=3, at_input=True, record="cell", **other)


METRICS = MetricTable(
    (
        _score(
            "miou",
            title="mIoU",
            words="mIoU",
            meaning=(
                "**mIoU**: intersection over union, averaged over the classes that have labels in the scored split; from one confusion "
                "matrix over the whole split, at the labels' own resolution (logits are resized to the label, labels never are)."
            ),
            column=TableColumn(1, priority=0, question="Highest mIoU"),
            change=ChangeRow(),
        ),
        _score(
            "training_score",
            meaning="**training score**: mIoU on a split that was trained on. It is not comparable with mIoU.",
            better=None,
            depends=None,
            column=TableColumn(3, priority=1, narrow_title="train score"),
        ),
        _score(
            "miou_micro",
            title="IoU, pooled (micro)",
            meaning="**pooled (micro)**: all classes' pixels in one count; large classes decide, and it is higher than mIoU nearly always.",
        ),
        _score(
            "miou_imagewise",
            title="mIoU, image by image",
            meaning=("**image by image**: each image's mean over its own classes, averaged over images; small objects weigh more."),
        ),
        _score("miou_frequency_weighted", title="IoU, frequency weighted"),
        _score("pixel_accuracy"),
        _score("mean_accuracy", title="mean class accuracy"),
        _score(
            "headline_iou",
            title="IoU",
            axis="IoU of the headline class",
            meaning="**IoU** of one class: the same, for the class that the task is about.",
            of_class=True,
            column=TableColumn(2, priority=1),
            change=ChangeRow(),
            aliases=("headline",),
        ),
        _score(
            "miou_worst_decile",
            title="worst tenth of images",
            axis="mIoU of the worst tenth of the images",
            meaning="**worst tenth of images**: the same, over the images that score lowest.",
            depends=None,
        ),
        _score(
            "boundary_iou",
            meaning=(
                "**boundary IoU** (Cheng et al. 2021): mIoU of the strips inside the masks' outlines, 2 % of the image's diagonal wide. "
                "Ignored pixels are cut out of labels and predictions before outlines are drawn."
            ),
            title="boundary IoU",
            depends=None,
            change=ChangeRow(),
            aliases=("boundary",),
        ),
        _score(
            "boundary_iou_uncut",
            meaning=(
                "**boundary IoU, uncut**: the same, but outlines of predictions are drawn before ignored pixels are cut out. It is lower "
                "where labels have ignored pixels: labels end there, predictions do not."
            ),
            title="boundary IoU, uncut",
            depends=None,
        ),
        _score(
            "ece",
            title="calibration error",
            meaning=(
                "**calibration error** (ECE, 15 bins): mean distance between a pixel's highest probability and how often such pixels are "
                "right."
            ),
            better="lower",
            depends=None,
        ),
        _params(
            "params",
            axis="parameters",
            words="parameters",
            meaning=(
                "**params**: parameters of the model as deployed, in millions (10⁶); auxiliary heads that only training needs are left "
                "out, weights in buffers are included."
            ),
            readings=readings.params,
            shown=readings.shown_params,
            column=TableColumn(4, priority=1, question="Fewest parameters"),
            change=ChangeRow(units={"M": 1e6, "": 1.0}),
        ),
        _params("params_trained"),
        _params("encoder_params", words="parameters of the encoder", record=None, readings=readings.encoder_params),
        _operations(
            "macs",
            title="MACs",
            meaning=(
                "**MACs**: multiply-adds of convolutions, linear layers and matrix products for one image, in thousand millions (10⁹); "
                "FLOPs are twice that. ≥: some could not be counted."
            ),
            readings=readings.multiply_adds("macs"),
            shown=readings.shown_macs,
            column=TableColumn(6, priority=4, question="Fewest MACs"),
            change=ChangeRow(units={"G": 1e9, "M": 1e6}),
        ),
        _operations("flops", readings=readings.multiply_adds("flops")),
        _operations("fvcore_flops"),
        Metric(
            "size_mb",
            title="size",
            words="size",
            meaning="**size**: these parameters as 32-bit floats, in MB of 2²⁰ bytes.",
            unit="MB",
            record="cell",
            column=TableColumn(5, priority=8, relative=False),
            change=ChangeRow("size", title="weights", units={"MB": 1.0}),
        ),
        Metric("size_decimal_mb", words="size in decimal megabytes", unit="MB of 10⁶ bytes", readings=readings.size_decimal_mb),
        Metric("module_params", words="parameters of the modules", digits=0, of_modules=readings.module_params),
        Metric("module_macs", words="multiply-adds of the modules", unit="G", scale=1e-9, digits=3, of_modules=readings.module_macs),
        Metric("module_ms", words="time of the modules", unit="ms", noise="calls", of_modules=readings.module_ms),
        Metric("module_count", words="number of modules", digits=0, of_modules=readings.module_count),
        Metric(
            "deployed_file_mb",
            title="file",
            words="size of the exported file",
            unit="MB",
            record="deployment",
            key="file_mb",
            readings=readings.deployed_file_mb,
            change=ChangeRow("file", units={"MB": 1.0}),
            aliases=("file_mb",),
        ),
        Metric(
            "inference_memory_mb",
            title="peak memory",
            words="inference memory (weights and activations)",
            meaning=(
                "**peak memory**: the highest use during one call, in MB of 2²⁰ bytes: on a CPU of the whole process, interpreter and "
                "libraries included, as the median over the processes that read it; on CUDA what the allocator handed out. "
                "`segbench compare` judges weights and activations alone."
            ),
            unit="MB",
            digits=1,
            noise="memory",
            record="memory_mb",
            key="inference_peak",
            readings=readings.inference_memory_mb,
            shown=readings.shown_memory,
            column=TableColumn(9, priority=6, key="inference_peak_mb", narrow_title="memory", question="Least memory"),
            change=ChangeRow("memory", title="memory (weights, activations)", units={"MB": 1.0}),
            aliases=("inference_peak",),
        ),
        Metric(
            "training_memory_mb",
            words="training memory",
            unit="MB",
            digits=1,
            noise="memory",
            record="memory_mb",
            key="training_peak",
            readings=readings.training_memory_mb,
            aliases=("training_peak",),
        ),
        Metric(
            "latency_ms",
            title="latency",
            words="latency",
            meaning=(
                "**latency**: median time of one call with one image, after warm-up, with fixed threads; no call is "
                "discarded as an outlier."
            ),
            unit="ms",
            noise="calls",
            record="latency",
            key="p50_ms",
            readings=readings.latency_ms,
            shown=readings.shown_latency,
            column=TableColumn(7, priority=2, unit="ms, batch 1", narrow_unit="ms", question="Shortest latency, batch 1"),
            change=ChangeRow("latency", units={"ms": 1.0}),
            aliases=("p50_ms",),
        ),
        Metric(
            "deployed_latency_ms",
            words="latency as deployed",
            unit="ms",
            noise="calls",
            readings=readings.deployed_latency_ms,
        ),
        Metric(
            "throughput",
            meaning="**throughput**: images per second where whole batches are passed, at the median time of one.",
            unit="images/s",
            better="higher",
            noise="calls",
            record="throughput",
            key="images_per_second",
            readings=readings.throughput,
            shown=readings.shown_throughput,
            column=TableColumn(
                8,
                priority=5,
                key="images_per_second",
                unit="img/s, batch {batch}",
                narrow_title="images/s",
                narrow_unit="batch {batch}",
                quiet=True,
                question="Highest throughput",
            ),
            change=ChangeRow(unit="img/s"),
            aliases=("throughput_images_per_second",),
        ),
        Metric("energy", axis="energy per image", unit="J", noise="calls", depends=None, shown=readings.shown_energy),
        Metric(
            "train_images_per_second",
            title="training",
            words="training speed",
            meaning="**training**: images per second while training, validation left out; the median over the epochs without the first, "
            f"which warms up. Speeds are compared only where other programs used at most {100 * QUIET:g} % of the machine.",
            unit="images/s",
            better="higher",
            noise="epochs",
            depends="training",
            record="training",
            key="images_per_second",
            readings=readings.train_rate,
            shown=readings.shown_train_rate,
            column=TableColumn(10, priority=7, unit="img/s"),
        ),
        Metric(
            "train_seconds_per_epoch",
            words="training time",
            unit="s",
            noise="epochs",
            depends="training",
            readings=readings.train_seconds_per_epoch,
        ),
        Metric(
            "training_hours",
            words="training time",
            unit="h",
            digits=1,
            noise="epochs",
            depends="training",
            readings=readings.training_hours,
        ),
        Metric(
            "epoch_val_miou",
            words="validation mIoU of an epoch",
            unit="%",
            scale=100.0,
            better="higher",
            compare="points",
            noise="seeds",
            depends="training",
            readings=readings.epoch_val_miou,
        ),
        Metric(
            "epoch_train_loss", words="training loss of an epoch", noise="seeds", depends="training", readings=readings.epoch_train_loss
        ),
    )
)
"""Every metric, in the order in which tables and documents name them. Claims on costs and speeds are of the eager deployment in fp32,
``deployed_*`` of every deployment with its backend and precision among the circumstances; latency is the median at batch 1."""


def metric(name: str) -> Metric:
    """The metric of a name or alias. Raises :class:`UnknownNameError`.

    >>> metric("p50_ms").name, metric("latency").title, metric("file").unit
    ('latency_ms', 'latency', 'MB')
    """
    if name not in METRICS:
        raise UnknownNameError(f"Unknown metric '{name}'.{did_you_mean(name, list(METRICS))}")
    return METRICS[name]
