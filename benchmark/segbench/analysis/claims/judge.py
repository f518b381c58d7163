"""Published claim + measured values -> verdict.

A claim is judged only by cells that meet its conditions; otherwise the verdict is ``not tested here`` and names what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from segbench.analysis.claims.conditions import as_text, in_words, unmet
from segbench.analysis.claims.intervals import Matrices, MeasuredValue, figure
from segbench.analysis.claims.values import bounds, circumstance, claimed, outcome, printed, rendered, rendered_interval
from segbench.errors import SegbenchError
from segbench.plugin.choice import parse_choice, split_outside
from segbench.plugin.specs import Claim
from segbench.results.metrics import METRICS, Metric, MetricValue
from segbench.results.records import CellResult, RunResult, Verdict

STARTING_WEIGHTS = ("pretrained", "weights")
"""Options that say what a network starts from, and leave it the same network."""


def judge(
    claims: Sequence[Claim],
    result: RunResult,
    *,
    default_options: Mapping[str, Mapping[str, Any]] | None = None,
    matrices: Matrices = lambda cell: None,
) -> list[Verdict]:
    """One verdict per claim; several where cells trained in different ways each put it to the test.

    A noisy figure is judged by its 95 % interval: kept where all of it meets the claim, broken where none of it does, else (and without
    an interval) ``cannot tell``.

    Cells that differ only in their seed are averaged; subject and baseline are compared under the same loss, recipe, settings and
    circumstances. ``default_options`` are the models' own, by name: with them an option that ``[model]`` or a recipe changed is seen
    (without them only what stands in brackets). ``matrices`` gives the images of a scored cell.
    """
    bench = _Bench(result, default_options or {}, matrices)
    return [verdict for claim in claims for verdict in _judge_or_say_why_not(claim, bench)]


def _judge_or_say_why_not(claim: Claim, bench: _Bench) -> list[Verdict]:
    try:
        return _judge_claim(claim, bench)
    except SegbenchError as error:  # a plugin's claim with a subject that cannot be read must not cost the run
        return [_untested(claim, str(error))]


def _judge_claim(claim: Claim, bench: _Bench) -> list[Verdict]:
    quantity = METRICS.get(claim.quantity)
    if quantity is None:
        return [_untested(claim, f"segbench does not measure '{claim.quantity}'")]
    cells, reason = bench.cells(claim.subject)
    if not cells:
        return [_untested(claim, reason)]
    judged: list[Verdict] = []
    missing: dict[str, list[str]] = {}
    for group in bench.alike(cells, quantity, claim):
        lacks = _lacks(claim, group, bench, quantity)
        if lacks:
            missing.setdefault(lacks, []).extend(sample.cell.id for sample in group)
        else:
            judged.append(_verdict(claim, quantity, group, bench))
    if judged:
        return judged
    # of several reasons the one that is nearest to a verdict: the fewest things missing, best of all only the other side
    nearest = sorted(missing, key=lambda reason: (reason.count("; "), not reason.startswith(f"needs {claim.baseline} ")))
    reason = next(iter(nearest), f"{in_words(claim.quantity)} was not measured")
    return [_untested(claim, reason, cells=missing.get(reason, []))]


class _Bench:
    """The cells of a run, by the network that they hold."""

    def __init__(self, result: RunResult, default_options: Mapping[str, Mapping[str, Any]], matrices: Matrices) -> None:
        self.result = result
        self.matrices = matrices
        self.default_options = default_options

    def cells(self, subject: str) -> tuple[list[CellResult], str]:
        """Finished cells of ``model`` or ``model|loss``; where there is none, why."""
        model, loss = _split_subject(subject)
        found = [c for c in self.result.cells if c.kind == "train" and self._holds(c, model, loss)]
        done = [c for c in found if c.status == "ok"]
        if done:
            return done, ""
        if found:
            return [], f"{subject} did not finish here ({', '.join(_unique(c.status for c in found))})"
        return [], f"needs {subject} in the run"

    def alike(self, cells: Iterable[CellResult], quantity: Metric, claim: Claim) -> list[list[MetricValue]]:
        """Readings that may be averaged: nothing but the seed differs."""
        groups: dict[str, list[MetricValue]] = {}
        for cell in cells:
            for reading in quantity.read(cell):
                sample = MetricValue(cell, reading)
                groups.setdefault(self._kinship(sample, quantity, claim), []).append(sample)
        return list(groups.values())

    def partners(self, claim: Claim, quantity: Metric, group: Sequence[MetricValue]) -> list[MetricValue]:
        """Readings of the baseline that stand under the same conditions as the group's."""
        if claim.baseline is None:
            return []
        # what the claim varies between its two sides: train.batch_size, which among the circumstances is just batch_size
        varied = {*claim.baseline_conditions, *(key.rpartition(".")[2] for key in claim.baseline_conditions)}
        wanted = self._kinship(group[0], quantity, claim, varied)
        cells = [cell for cell in self.cells(claim.baseline)[0] if not _changed_protocol(cell, quantity)]
        samples = [MetricValue(cell, reading) for cell in cells for reading in quantity.read(cell)]
        like = [s for s in samples if self._kinship(s, quantity, claim, varied) == wanted and s.reading.value is not None]
        return [s for s in like if not any(unmet(key, item, self.actual(key, s)) for key, item in claim.baseline_conditions.items())]

    def actual(self, key: str, sample: MetricValue) -> Any:
        """What holds for a reading under a condition's key: a circumstance, a field of its row, or a setting such as train.epochs."""
        cell, given = sample.cell, sample.reading.circumstances
        if key in given:
            return given[key]
        if key == "num_classes":
            return self.result.task.num_classes
        if key in ("dataset", "recipe", "loss"):
            return getattr(cell, key)
        section, _, name = ("train.image_size" if key == "image_size" else key).partition(".")
        found = cell.resolved.get("model_options" if section == "model" else section)
        if not name:
            return found
        return found.get(name) if isinstance(found, Mapping) else None

    def _kinship(self, sample: MetricValue, quantity: Metric, claim: Claim, varied: Collection[str] = ()) -> str:
        """A text that is equal for readings under the same circumstances, ``varied`` ones aside."""
        cell = sample.cell
        shared: dict[str, Any] = {
            "circumstances": dict(sample.reading.circumstances),
            "conditions": {key: self.actual(key, sample) for key in claim.conditions},
        }
        if quantity.depends == "training":
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


