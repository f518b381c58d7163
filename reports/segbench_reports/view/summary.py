"""The comparison in plain sentences, drawn only from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import Comparison, Latency, RunResult, ShownValue, metric
from segbench_reports.text import numbers
from segbench_reports.view.ablation import sentences as ablation_sentences
from segbench_reports.view.cells import cell_name, dataset_name, deployment, scored_splits, single_latency, unfinished, variant
from segbench_reports.view.claims import claims_sentence
from segbench_reports.view.main_table import Row, Table, overlap
from segbench_reports.view.quality_comparisons import basis, between, interval, not_shown_better, quality_comparisons
from segbench_reports.view.timed_models import TimedModel

_MOST_SENTENCES = 4


def summary(result: RunResult, table: Table) -> list[str]:
    """Sentences of plain text: the best, each model against the first, losses, seeds, failures, claims."""
    rows = [row for row in table.rows if row.ranked]
    where = " ".join([dataset_name(result), *scored_splits(result)])
    compared = [row for row in rows if result.ablation is None or row.cell.model in (result.ablation.start, result.ablation.end)]
    sentences = (
        ablation_sentences(result) + _best(result, rows, table, where) + _models(result, compared, table, where) + _losses(rows, table)
    )
    return [*sentences, *_seeds(result, rows), *_outcome(result)]


def unfinished_note(result: RunResult) -> str:
    """The missing cells of an incomplete run and how to get them, empty for a complete one."""
    waiting = len(unfinished(result))
    if result.complete and not waiting:
        return ""
    done = len(result.cells) - waiting
    return (
        f"This run is incomplete: {done} of {numbers.counted(len(result.cells), 'cell')} "
        f"{'is' if done == 1 else 'are'} done. The same command continues where it stopped."
    )


def conditions(entry: Latency) -> str:
    """The circumstances under which a call was timed.

    >>> conditions(Latency(batch_size=1, input_size=(176, 240), device="cpu", threads=2))
    'batch 1, 176x240, cpu, 2 threads'
    """
    threads = f", {numbers.counted(entry.threads, 'thread')}" if entry.threads and entry.device.startswith("cpu") else ""
    return f"batch {entry.batch_size}, {numbers.size(entry.input_size)}, {entry.device}{threads}"


def _best(result: RunResult, rows: Sequence[Row], table: Table, where: str) -> list[str]:
    scored = [row for row in rows if "miou" in row.figures]
    if len(scored) < 3:
        return []
    highest = numbers.percent(max(row.figures["miou"].value for row in scored))
    leaders = [cell_name(row.cell, _shared_axes(table)) for row in scored if numbers.percent(row.figures["miou"].value) == highest]
    have = "have" if len(leaders) > 1 else "has"
    level = _on_level_with(result, scored, table, highest) if len(leaders) == 1 else []
    others = len({row.cell.model for row in scored}) - 1
    which = "any other" if len(level) == others > 2 else numbers.listed(level)
    doubt = f"; it is not shown to be better than {which}" if level else ""
    return [f"{numbers.listed(leaders)} {have} the highest mIoU on {where}: {highest}%{doubt}."]


def _on_level_with(result: RunResult, scored: Sequence[Row], table: Table, highest: str) -> list[str]:
    """Models under the leader's conditions that it was compared with, without a verdict in its favour."""
    leader = next(row.cell for row in scored if numbers.percent(row.figures["miou"].value) == highest)
    axes = _shared_axes(table)
    return not_shown_better(result, leader, [row.cell for row in scored if variant(row.cell, axes) == variant(leader, axes)])


def _models(result: RunResult, rows: Sequence[Row], table: Table, where: str) -> list[str]:
    """Each other model against the first, both in the same variant; what holds for all is said once."""
    sentences: list[str] = []
    for model in dict.fromkeys(row.cell.model for row in rows):
        pair = _pair(rows, table, model)
        sentence = _against(result, *pair, table, f" on {where}" if not sentences else "") if pair else ""
        sentences += [sentence] if sentence else []
    left_out = len(sentences) - _MOST_SENTENCES
    return sentences if left_out <= 1 else [*sentences[:_MOST_SENTENCES], f"The table has {left_out} more models."]


def _pair(rows: Sequence[Row], table: Table, model: str) -> tuple[Row, Row] | None:
    base = table.reference
    if base is None or model == base.cell.model:
        return None
    axes = _shared_axes(table)
    for row in rows:
        twin = next((b for b in rows if b.cell.model == base.cell.model and variant(b.cell, axes) == variant(row.cell, axes)), None)
        if row.cell.model == model and twin:
            return row, twin
    return None


def _shared_axes(table: Table) -> list[str]:
    return [axis for axis in table.axes if axis != "seed"]


def _against(result: RunResult, row: Row, base: Row, table: Table, where: str) -> str:
    clauses = [*_costs(row, base), *_speed(result, row, base, detailed=bool(where)), *_quality(result, row, base, where)]
    shared = variant(row.cell, _shared_axes(table))
    both = f" (both with {shared})" if shared else ""
    return f"Compared with {base.cell.model}{both}, {row.cell.model} {numbers.listed(clauses)}." if clauses else ""


def _costs(row: Row, base: Row) -> list[str]:
    phrases = []
    for count in (metric("params"), metric("macs")):
        ratio = _ratio(row, base, count.column_key)
        if ratio is not None:
            phrases.append(f"the same {count.axis}" if ratio == 1 else f"{numbers.factor(ratio)}x the {count.axis}")
    return [f"has {numbers.listed(phrases)}"] if phrases else []


