"""Verdicts on published claims, from measured values.

A claim is judged only by cells that meet its conditions; otherwise the verdict is ``not tested here`` and names what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from segbench.analysis.claims.conditions import as_text, in_words, unmet
from segbench.analysis.claims.intervals import Matrices, MeasuredValue, figure, mean_value
from segbench.analysis.claims.values import bounds, circumstance, claimed, outcome, printed, rendered, rendered_interval
from segbench.analysis.comparisons.degenerate import collapsed
from segbench.errors import SegbenchError
from segbench.plugin.choice import parse_choice, split_outside
from segbench.plugin.specs import Claim
from segbench.results.claims import with_claim_verdicts
from segbench.results.metrics import METRICS, Metric
from segbench.results.readings import MetricValue, not_comparable
from segbench.results.records import CellResult, RunResult, Verdict

STARTING_WEIGHTS = ("pretrained", "weights")
"""Options that say what a network starts from, and leave it the same network."""


def judge(
    claims: Sequence[Claim],
    result: RunResult,
    *,
    default_options: Mapping[str, Mapping[str, Any]] | None = None,
    reconstructions: Mapping[str, str] | None = None,
    matrices: Matrices = lambda cell: None,
) -> list[Verdict]:
    """One row per claim; several where cells trained in different ways, or several deployments, each test it.

    A noisy figure is judged by its 95 % interval: kept where all of it meets the claim, broken where none of it does, else (and without
    an interval) ``cannot tell``.

    Cells that differ only in their seed are averaged; subject and baseline are compared under the same loss, recipe, settings and
    circumstances. ``default_options`` are the models' own, by name: with them an option that ``[model]`` or a recipe changed is seen
    (without them only what stands in brackets). ``reconstructions`` say of models, by name, what they were made from where that is no
    published code. ``matrices`` gives the images of a scored cell. Each row also carries the one verdict of its claim.
    """
    index = _CellIndex(result, default_options or {}, matrices)
    rows = [verdict for claim in claims for verdict in _judge_or_say_why_not(claim, index)]
    return with_claim_verdicts([_with_reconstruction(row, reconstructions or {}) for row in rows])


def _with_reconstruction(row: Verdict, reconstructions: Mapping[str, str]) -> Verdict:
    name = (row.subject or "").partition("|")[0].partition("[")[0].strip()
    return row.model_copy(update={"reconstruction": reconstructions.get(name) or None})


def _judge_or_say_why_not(claim: Claim, index: _CellIndex) -> list[Verdict]:
    try:
        return _judge_claim(claim, index)
    except SegbenchError as error:  # a plugin's claim with a subject that cannot be read must not end the run
        return [_untested(claim, str(error))]


def _judge_claim(claim: Claim, index: _CellIndex) -> list[Verdict]:
    metric = _claimable(claim)
    if metric is None:
        return [_untested(claim, f"segbench does not measure '{claim.quantity}'")]
    cells, reason = index.cells(claim.subject, _kind(claim.conditions))
    if not cells:
        return [_untested(claim, reason)]
    judged: list[Verdict] = []
    missing: dict[str, list[str]] = {}
    for group in index.alike(cells, metric, claim):
        lacks = _lacks(claim, group, index, metric)
        if lacks:
            missing.setdefault(lacks, []).extend(sample.cell.id for sample in group)
        else:
            judged.append(_verdict(claim, metric, group, index))
    if judged:
        return judged

    # of several reasons the one that is nearest to a verdict: the fewest things missing, best of all only the value or the other side
    def distance(reason: str) -> tuple[int, bool]:
        return reason.count("; "), reason.startswith("needs ") and not reason.startswith(f"needs {claim.baseline} ")

    nearest = sorted(missing, key=distance)
    reason = next(iter(nearest), f"{in_words(claim.quantity)} was not measured")
    return [_untested(claim, reason, cells=missing.get(reason, []))]


class _CellIndex:
    """The cells of a run, by the network that they hold."""

    def __init__(self, result: RunResult, default_options: Mapping[str, Mapping[str, Any]], matrices: Matrices) -> None:
        self.result = result
        self.matrices = matrices
        self.default_options = default_options

    def cells(self, subject: str, kind: str = "train") -> tuple[list[CellResult], str]:
        """Finished cells of ``model`` or ``model|loss``, or of that kind and made of such ones; where there is none, why."""
        model, loss = _split_subject(subject)
        cells = [c for c in self.result.cells if c.kind == kind and self._holds(c, model, loss)]
        done = [c for c in cells if c.status == "ok" and not not_comparable(c)]
        if not done and (why := next(filter(None, map(not_comparable, cells)), "")):
            return [], f"{subject} is {why}"
        if done:
            return done, ""
        if cells:
            return [], f"{subject} did not finish here ({', '.join(_unique(c.status for c in cells))})"
        return [], f"needs {subject} in the run" if kind == "train" else f"needs {kind}[of={subject}] in the run"

    def alike(self, cells: Iterable[CellResult], metric: Metric, claim: Claim) -> list[list[MetricValue]]:
        """Readings that may be averaged: nothing but the seed differs."""
        groups: dict[str, list[MetricValue]] = {}
        for cell in cells:
            for reading in metric.read(cell, claim.modules):
                sample = MetricValue(cell, reading)
                groups.setdefault(self._kinship(sample, metric, claim), []).append(sample)
        return list(groups.values())

    def partners(self, claim: Claim, metric: Metric, group: Sequence[MetricValue]) -> list[MetricValue]:
        """Readings of the baseline that stand under the same conditions as the group's."""
        if claim.baseline is None:
            return []
        # what the claim varies between its two sides: train.batch_size, which among the circumstances is just batch_size
        varied = {*claim.baseline_conditions, *(key.rpartition(".")[2] for key in claim.baseline_conditions)}
        wanted = self._kinship(group[0], metric, claim, varied)
        candidates, _ = self.cells(claim.baseline, _kind(claim.baseline_conditions))
        untrained = metric.depends == "training"
        cells = [cell for cell in candidates if not _changed_protocol(cell, metric) and not (untrained and cell.is_as_given)]
        samples = [MetricValue(cell, reading) for cell in cells for reading in metric.read(cell, _baseline_modules(claim))]
        comparable = [s for s in samples if self._kinship(s, metric, claim, varied) == wanted and s.reading.value is not None]
        return [s for s in comparable if not any(unmet(key, item, self.actual(key, s)) for key, item in claim.baseline_conditions.items())]

    def actual(self, key: str, sample: MetricValue) -> Any:
        """The value of a condition's key for a reading: a circumstance, a field of its row, or a setting such as train.epochs."""
        cell, circumstances = sample.cell, sample.reading.circumstances
        if key in circumstances:
            return circumstances[key]
        if key == "num_classes":
            return self.result.task.num_classes
        if key in ("dataset", "recipe", "loss", "kind"):
            return getattr(cell, key)
        section, _, name = ("train.image_size" if key == "image_size" else key).partition(".")
        settings = cell.resolved.get("model_options" if section == "model" else section)
        if not name:
            return settings
        return settings.get(name) if isinstance(settings, Mapping) else None

    def _kinship(self, sample: MetricValue, metric: Metric, claim: Claim, varied: Collection[str] = ()) -> str:
        """A text that is equal for readings under the same circumstances, leaving out the ``varied`` ones."""
        cell = sample.cell
        shared: dict[str, Any] = {
            "circumstances": dict(sample.reading.circumstances),
            "conditions": {key: self.actual(key, sample) for key in claim.conditions},
        }
        if metric.depends == "training":
            shared |= {"dataset": cell.dataset, "recipe": cell.recipe, "settings": cell.settings, "pretrained": _pretrained(cell)}
            if _split_subject(claim.subject)[1] is None:
                shared["loss"] = cell.loss
        equal = {
            key: {k: v for k, v in item.items() if k not in varied} if isinstance(item, Mapping) else item
            for key, item in shared.items()
            if key not in varied
        }
        return as_text(equal)

    def _holds(self, cell: CellResult, model: str, loss: str | None) -> bool:
        if loss is not None and (cell.loss is None or parse_choice(cell.loss) != parse_choice(loss)):
            return False
        if cell.kind != "train":  # made of another: what counts is of which
            made_of = cell.resolved.get("model_options", {}).get("of") or dict(parse_choice(cell.model).options).get("of")
            return isinstance(made_of, str) and self._network(made_of, None) == self._network(model, None)
        return self._network(cell.model, cell.resolved.get("model_options")) == self._network(model, None)

    def _network(self, text: str, resolved: Mapping[str, Any] | None) -> tuple[str, frozenset[tuple[str, str]]]:
        """A model's name and the options in which its network differs from the one of that name."""
        choice = parse_choice(text)
        defaults = self.default_options.get(choice.name)
        options = dict(choice.options) if defaults is None or resolved is None else dict(resolved)
        differing = {
            name: as_text(value)
            for name, value in options.items()
            if name not in STARTING_WEIGHTS and (defaults is None or as_text(value) != as_text(defaults.get(name)))
        }
        return choice.name, frozenset(differing.items())