def _changed_protocol(cell: CellResult, quantity: Metric) -> str | None:
    """How training departed from the settings, where that bears on the quantity."""
    return cell.training.protocol_changed if cell.training and quantity.depends == "training" else None


def _lacks(claim: Claim, group: Sequence[MetricValue], bench: _Bench, quantity: Metric) -> str:
    """What keeps a group from judging the claim, in words; empty where nothing does."""
    lacks = [unmet(key, wanted, bench.actual(key, group[0])) for key, wanted in claim.conditions.items()]
    changed = next(filter(None, (_changed_protocol(s.cell, quantity) for s in group)), None)
    if changed:
        lacks.append(f"the protocol was changed ({changed})")
    if not any(lacks) and all(s.reading.value is None for s in group):
        lacks.append(group[0].reading.why or f"{in_words(claim.quantity)} was not measured")
    if not any(lacks) and claim.baseline is not None:
        lacks.append(_baseline_lacks(claim, group, bench, quantity))
    return "; ".join(filter(None, lacks))


def _baseline_lacks(claim: Claim, group: Sequence[MetricValue], bench: _Bench, quantity: Metric) -> str:
    partners = bench.partners(claim, quantity, group)
    if partners:
        zero = claim.reading != "points" and 0 in (_mean(group), _mean(partners))
        return f"{in_words(claim.quantity)} is 0, which has no ratio" if zero else ""
    assert claim.baseline is not None
    cells, reason = bench.cells(claim.baseline)
    if not cells:
        return reason
    readings = [reading for cell in cells for reading in quantity.read(cell)]
    if all(reading.value is None for reading in readings):
        return next((r.why for r in readings if r.why), f"{in_words(claim.quantity)} of {claim.baseline} was not measured")
    if claim.baseline_conditions:
        other = ", ".join(f"{in_words(key)} {_in_short(item)}" for key, item in claim.baseline_conditions.items())
        return f"needs {claim.baseline} with {other} beside it and all else equal"
    return f"needs {claim.baseline} under the same loss, recipe, settings and circumstances"