def _speed(result: RunResult, row: Row, base: Row, *, detailed: bool) -> list[str]:
    ratio, entry, other = _ratio(base, row, "latency_ms"), single_latency(row.cell), single_latency(base.cell)
    if ratio is None or entry is None or other is None or conditions(entry) != conditions(other) or _race(row) != _race(base):
        return []
    under = f" ({conditions(entry)})" if detailed else ""
    comparison = _raced(result, row, base, entry)
    if comparison is not None and comparison.value and comparison.low and comparison.high:
        if comparison.verdict == "no difference shown":
            return [f"is neither faster nor slower beyond the noise of the timing{under}"]
        low, high = numbers.factor(1 / comparison.high), numbers.factor(1 / comparison.low)
        bounds = f"95 % interval {low} to {high}{f'; {conditions(entry)}' if detailed else ''}"
        return [f"runs {numbers.factor(1 / comparison.value)}x as fast ({bounds})"]
    if overlap(row.figures["latency_ms"], base.figures["latency_ms"]):
        return [f"is neither faster nor slower beyond the noise of the timing{under}"]
    return [f"runs {numbers.factor(ratio)}x as fast{under}"]


def _raced(result: RunResult, row: Row, base: Row, entry: Latency) -> Comparison | None:
    """The race's verdict on two models in eager mode at batch 1: its ratio is taken round by round, which a load that comes and goes
    moves less than the ratio of two medians."""
    form = deployment(row.cell)
    comparison = TimedModel(row.cell, form).against_first(result, entry) if form is not None else None
    return comparison if comparison is not None and base.cell.id in comparison.baseline_cells else None


def _race(row: Row) -> str | None:
    form = deployment(row.cell)
    return form.raced if form else None


def _ratio(row: Row, base: Row, key: str) -> float | None:
    own, other = row.figures.get(key), base.figures.get(key)
    return own.value / other.value if own and other and other.value > 0 else None


def _quality(result: RunResult, row: Row, base: Row, where: str) -> list[str]:
    own, other = row.figures.get("miou"), base.figures.get("miou")
    if own is None or other is None:
        return []
    comparison = between(result, row.cell, base.cell)
    bounds = (
        f"; 95 % interval of the difference {interval(comparison)} points, {basis(comparison)}"
        if comparison and interval(comparison)
        else ""
    )
    figures = f"({_shown(own)} against {_shown(other)}{bounds})"
    if comparison and comparison.verdict == "no difference shown":
        return [f"shows no difference in mIoU{where} {figures}"]
    if comparison and comparison.verdict == "cannot tell":
        return [f"cannot be told apart from it in mIoU{where} {figures[:-1]}; {comparison.reason})"]
    difference = numbers.points(own.value - other.value)
    if difference.startswith("±"):
        return [f"has the same mIoU{where} {figures}"]
    direction = "higher" if difference.startswith("+") else "lower"
    return [f"scores {difference[1:]} points {direction} in mIoU{where} {figures}"]


def _shown(figure: ShownValue) -> str:
    spread = "" if figure.spread is None else f" ±{numbers.percent(figure.spread)}"
    return f"{numbers.percent(figure.value)}%{spread}"


def _losses(rows: Sequence[Row], table: Table) -> list[str]:
    """The effect of another loss than the first, model by model."""
    names = list(dict.fromkeys(row.cell.loss or "" for row in rows))
    if "loss" not in table.axes or len(names) > 4:
        return []
    sentences = []
    for name in names[1:]:
        changes = _loss_changes(rows, names[0], name, table)
        if changes:
            sentences.append(f"{name} in place of {names[0]} changes mIoU by {numbers.listed(changes)}.")
    return sentences


def _loss_changes(rows: Sequence[Row], first: str, second: str, table: Table) -> list[str]:
    def setting(row: Row) -> str:
        return cell_name(row.cell, [axis for axis in _shared_axes(table) if axis != "loss"])

    before = {setting(row): row.figures["miou"].value for row in rows if row.cell.loss == first and "miou" in row.figures}
    after = {setting(row): row.figures["miou"].value for row in rows if row.cell.loss == second and "miou" in row.figures}
    return [f"{numbers.points(after[name] - before[name])} points ({name})" for name in before if name in after][:_MOST_SENTENCES]


def _seeds(result: RunResult, rows: Sequence[Row]) -> list[str]:
    scored = [row for row in rows if "miou" in row.figures]
    if not scored:
        return []
    about = any(
        "checkpoint" in comparison.scope for comparison in quality_comparisons(result, headline=True) if comparison.quantity == "miou"
    )
    if all(row.kind == "mean" for row in scored):
        few = " Two seeds are too few to speak of the architectures: the verdicts are about these checkpoints." if about else ""
        bounded = any(row.figures["miou"].interval for row in scored)
        below = ", the range below it the 95 % interval (Student's t) of their mean" if bounded else ""
        return [f"± behind a score is its standard deviation over seeds{below}.{few}"]
    if any(row.kind == "mean" for row in scored):
        return ["± behind a score is its standard deviation over seeds; a score without it is of one seed."]
    words = "these verdicts are about these checkpoints, not about the architectures; " if about else ""
    return [f"One seed: {words}how far these scores would move with another is not known."]


def _outcome(result: RunResult) -> list[str]:
    sentences = []
    failed = sum(cell.status == "failed" for cell in result.cells)
    if failed:
        sentences.append(f"{failed} of {numbers.counted(len(result.cells), 'cell')} failed.")
    claims = claims_sentence(result)
    return [*sentences, claims] if claims else sentences