def _pretrained(cell: CellResult) -> bool:
    options = {**cell.resolved.get("model_options", {}), **dict(parse_choice(cell.model).options)}
    return any(options.get(name) for name in STARTING_WEIGHTS)


def _changed_protocol(cell: CellResult, metric: Metric) -> str | None:
    """The departure of training from the settings, where it bears on the metric."""
    return cell.training.protocol_changed if cell.training and metric.depends == "training" else None


def _lacks(claim: Claim, group: Sequence[MetricValue], index: _CellIndex, metric: Metric) -> str:
    """Conditions that a group does not meet, in words; empty where it can judge the claim."""
    reading = group[0].reading
    if reading.value is None and reading.why and not reading.circumstances:
        return reading.why  # nothing was measured, so that no condition of a measurement is met either
    lacks = [unmet(key, wanted, index.actual(key, group[0])) for key, wanted in claim.conditions.items()]
    if metric.depends == "training" and any(sample.cell.is_as_given for sample in group):
        lacks.append(f"needs a trained {claim.subject}, this run took it as given")
    changed = next(filter(None, (_changed_protocol(s.cell, metric) for s in group)), None)
    if changed:
        lacks.append(f"the protocol was changed ({changed})")
    if not any(lacks) and all(s.reading.value is None for s in group):
        lacks.append(group[0].reading.why or f"{in_words(claim.quantity)} was not measured")
    if not any(lacks):
        lacks.append(_learned_nothing(metric, group))
    if not any(lacks) and claim.baseline is not None:
        lacks.append(_baseline_lacks(claim, group, index, metric))
    return "; ".join(filter(None, lacks))