def _verdict(claim: Claim, quantity: Metric, group: Sequence[MetricValue], bench: _Bench) -> Verdict:
    subjects, baselines = (_measured(side) for side in (group, bench.partners(claim, quantity, group)))
    found = figure(claim, quantity, subjects, baselines, bench.matrices)
    seeds = len({s.cell.seed for s in subjects})
    notes = [
        *([f"{printed(_mean(subjects), quantity)} against {printed(_mean(baselines), quantity)}"] if baselines else []),
        *(circumstance(key, item) for key, item in group[0].reading.circumstances.items() if item is not None),
        *([f"mean of {seeds} seeds"] if quantity.depends == "training" and seeds > 1 else []),
        *([found.how] if found.how else []),
    ]
    return Verdict(
        claim=claim.name,
        summary=claim.summary,
        claimed=claimed(claim, quantity),
        measured=_interval_text(claim, quantity, found) + (f" ({', '.join(notes)})" if notes else ""),
        measured_value=found.value,
        low=found.low,
        high=found.high,
        verdict=_outcome(claim, found),
        missing=found.why or None,
        subject=claim.subject,
        cells=_unique(s.cell.id for s in (*subjects, *baselines)),
        source=claim.source,
    )


def _outcome(claim: Claim, found: MeasuredValue) -> Literal["kept", "kept (exceeded)", "broken", "cannot tell"]:
    """What holds for all of the interval; what keeps a claim has no gaps, so its ends speak for it."""
    if found.exact:
        return outcome(claim, found.value)
    if found.low is None or found.high is None:
        return "cannot tell"
    ends = [outcome(claim, end) for end in (found.low, found.high)]
    if "broken" not in ends:
        return "kept (exceeded)" if ends == ["kept (exceeded)"] * 2 else "kept"
    lowest, highest = bounds(claim)
    return "broken" if ends == ["broken"] * 2 and (found.high < lowest or found.low > highest) else "cannot tell"


def _interval_text(claim: Claim, quantity: Metric, found: MeasuredValue) -> str:
    text = rendered(found.value, claim, quantity)
    return text if found.low is None or found.high is None else f"{text} {rendered_interval(found.low, found.high, claim, quantity)}"


def _measured(samples: Iterable[MetricValue]) -> list[MetricValue]:
    return [sample for sample in samples if sample.reading.value is not None]


def _untested(claim: Claim, missing: str, cells: Iterable[str] = ()) -> Verdict:
    quantity = METRICS.get(claim.quantity)
    return Verdict(
        claim=claim.name,
        summary=claim.summary,
        claimed=claimed(claim, quantity) if quantity else f"{claim.value:g}",
        verdict="not tested here",
        missing=missing,
        subject=claim.subject,
        cells=_unique(cells),
        source=claim.source,
    )


def _in_short(item: Any) -> str:
    return " or ".join(map(str, item)) if isinstance(item, (tuple, list)) else str(item)


def _mean(samples: Sequence[MetricValue]) -> float:
    """Mean of what was measured; 0 where nothing was (there is no baseline then)."""
    values = [s.reading.value for s in samples if s.reading.value is not None]
    return fmean(values) if values else 0.0


def _split_subject(subject: str) -> tuple[str, str | None]:
    """``model`` or ``model|loss``.

    >>> _split_subject("unet|focal[alpha=(1,2)]"), _split_subject("unet")
    (('unet', 'focal[alpha=(1,2)]'), ('unet', None))
    """
    model, *loss = split_outside(subject, "|")
    return model.strip(), loss[0].strip() if loss else None


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
