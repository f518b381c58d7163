"""Pairing of two runs' cells: those of one model, loss, recipe and settings, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.comparisons.matching import CellsBySeed
from segbench.errors import ConfigError
from segbench.plugin.choice import format_value
from segbench.results.deployments import deployment_of
from segbench.results.metrics import Metric
from segbench.results.readings import not_comparable
from segbench.results.records import CellResult, RunResult
from segbench.results.run_comparison import Change

_KEYS = ("loss", "recipe", "settings")


@dataclass(frozen=True)
class Group:
    """The cells of one run that differ in their seed only."""

    model: str
    context: Mapping[str, Any]
    cells: CellsBySeed

    @property
    def key(self) -> str:
        return json.dumps([self.model, self.context], sort_keys=True, default=str)

    def __str__(self) -> str:
        settings = [f"{key}={format_value(value)}" for key, value in (self.context["settings"] or {}).items()]
        return " | ".join([self.model, *(str(self.context[key]) for key in ("loss", "recipe") if self.context[key]), *settings])


@dataclass(frozen=True)
class Pair:
    """The same model in both runs. ``unlike`` says what else they do not share, where nothing closer could be found."""

    baseline: Group
    new: Group
    unlike: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def context(self) -> dict[str, Any]:
        """The settings that tell this pair from others of the same model."""
        return {key: value for key, value in self.new.context.items() if value}


@dataclass(frozen=True)
class Pairing:
    """The pairs of two runs, and what is in one run only."""

    pairs: Sequence[Pair]
    only_in_baseline: Sequence[str] = ()
    only_in_new: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)


def match(baseline: RunResult, new: RunResult, renamed: Mapping[str, str] | None = None) -> Pairing:
    """Pair what shares model, loss, recipe and settings; then, where one group of a model is left on each side, those, which is said.

    ``renamed`` maps a model of the baseline to the one that took its place. Raises :class:`ConfigError` where nothing is shared.
    """
    names = dict(renamed or {})
    _refuse_unknown(names, baseline, new)
    old, young = list(_groups(baseline)), list(_groups(new))
    pairs: list[Pair] = []
    by_key = {Group(names.get(g.model, g.model), g.context, g.cells).key: g for g in old}
    pairs += [_pair(by_key.pop(group.key), group) for group in young if group.key in by_key]
    matched = {id(pair.new) for pair in pairs}
    left, right = list(by_key.values()), [group for group in young if id(group) not in matched]
    notes = list(dict.fromkeys(why for result in (baseline, new) for cell in result.cells if (why := _left_out(cell))))
    for model in dict.fromkeys(group.model for group in right):
        theirs, ours = [g for g in left if names.get(g.model, g.model) == model], [g for g in right if g.model == model]
        if len(theirs) == len(ours) == 1:
            pairs.append(_pair(theirs[0], ours[0]))
            left.remove(theirs[0])
            right.remove(ours[0])
        elif theirs:
            notes.append(f"{model}: {len(theirs)} and {len(ours)} of its cells share no loss, recipe and settings: not compared")
    if not pairs:
        raise ConfigError(_nothing_shared(baseline, new))
    return Pairing(pairs, [str(group) for group in left], [str(group) for group in right], notes)


def _groups(result: RunResult) -> Iterator[Group]:
    groups: dict[str, Group] = {}
    for cell in result.cells:
        if not_comparable(cell):
            continue
        context = {key: getattr(cell, key) for key in _KEYS}
        group = Group(cell.model, context, {})
        first = groups.setdefault(group.key, group)
        assert isinstance(first.cells, dict)
        first.cells.setdefault(cell.seed, cell)
    yield from groups.values()


def _pair(baseline: Group, new: Group) -> Pair:
    unlike = tuple(
        f"{key} {_text(baseline.context[key])} -> {_text(new.context[key])}" for key in _KEYS if baseline.context[key] != new.context[key]
    )
    return Pair(baseline, new, unlike, tuple(_seeds(baseline.cells, new.cells)))


def _seeds(baseline: CellsBySeed, new: CellsBySeed) -> Iterator[str]:
    for side, other, which in ((baseline, new, "baseline"), (new, baseline, "new run")):
        alone = [str(seed) for seed in side if seed not in other]
        if alone and set(side) & set(other):
            yield f"seed {', '.join(alone)} in the {which} only"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={format_value(v)}" for k, v in value.items()) or "none"
    return str(value or "none")


def _refuse_unknown(names: Mapping[str, str], baseline: RunResult, new: RunResult) -> None:
    for name, result, which in (*((k, baseline, "baseline") for k in names), *((v, new, "new run") for v in names.values())):
        models = list(dict.fromkeys(cell.model for cell in result.cells))
        if name not in models:
            raise ConfigError(f"--match: '{name}' is no model of the {which}. It has: {', '.join(models) or 'none'}.")


def _nothing_shared(baseline: RunResult, new: RunResult) -> str:
    left_out = next((cell for result in (baseline, new) for cell in result.cells if not_comparable(cell)), None)
    if left_out is not None:
        advice = "Run it without --limit." if left_out.limit else "Score all images of the split."
        return f"The two runs have nothing to compare. {_left_out(left_out)}. {advice}"
    sides = [", ".join(_models(result)) or "no cells" for result in (baseline, new)]
    hint = ""
    if all(_models(result) for result in (baseline, new)):
        hint = f" To hold one model against another: --match '{_models(baseline)[0]}={_models(new)[0]}'."
    return f"The two runs have no cell in common. The baseline has: {sides[0]}. The new run has: {sides[1]}.{hint}"


def _left_out(cell: CellResult) -> str:
    why = not_comparable(cell)
    return f"{cell.label} is {why}" if why else ""


def _models(result: RunResult) -> list[str]:
    names = list(dict.fromkeys(cell.model for cell in result.cells))
    return [*names[:8], *([f"and {len(names) - 8} more"] if len(names) > 8 else [])]


def first_ok(side: CellsBySeed) -> CellResult | None:
    """A cell that was not given up."""
    return next((cell for cell in side.values() if cell.status == "ok"), None)


@dataclass
class NetworkPair:
    """One network in both runs; ``baseline`` and ``new`` are a cell of each that stands for all of them."""

    baseline: CellResult
    new: CellResult
    baseline_cells: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, ...]:
        return (*_identity(self.baseline), *_identity(self.new))

    @property
    def forms(self) -> list[str]:
        """Backends that both have."""
        return [form.backend for form in self.new.deployments if deployment_of(self.baseline, form.backend) is not None]

    def row(self, metric: Metric, **values: Any) -> Change:
        """A row about this network, yet without a verdict."""
        return Change(
            model=self.new.model,
            baseline_model=self.baseline.model,
            quantity=metric.change_name,
            unit=metric.change_unit,
            better=metric.better or "lower",
            baseline_cells=self.baseline_cells,
            cells=self.cells,
            notes=self.notes if metric.name == "params" else [],
            **values,
        )

    @property
    def notes(self) -> list[str]:
        """Options of the model that are not the same ones."""
        old, new = (cell.resolved.get("model_options") or {} for cell in (self.baseline, self.new))
        shared = [key for key in new if key in old and old[key] != new[key]]
        return [f"model option {key} {old[key]} -> {new[key]}" for key in shared]


def networks_of(pairs: Sequence[Pair]) -> list[NetworkPair]:
    """Each distinct network that both runs have, in the order of the new run."""
    networks: dict[tuple[str, ...], NetworkPair] = {}
    for pair in pairs:
        old, new = first_ok(pair.baseline.cells), first_ok(pair.new.cells)
        if old is None or new is None:
            continue
        network = NetworkPair(old, new)
        first = networks.setdefault(network.key, network)
        first.baseline_cells += [cell.id for cell in pair.baseline.cells.values()]
        first.cells += [cell.id for cell in pair.new.cells.values()]
    return list(networks.values())


def _identity(cell: CellResult) -> tuple[str, str]:
    return cell.model, cell.fingerprints.get("measure", "")
