"""Sentences on deployed forms, each drawn from the run's verdicts: of the same images for scores, of one race for times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from segbench import Comparison, only_class
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import as_speed, bounds, effect, interval_words, turned
from segbench_reports.view.cells import EAGER
from segbench_reports.view.deployments import KEEPS, DeploymentRow


def sentences(rows: Sequence[DeploymentRow]) -> list[str]:
    """The fastest form of each model that is shown to keep its quality, those that cannot be told, and the models' order by speed."""
    models = list(dict.fromkeys(row.name for row in rows))
    return [*(text for name in models for text in _of_model(name, rows)), *_speed_order(models, rows)]


def _of_model(name: str, rows: Sequence[DeploymentRow]) -> list[str]:
    eager = next((row for row in rows if row.name == name and row.is_eager), None)
    others = [row for row in rows if row.name == name and not row.is_eager and not row.errors and row.change is not None]
    fastest = _fastest(name, [row for row in others if row.keeping == "kept"], eager) if eager else ""
    collapsed = [text for row in others if (text := _collapsed(row))]
    return [*collapsed, *([fastest] if fastest else []), *_untold(name, [row for row in others if row.keeping == "cannot tell"])]


def _fastest(name: str, kept: Sequence[DeploymentRow], eager: DeploymentRow) -> str:
    """The fastest of the forms that keep their mIoU, with those that the race does not tell from it; empty where it tells nothing."""
    timed = [(comparison.value, row, comparison) for row in kept if (comparison := row.against(eager)) and comparison.value]
    faster = [(row, comparison) for _, row, comparison in sorted(timed, key=lambda entry: entry[0]) if comparison.verdict == "faster"]
    if not faster:
        told = timed and all(comparison.verdict != "cannot tell" for *_, comparison in timed)
        return f"No other form of {name} that is shown to keep its mIoU within 1 point is shown to be faster than eager." if told else ""
    best = faster[0][0]
    tied = [(row, c) for row, c in faster if not any(_is_faster(other, row) for other, _ in faster)]
    if len(tied) == 1:
        return f"The fastest form of {name} that is shown to keep its mIoU within 1 point is {best.backend}: {_gain(*tied[0])}."
    names = numbers.listed([row.backend for row, _ in tied])
    gains = "; ".join(f"{row.backend} {_gain(row, c)}" for row, c in tied)
    return f"The fastest forms of {name} that are shown to keep its mIoU within 1 point are {names}, not told apart by the race: {gains}."


def _collapsed(row: DeploymentRow) -> str:
    """The sentence on a form that predicts one class in every image where the network in eager mode does not."""
    classes = [only_class(one.quality) for one in row.deployments if one.quality]
    if not classes or None in classes or row.score is None or row.keeping == "cannot tell":
        return ""
    return f"{row.name} as {row.backend} predicts only {' or '.join(dict.fromkeys(map(str, classes)))}: this form is broken."


def _is_faster(row: DeploymentRow, other: DeploymentRow) -> bool:
    comparison = row.against(other)
    return comparison is not None and comparison.verdict == "faster"


def _gain(row: DeploymentRow, comparison: Comparison) -> str:
    """A form against eager: how many times as fast, its change of mIoU and the size of its file."""
    size = f", {numbers.significant(row.first.file_mb)} MB" if row.first.file_mb else ""
    return f"{_times_as_fast(comparison)} eager ({_speed_bounds(comparison)}), {_change(row)}{size}"


def _untold(name: str, rows: Sequence[DeploymentRow]) -> list[str]:
    """Sentences on forms of which it cannot be told whether they keep their mIoU."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        by_reason.setdefault(_why_untold(row), []).append(row.backend)
    return [
        f"Whether {numbers.listed(backends)} {'keeps' if len(backends) == 1 else 'keep'} the mIoU of {name} within 1 point "
        f"cannot be told: {why}."
        for why, backends in by_reason.items()
    ]


def _why_untold(row: DeploymentRow) -> str:
    if row.score is None:
        return "the run has no comparison with eager on the same images"
    return _change(row) if bounds(row.score) else row.score.reason


def _change(row: DeploymentRow) -> str:
    """``mIoU −0.5 points (95 % interval −0.9 to −0.1)``."""
    assert row.change is not None
    if row.score is None or not bounds(row.score):
        return f"mIoU {numbers.points(row.change)} points"
    return f"mIoU {effect(row.score)} points ({interval_words(row.score, limits=(-KEEPS, KEEPS))})"


def _times_as_fast(comparison: Comparison) -> str:
    """``5.00x as fast as``, from a ratio of times."""
    return f"{effect(as_speed(comparison)).replace('×', '')}x as fast as"


def _speed_bounds(comparison: Comparison) -> str:
    """The interval of how many times as fast, from a ratio of times."""
    return interval_words(as_speed(comparison))


def _speed_order(models: Sequence[str], rows: Sequence[DeploymentRow]) -> list[str]:
    """Sentences on the models' order by speed in each backend against eager mode, as far as the race's verdicts tell it."""
    by_name = {(row.name, row.backend): row for row in rows if not row.errors}
    eager = {row.name: row.latency for row in rows if row.is_eager}
    # cells that differ in loss or recipe only share one timing
    apart = [pair for pair in combinations(models, 2) if eager.get(pair[0]) != eager.get(pair[1])]
    swapped: list[str] = []
    same: list[str] = []
    open_: list[str] = []
    for backend in dict.fromkeys(row.backend for row in rows if not row.is_eager):
        pairs = [(_told(by_name, pair, EAGER), _told(by_name, pair, backend)) for pair in apart]
        decided = [(before, after) for before, after in pairs if before is not None and after is not None]
        turned = [(before, after) for before, after in decided if before.verdict != after.verdict]
        swapped += [_turn(backend, before, after) for before, after in turned]
        if pairs and len(decided) < len(pairs):
            open_.append(backend)
        elif decided and not turned:
            same.append(backend)
    order = f"The order of the models by speed is the same in {numbers.listed(same)} as in eager mode."
    doubt = f"Whether it is the same in {numbers.listed(open_)} is not told by the race." if same else ""
    return [*dict.fromkeys(swapped), *([order] if same else []), *([doubt] if doubt and open_ else [])]


def _told(by_name: Mapping[tuple[str, str], DeploymentRow], models: tuple[str, str], backend: str) -> Comparison | None:
    """The race's comparison of two models through one backend; None where it tells no difference."""
    first, second = (by_name.get((model, backend)) for model in models)
    comparison = first.against(second) if first and second else None
    return comparison if comparison is not None and comparison.verdict in ("faster", "slower") else None


def _turn(backend: str, before: Comparison, after: Comparison) -> str:
    was, now = (one if one.verdict == "faster" else turned(one) for one in (before, after))
    return (
        f"In {backend} {now.subject} is {_times_as_fast(now)} {now.baseline} ({_speed_bounds(now)}); "
        f"in eager mode it is the other way round, {_times_as_fast(was).removesuffix(' as fast as')} ({_speed_bounds(was)})."
    )