def _learned_nothing(metric: Metric, group: Sequence[MetricValue]) -> str:
    """The reason why scores of networks that predict one class everywhere keep or break no claim; empty for any other figure."""
    if not metric.is_score or metric.depends != "training":
        return ""
    what = collapsed(sample.cell for sample in group)
    return f"{group[0].cell.model} {what}" if what else ""


def _baseline_lacks(claim: Claim, group: Sequence[MetricValue], index: _CellIndex, metric: Metric) -> str:
    partners = index.partners(claim, metric, group)
    if partners and (nothing := _learned_nothing(metric, partners)):
        return nothing
    if partners:
        zero = claim.reading != "points" and 0 in (mean_value(group), mean_value(partners))
        return f"{in_words(claim.quantity)} is 0, which has no ratio" if zero else ""
    assert claim.baseline is not None
    cells, reason = index.cells(claim.baseline, _kind(claim.baseline_conditions))
    if not cells:
        return reason
    readings = [reading for cell in cells for reading in metric.read(cell, _baseline_modules(claim))]
    if all(reading.value is None for reading in readings):
        return next((r.why for r in readings if r.why), f"{in_words(claim.quantity)} of {claim.baseline} was not measured")
    if claim.baseline_conditions:
        other = ", ".join(f"{in_words(key)} {_in_short(item)}" for key, item in claim.baseline_conditions.items())
        return f"needs {claim.baseline} with {other} beside it and all else equal"
    return f"needs {claim.baseline} under the same loss, recipe, settings and circumstances"


