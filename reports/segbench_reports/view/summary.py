"""The comparison in plain sentences, drawn only from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import Comparison, Latency, RunResult, metric, not_comparable, only_class_of, only_masks
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import (
    CANNOT_TELL,
    FAVOURABLE,
    NO_DIFFERENCE,
    UNFAVOURABLE,
    as_speed,
    basis,
    effect,
    interval_words,
    is_shown,
    score_texts,
)
from segbench_reports.view.ablation import sentences as ablation_sentences
from segbench_reports.view.cells import axis_text, cell_name, dataset_name, scored_splits, single_latency, unfinished, variant
from segbench_reports.view.claims import claims_sentence
from segbench_reports.view.comparisons import between, quality_comparisons, scores_of
from segbench_reports.view.learned import is_collapsed, learned_sentences, over_classes
from segbench_reports.view.main_table import Row, Table

_MOST_SENTENCES = 4


def summary(result: RunResult, table: Table) -> list[str]:
    """Sentences of plain text: the best, each model against the first, losses, recipes, settings, seeds, failures, claims."""
    rows = [row for row in table.rows if row.competes]
    where = " ".join([dataset_name(result), *scored_splits(result)]) + over_classes(result)
    learned = [row for row in rows if not is_collapsed(row.cells)]
    compared = [row for row in learned if result.ablation is None or row.cell.model in (result.ablation.start, result.ablation.end)]
    sentences = _quick_tries(result) + learned_sentences([row for row in table.rows if row.ranked], _shared_axes(table))
    sentences += ablation_sentences(result) + _only(rows, table, where)
    sentences += _best(result, learned, table, where)
    sentences += _models(result, compared, table, where) + _effects(result, table) + _found_nothing(rows, table)
    return [*sentences, *_seeds(result, rows), *_outcome(result)]


def _quick_tries(result: RunResult) -> list[str]:
    """What rows are of which nothing may be compared."""
    reasons = list(dict.fromkeys(filter(None, map(not_comparable, result.cells))))
    rows = "Every row" if all(map(not_comparable, result.cells)) else "Some rows, named below the table,"
    return [f"{rows} is {reason}." if rows == "Every row" else f"{rows} are {reason}." for reason in reasons]


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
    """The highest score and how far it is shown to be the best; nothing where another row is shown to be better on shared seeds."""
    scored = [row for row in rows if "miou" in row.figures]
    if len(scored) < 3:
        return []
    leader = max(scored, key=lambda row: row.figures["miou"].value)
    others = [row for row in scored if row is not leader]
    verdicts = {cell_name(row.cell, _shared_axes(table)): between(result, "miou", leader.side, row.side) for row in others}
    if any(comparison is not None and comparison.verdict in UNFAVOURABLE for comparison in verdicts.values()):
        return []
    level = [name for name, comparison in verdicts.items() if comparison is None or comparison.verdict not in FAVOURABLE]
    untold = [name for name in level if (comparison := verdicts[name]) is None or comparison.verdict == CANNOT_TELL]
    which = "any other" if len(level) == len(others) else numbers.listed(level)
    doubt = f"; it is not shown to be better than {which}" if level else ""
    if len(untold) == len(others):
        doubt = "; whether it is better than any other cannot be told"
    highest = numbers.percent(leader.figures["miou"].value)
    return [f"{cell_name(leader.cell, _shared_axes(table))} has the highest mIoU on {where}: {highest}%{doubt}."]


def _models(result: RunResult, rows: Sequence[Row], table: Table, where: str) -> list[str]:
    """Each other model against the first, in every variant that both have; beyond a few models their verdicts alone."""
    base = table.reference
    if base is None or is_collapsed(base.cells):
        return []
    by_model = {model: _pairs(rows, table, model) for model in dict.fromkeys(row.cell.model for row in rows) if model != base.cell.model}
    texts = {model: text for model, pairs in by_model.items() if pairs and (text := _against(result, pairs, table, where))}
    detailed = list(texts)[:_MOST_SENTENCES] if len(texts) > _MOST_SENTENCES + 1 else list(texts)
    further = [pair for model in texts if model not in detailed for pair in by_model[model]]
    return [*(texts[model] for model in detailed), *_verdicts_alone(result, further, table)]


def _pairs(rows: Sequence[Row], table: Table, model: str) -> list[tuple[Row, Row]]:
    """Rows of a model with the first model's row of the same variant."""
    base, axes = table.reference, _shared_axes(table)
    twins = {variant(row.cell, axes): row for row in rows if base is not None and row.cell.model == base.cell.model}
    return [(row, twins[key]) for row in rows if row.cell.model == model and (key := variant(row.cell, axes)) in twins]


