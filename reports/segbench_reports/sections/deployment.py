"""The section on deployments, a model through a backend each: file, drift, quality, speed and memory."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import Deployment, RunResult, averaged_classes
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.text.verdicts import bounds, effect, relative
from segbench_reports.view.deployment_sentences import sentences
from segbench_reports.view.deployments import KEEPS, DeploymentRow, deployment_rows

_TITLES = (
    "model",
    "form",
    "precision",
    "file<br>MB",
    "export<br>s",
    "drift, largest",
    "drift, mean<br>% of deviation",
    "labels agree<br>%",
    "mIoU<br>%",
    "mIoU against<br>eager, points",
    "within<br>1 point",
    "latency<br>ms, batch 1",
    "time against<br>eager",
    "time against<br>the first",
    "memory<br>MB",
    "why not",
)
_LEFT = (0, 1, 2, 10, 15)


def deployment(result: RunResult) -> str:
    """A table with one row per model and backend, the reason where it failed; empty where all models ran in eager mode only."""
    deployments = deployment_rows(result)
    if not deployments:
        return ""
    rows = row_texts(deployments)
    columns = [i for i in range(len(_TITLES)) if any(row[i] for row in rows)]
    body = [[markdown(row[i]) or numbers.NOT_MEASURED if i != len(_TITLES) - 1 else markdown(row[i]) for i in columns] for row in rows]
    table = grid([_TITLES[i] for i in columns], body, ["left" if i in _LEFT else "right" for i in columns])
    findings = [markdown(text) for text in sentences(deployments)]
    return "\n\n".join(
        part for part in (bullets(findings), table, " ".join(markdown(note) for note in condition_notes(deployments))) if part
    )


def row_texts(deployments: Sequence[DeploymentRow]) -> list[list[str]]:
    """The cells of each row as plain text, empty where nothing was measured."""
    baseline = next((row for row in deployments if row.is_eager), None)
    texts = []
    for row in deployments:
        eager = next((other for other in deployments if other.name == row.name and other.is_eager), None)
        texts.append(_texts(row, eager, baseline))
    return texts


def condition_notes(deployments: Sequence[DeploymentRow]) -> list[str]:
    """Sentences on the conditions under which the figures were measured."""
    lines = []
    qualities = [one.quality for row in deployments for one in (*row.deployments, *row.eager) if one.quality]
    known = dict.fromkeys(averaged.words for quality in qualities if (averaged := averaged_classes(quality)))
    if known:
        lines.append(f"mIoU is the mean over {numbers.listed(list(known))}.")
    drifts = [row.first.drift for row in deployments if row.first.drift]
    if drifts:
        images = numbers.listed([str(n) for n in sorted({drift.images for drift in drifts})])
        lines.append(
            f"Drift is the difference of logits from the eager fp32 network's on {images} images of the scored split: the largest, and the "
            "mean against the deviation of those logits. mIoU is measured again through each form over the whole split; deployed forms "
            "give logits at the input's size, from where they are resized to the label's."
        )
    fixed = {numbers.size(row.first.fixed_size) for row in deployments if row.first.fixed_size}
    if fixed:
        lines.append(f"Files are exported for the fixed size {numbers.listed(sorted(fixed))}: smaller images are padded up to it.")
    for row in deployments:
        elsewhere = [
            drift for drift in (row.first.drift.sizes if row.first.drift else []) if drift.max_abs is not None and drift.input_size
        ]
        if elsewhere and row.first.file_mb is not None:  # a network in memory takes any size anyhow
            tried = numbers.listed(
                [f"{numbers.size(d.input_size or (0, 0))} ({numbers.significant(d.max_abs or 0.0, 2)})" for d in elsewhere]
            )
            lines.append(f"{row.name} as {row.backend} takes any size; largest drift at {tried}.")
    if any(row.score is not None and row.score.low is not None for row in deployments):
        lines.append(
            "Differences are of the same images through both, with an interval that is corrected for all forms of the run. Within 1 point: "
            "kept where the whole interval lies above −1 point, lost where it lies below, else it cannot be told."
        )
    races = {row.first.raced for row in deployments if row.latency}
    if len(races) > 1:
        lines.append("Not all forms were timed in one race: times of different races are not compared.")
    return lines


def _texts(row: DeploymentRow, eager: DeploymentRow | None, baseline: DeploymentRow | None) -> list[str]:
    latency, first = row.latency, row.first
    memory = first.memory_mb.inference_peak if first.memory_mb else None
    largest = row.drift(lambda f: f.drift.max_abs if f.drift else None)
    agreement = row.drift(lambda f: f.drift.label_agreement if f.drift else None, min)
    return [
        row.name,
        row.backend,
        first.precision,
        _number(first.file_mb),
        _number(first.export_seconds, 2),
        _number(largest, 2),
        _number(_relative_drift(row), 2),
        "" if agreement is None else f"{100 * agreement:.2f}",
        "" if row.miou is None else numbers.percent(row.miou),
        _change(row),
        "" if row.is_eager or row.change is None else row.keeping,
        _latency(row),
        _ratio(row, eager) if not row.is_eager and latency else "",
        _ratio(row, baseline) if latency and row is not baseline and not _repeats_eager(eager, baseline, row) else "",
        _number(memory),
        _errors(row),
    ]


def _repeats_eager(eager: DeploymentRow | None, baseline: DeploymentRow | None, row: DeploymentRow) -> bool:
    """True where the ratio to the baseline would repeat the one to eager."""
    return eager is baseline and not row.is_eager


def _relative_drift(row: DeploymentRow) -> float | None:
    def read(deployment: Deployment) -> float | None:
        drift = deployment.drift
        if drift is None or drift.mean_abs is None or not drift.reference_std:
            return None
        return 100 * drift.mean_abs / drift.reference_std

    return row.drift(read)


def _latency(row: DeploymentRow) -> str:
    entry = row.latency
    if entry is None or entry.p50_ms is None:
        return ""
    if entry.ci95_ms is None:
        return numbers.significant(entry.p50_ms)
    text, interval = numbers.with_interval(entry.p50_ms, *entry.ci95_ms)
    return f"{text} ({interval})" if interval else text


def _change(row: DeploymentRow) -> str:
    """The difference in points, with its interval where it has one."""
    if row.score is None or not bounds(row.score):
        return ""
    return f"{effect(row.score)} ({bounds(row.score, limits=(-KEEPS, KEEPS))})"


def _ratio(row: DeploymentRow, other: DeploymentRow | None) -> str:
    """The race's ratio of times with its interval."""
    comparison = row.against(other) if other else None
    if comparison is None:
        return ""
    if not bounds(comparison):
        return comparison.verdict
    return f"{relative(comparison)} ({bounds(comparison).replace('×', '')})"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else numbers.significant(value, digits)


def _errors(row: DeploymentRow) -> str:
    return numbers.elided("; ".join(row.errors), 300)


SHORT = (("form", 1), ("MB", 3), ("drift", 5), ("labels %", 7), ("mIoU", 8), ("±", 9), ("1 point", 10), ("ms", 11), ("× eager", 12))
"""Columns of the terminal's table: title and place in :func:`row_texts`."""
