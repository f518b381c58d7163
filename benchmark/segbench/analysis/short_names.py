"""Short names in reports: the labels that users gave models, or names without what all compared choices share; a dataset's own ``name``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segbench.plugin.choice import parse_choice, split_outside
from segbench.results.records import Ablation, AblationStep, CellResult, RaceRecord, RunResult


def labelled(result: RunResult) -> RunResult:
    """The result with short names in the place of models' names with options; :attr:`CellResult.identity` keeps these.

    Names stand in cells, comparisons, the race, the ablation and claims. The result is for showing, not for writing.
    """
    names = short_names(result.cells)
    datasets = {cell.dataset: _dataset_name(cell.dataset) for cell in result.cells}
    if all(name == short for name, short in (names | datasets).items()):
        return result
    changes = {
        "cells": [cell.with_shown_names(names[cell.model], datasets[cell.dataset]) for cell in result.cells],
        "comparisons": [one.model_copy(update=_both(one.subject, one.baseline, names)) for one in result.comparisons],
        "claims": [one.model_copy(update={"subject": _renamed(one.subject, names)}) for one in result.claims],
        "ablation": _labelled_ablation(result.ablation, names),
        "race": _labelled_race(result.race, names),
    }
    return result.model_copy(update=changes)


def short_names(cells: Iterable[CellResult]) -> dict[str, str]:
    """For each model of some cells the name to show: its label, else its name without what all choices of that name have in common.

    >>> cells = [CellResult(id=str(i), model=f"smp[arch={arch},encoder=resnet18]") for i, arch in enumerate(["Unet", "FPN"])]
    >>> list(short_names(cells).values())
    ['smp[arch=Unet]', 'smp[arch=FPN]']
    """
    cells = list(cells)
    labels = {cell.model: cell.short_name for cell in cells if cell.short_name}
    choices = {model: _options(model) for model in dict.fromkeys(cell.model for cell in cells)}
    names = {model: labels.get(model) or _without_common(model, choices) for model in choices}
    clear = len(set(names.values())) == len(names)
    return names if clear else {model: labels.get(model) or model for model in choices}


def _dataset_name(dataset: str | None) -> str | None:
    """A dataset's option ``name``, else its whole name."""
    name = dict(parse_choice(dataset).options).get("name") if dataset else None
    return name if isinstance(name, str) and name else dataset


def _options(model: str) -> tuple[str, tuple[str, ...]]:
    """The plugin's name and the texts of its options."""
    name, bracket, rest = model.partition("[")
    return name, tuple(split_outside(rest.removesuffix("]"))) if bracket else ()


def _without_common(model: str, choices: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    name, options = choices[model]
    same = [set(other) for other_name, other in choices.values() if other_name == name]
    if len(same) < 2:
        return model
    common = set.intersection(*same)
    left = [text for text in options if text not in common]
    return f"{name}[{','.join(left)}]" if left else name


def _renamed(text: str | None, names: Mapping[str, str]) -> str | None:
    """A text that is a model's name, or begins with it ("smp[arch=Unet] (focal)"), with the short name; others as they are."""
    if text is None:
        return None
    for model in sorted(names, key=len, reverse=True):
        if text == model or (text.startswith(model) and text[len(model)] in " ,|"):
            return names[model] + text[len(model) :]
    return text


def _both(subject: str, baseline: str, names: Mapping[str, str]) -> dict[str, str | None]:
    return {"subject": _renamed(subject, names), "baseline": _renamed(baseline, names)}


def _labelled_ablation(ablation: Ablation | None, names: Mapping[str, str]) -> Ablation | None:
    if ablation is None:
        return None

    def renamed(step: AblationStep) -> AblationStep:
        return step.model_copy(update=_both(step.subject, step.baseline, names))

    ends = {"start": _renamed(ablation.start, names), "end": _renamed(ablation.end, names)}
    return ablation.model_copy(update={**ends, "steps": [renamed(step) for step in ablation.steps]})


def _labelled_race(race: RaceRecord | None, names: Mapping[str, str]) -> RaceRecord | None:
    if race is None:
        return None
    contenders = {key: one.model_copy(update={"model": _renamed(one.model, names)}) for key, one in race.contenders.items()}
    return race.model_copy(update={"contenders": contenders})