def _verdicts_alone(result: RunResult, pairs: Sequence[tuple[Row, Row]], table: Table) -> list[str]:
    """One sentence on models that have none of their own: their verdicts by name."""
    if not pairs:
        return []
    clauses = []
    for quantity, words in (("miou", "in mIoU"), ("latency_ms", "in latency")):
        by_verdict: dict[str, list[str]] = {}
        for row, base in pairs:
            comparison = between(result, quantity, row.side, base.side)
            if comparison is not None:
                by_verdict.setdefault(comparison.verdict, []).append(cell_name(row.cell, _shared_axes(table)))
        clauses += [f"{verdict} {words}: {numbers.listed(list(dict.fromkeys(names)))}" for verdict, names in by_verdict.items()]
    first = pairs[0][1].cell.model
    return [f"Further models against {first}: {'; '.join(clauses)}." if clauses else f"The table has {len(pairs)} more rows."]


def _shared_axes(table: Table) -> list[str]:
    return [axis for axis in table.axes if axis != "seed"]


def _against(result: RunResult, pairs: Sequence[tuple[Row, Row]], table: Table, where: str) -> str:
    """Costs and speed once, as they do not depend on the training; mIoU in each variant."""
    row, base = pairs[0]
    axes = _shared_axes(table)
    scores = [(variant(one.cell, axes), _quality(result, one, other, where)) for one, other in pairs]
    scored = [f"with {shared} it {clause}" if len(pairs) > 1 else clause for shared, clause in scores if clause]
    clauses = [*_costs(row, base), *_speed(result, row, base)]
    shared = scores[0][0] if len(pairs) == 1 else ""
    both = f" (both with {shared})" if shared else ""
    start = f"Compared with {base.cell.model}{both}, {row.cell.model} "
    if len(pairs) == 1:
        return f"{start}{numbers.listed([*clauses, *scored])}." if clauses or scored else ""
    if not clauses and not scored:
        return ""
    text = "; ".join([start + numbers.listed(clauses), *scored]) if clauses else f"{start.strip()}: {'; '.join(scored)}"
    return _once(f"{text}.", [between(result, "miou", one.side, other.side) for one, other in pairs])


def _costs(row: Row, base: Row) -> list[str]:
    phrases = []
    for count in (metric("params"), metric("macs")):
        ratio = _ratio(row, base, count.column_key)
        if ratio is not None:
            phrases.append(f"the same {count.axis}" if ratio == 1 else f"{numbers.unequal(ratio)}x the {count.axis}")
    return [f"has {numbers.listed(phrases)}"] if phrases else []


def _speed(result: RunResult, row: Row, base: Row) -> list[str]:
    """The race's verdict on two models as tables show them, at batch 1; nothing where they were not raced."""
    comparison = between(result, "latency_ms", row.side, base.side)
    entry = next((entry for cell in row.cells if (entry := single_latency(cell))), None)
    if comparison is None or entry is None:
        return []
    if comparison.verdict == CANNOT_TELL:
        return [f"cannot be told apart from it in speed ({comparison.reason or 'the race gave no interval'}; {conditions(entry)})"]
    fast = as_speed(comparison)
    interval = f"{interval_words(fast)}; {conditions(entry)}"
    factor = f"{effect(fast).replace('×', '')}x as fast"
    if is_shown(fast):
        return [f"runs {factor} ({interval})"]
    return [f"shows no difference in speed ({factor}, {interval})"]


def _ratio(row: Row, base: Row, key: str) -> float | None:
    own, other = row.exact(key), base.exact(key)
    return own.value / other.value if own and other and other.value > 0 else None


def _quality(result: RunResult, row: Row, base: Row, where: str) -> str:
    comparison = between(result, "miou", row.side, base.side)
    if comparison is None:
        return ""
    spreads = (_deviation(row, comparison.subject_cells), _deviation(base, comparison.baseline_cells))
    return score_clause(result, comparison, f" on {where}", *spreads)


def score_clause(result: RunResult, comparison: Comparison, where: str = "", spread: str = "", base_spread: str = "") -> str:
    """What a comparison shows of two scores, as a clause with the scores, the interval and what it is of."""
    scores, name = scores_of(result, comparison), metric(comparison.quantity).title
    figures = ""
    if scores is not None:
        one, other = score_texts(comparison, *scores)
        figures = f"{one}{spread}% against {other}{base_spread}%; "
    if comparison.verdict == CANNOT_TELL:
        return f"cannot be told apart in {name}{where} ({figures}{comparison.reason or 'no interval could be made'})"
    interval = f"{interval_words(comparison, 'points')}; {basis(comparison)}"
    if comparison.verdict == NO_DIFFERENCE:
        return f"shows no difference in {name}{where} ({figures}{effect(comparison)} points, {interval})"
    direction = "higher" if (comparison.value or 0) > 0 else "lower"
    return f"scores {effect(comparison)[1:]} points {direction} in {name}{where} ({figures}{interval})"