def _verdict(claim: Claim, metric: Metric, group: Sequence[MetricValue], index: _CellIndex) -> Verdict:
    subjects, baselines = (_measured(side) for side in (group, index.partners(claim, metric, group)))
    measured = figure(claim, metric, subjects, baselines, index.matrices)
    supported = measured.exact or measured.low is not None or not baselines
    seeds = len({s.cell.seed for s in subjects})
    both = f"{printed(mean_value(subjects), metric)} against {printed(mean_value(baselines), metric)}" if baselines else ""
    notes = [
        *([both] if both and supported else []),
        *(circumstance(key, item) for key, item in group[0].reading.circumstances.items() if item is not None),
        *([f"mean of {seeds} seeds"] if metric.depends == "training" and seeds > 1 else []),
        *([measured.method] if measured.method else []),
    ]
    return Verdict(
        claim=claim.name,
        summary=claim.summary,
        claimed=claimed(claim, metric),
        measured=(_interval_text(claim, metric, measured) if supported else both) + (f" ({', '.join(notes)})" if notes else ""),
        measured_value=measured.value if supported else None,
        low=measured.low,
        high=measured.high,
        verdict=_outcome(claim, measured),
        missing=measured.why or None,
        subject=claim.subject,
        cells=_unique(s.cell.id for s in (*subjects, *baselines)),
        source=claim.source,
        circumstances=_circumstances(group[0], metric),
        reading_of=claim.reading_of or None,
        read_as=claim.read_as or None,
    )


def _circumstances(sample: MetricValue, metric: Metric) -> dict[str, Any]:
    """The circumstances in which this row of a claim differs from its others, as plain data."""
    cell = sample.cell
    trained = {"dataset": cell.dataset, "loss": cell.loss, "recipe": cell.recipe, **cell.settings, "pretrained": _pretrained(cell)}
    known = {**(trained if metric.depends == "training" else {}), **sample.reading.circumstances}
    return {key: value for key, value in known.items() if value is not None}


def _kind(conditions: Mapping[str, Any]) -> str:
    """The kind of cells that a claim's side speaks of: trained ones, unless it names another."""
    return str(conditions.get("kind", "train"))


def _baseline_modules(claim: Claim) -> tuple[str, ...]:
    return claim.baseline_modules or claim.modules


def _outcome(claim: Claim, measured: MeasuredValue) -> Literal["kept", "kept (exceeded)", "broken", "cannot tell"]:
    """The outcome of the whole interval; values that keep a claim have no gaps, so that the ends decide."""
    if measured.exact:
        return outcome(claim, measured.value)
    if measured.low is None or measured.high is None:
        return "cannot tell"
    ends = [outcome(claim, end) for end in (measured.low, measured.high)]
    if "broken" not in ends:
        return "kept (exceeded)" if ends == ["kept (exceeded)"] * 2 else "kept"
    lowest, highest = bounds(claim)
    return "broken" if ends == ["broken"] * 2 and (measured.high < lowest or measured.low > highest) else "cannot tell"


def _interval_text(claim: Claim, metric: Metric, measured: MeasuredValue) -> str:
    text = rendered(measured.value, claim, metric)
    return (
        text if measured.low is None or measured.high is None else f"{text} {rendered_interval(measured.low, measured.high, claim, metric)}"
    )


def _measured(samples: Iterable[MetricValue]) -> list[MetricValue]:
    return [sample for sample in samples if sample.reading.value is not None]


def _untested(claim: Claim, missing: str, cells: Iterable[str] = ()) -> Verdict:
    metric = _claimable(claim)
    return Verdict(
        claim=claim.name,
        summary=claim.summary,
        claimed=claimed(claim, metric) if metric else f"{claim.value:g}",
        verdict="not tested here",
        missing=missing,
        subject=claim.subject,
        cells=_unique(cells),
        source=claim.source,
        reading_of=claim.reading_of or None,
        read_as=claim.read_as or None,
    )


def _claimable(claim: Claim) -> Metric | None:
    metric = METRICS.get(claim.quantity)
    return None if metric is None or metric.depends is None else metric


def _in_short(item: Any) -> str:
    return " or ".join(map(str, item)) if isinstance(item, (tuple, list)) else str(item)


def _split_subject(subject: str) -> tuple[str, str | None]:
    """``model`` or ``model|loss``.

    >>> _split_subject("unet|focal[alpha=(1,2)]"), _split_subject("unet")
    (('unet', 'focal[alpha=(1,2)]'), ('unet', None))
    """
    model, *loss = split_outside(subject, "|")
    return model.strip(), loss[0].strip() if loss else None


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