def _deviation(row: Row, cells: Sequence[str]) -> str:
    """The deviation over seeds behind a score; none where the comparison is of some of the seeds only."""
    spread = row.figures["miou"].spread if "miou" in row.figures else None
    scored = {cell.id for cell in row.cells if metric("miou").value(cell) is not None}
    return "" if spread is None or not scored <= set(cells) else f" ±{numbers.percent(spread)}"


def _once(sentence: str, comparisons: Sequence[Comparison | None]) -> str:
    """A sentence with each reason of its comparisons where it comes first, and not again."""
    for reason in dict.fromkeys(comparison.reason for comparison in comparisons if comparison is not None and comparison.reason):
        head, found, tail = sentence.partition(reason)
        sentence = head + found + tail.replace(f"; {reason})", ")").replace(f" ({reason})", "")
    return sentence


def _effects(result: RunResult, table: Table) -> list[str]:
    """Each other loss, recipe or setting against the first, for every model; beyond a few their verdicts alone."""
    sentences = []
    for axis in ("loss", "recipe", "settings"):
        compared = [c for c in quality_comparisons(result, headline=True) if c.quantity == "miou" and c.axis == axis]
        subjects = list(dict.fromkeys(comparison.subject for comparison in compared))
        for place, subject in enumerate(subjects):
            of_subject = [comparison for comparison in compared if comparison.subject == subject]
            brief = place >= _MOST_SENTENCES or len(of_subject) > _MOST_SENTENCES
            clauses = [_effect(result, comparison, table, brief=brief) for comparison in of_subject]
            sentences.append(_once(f"{subject} in place of {of_subject[0].baseline}: {'; '.join(clauses)}.", of_subject))
    return sentences


def _effect(result: RunResult, comparison: Comparison, table: Table, *, brief: bool) -> str:
    cell = next(cell for cell in result.cells if cell.id in comparison.subject_cells)
    shared = ", ".join(filter(None, (axis_text(cell, axis) for axis in _shared_axes(table) if axis != comparison.axis)))
    return f"{shared} {f'{comparison.verdict} in mIoU' if brief else score_clause(result, comparison)}"


def _found_nothing(rows: Sequence[Row], table: Table) -> list[str]:
    """Sentences on networks that predict several classes, but find none of the headline class."""
    names: dict[str, list[str]] = {}
    for row in rows:
        quality = row.cell.quality
        if only_class_of(row.cell) is None and quality is not None and quality.headline_class and quality.headline_iou == 0:
            names.setdefault(f"find no {quality.headline_class} (IoU 0)", []).append(cell_name(row.cell, _shared_axes(table)))
    return [f"{numbers.listed(models)} {what if len(models) > 1 else what.replace(' ', 's ', 1)}." for what, models in names.items()]


def _only(rows: Sequence[Row], table: Table, where: str) -> list[str]:
    """The score of a run that has one row, which nothing is compared with."""
    if len(rows) != 1 or "miou" not in rows[0].figures:
        return []
    row, quality = rows[0], rows[0].cell.quality
    of = f", {numbers.counted(quality.images, 'image')}" if quality and quality.images else ""
    spread = _deviation(row, [cell.id for cell in row.cells])
    return [f"{cell_name(row.cell, _shared_axes(table))} scores {numbers.percent(row.figures['miou'].value)}{spread}% mIoU on {where}{of}."]


def _seeds(result: RunResult, rows: Sequence[Row]) -> list[str]:
    scored = [row for row in rows if "miou" in row.figures]
    if not scored:
        return []
    if only_masks(result.cells):
        return ["Masks were scored, not networks: what made them may do otherwise on other images, or trained again."]
    told = [c for c in quality_comparisons(result, headline=True) if c.quantity == "miou" and c.low is not None]
    about = bool(told) and all("checkpoint" in comparison.scope for comparison in told)
    if all(row.kind == "mean" for row in scored):
        few = " Fewer than three shared seeds do not speak of the architectures: the verdicts are about these checkpoints." if about else ""
        bounded = any(row.figures["miou"].interval for row in scored)
        below = ", the range below it the 95 % interval (Student's t) of their mean" if bounded else ""
        return [f"± behind a score is its standard deviation over seeds{below}.{few}"]
    if any(row.kind == "mean" for row in scored):
        return ["± behind a score is its standard deviation over seeds; a score without it is of one seed."]
    words = "these verdicts are about these checkpoints, not about the architectures; " if about else ""
    if all(row.cell.is_as_given for row in scored):
        return [f"As given: {words}the scores are of these weights, other trainings of the same networks may score differently."]
    return [f"One seed: {words}how far these scores would move with another is not known."]


def _outcome(result: RunResult) -> list[str]:
    sentences = []
    failed = sum(cell.status == "failed" for cell in result.cells)
    if failed:
        sentences.append(f"{failed} of {numbers.counted(len(result.cells), 'cell')} failed.")
    claims = claims_sentence(result)
    return [*sentences, claims] if claims else sentences
