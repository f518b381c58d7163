"""The same models as they are deployed: file, drift, quality measured again, speed and memory of each form."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import Deployment, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.view.deployments import DeploymentRow, deployed_forms, sentences, time_ratio

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
    "latency<br>ms, batch 1",
    "time against<br>eager",
    "time against<br>the first",
    "memory<br>MB",
    "why not",
)
_LEFT = (0, 1, 2, 14)


def deployment(result: RunResult) -> str:
    """One row per model and form; a form that failed is a row with its reason. Empty where all models ran in eager mode only."""
    forms = deployed_forms(result)
    if not forms:
        return ""
    rows = figures(forms)
    kept = [i for i in range(len(_TITLES)) if any(row[i] for row in rows)]
    body = [[markdown(row[i]) or numbers.NOT_MEASURED if i != len(_TITLES) - 1 else markdown(row[i]) for i in kept] for row in rows]
    table = grid([_TITLES[i] for i in kept], body, ["left" if i in _LEFT else "right" for i in kept])
    said = [markdown(text) for text in sentences(forms)]
    return "\n\n".join(part for part in (bullets(said), table, " ".join(markdown(note) for note in notes(forms))) if part)


def figures(forms: Sequence[DeploymentRow]) -> list[list[str]]:
    """The cells of each row as plain text, empty where nothing was measured."""
    baseline = next((form for form in forms if form.is_eager), None)
    rows = []
    for form in forms:
        eager = next((other for other in forms if other.name == form.name and other.is_eager), None)
        rows.append(_row(form, eager, baseline))
    return rows


def notes(forms: Sequence[DeploymentRow]) -> list[str]:
    """Under what the figures hold."""
    said = []
    drifts = [form.first.drift for form in forms if form.first.drift]
    if drifts:
        images = numbers.listed([str(n) for n in sorted({drift.images for drift in drifts})])
        said.append(
            f"Drift is the difference of logits from the eager fp32 network's on {images} images of the scored split: the largest, and the "
            "mean against the deviation of those logits. mIoU is measured again through each form over the whole split; deployed forms "
            "give logits at the input's size, from where they are resized to the label's."
        )
    fixed = {numbers.size(form.first.fixed_size) for form in forms if form.first.fixed_size}
    if fixed:
        said.append(f"Files are exported for the fixed size {numbers.listed(sorted(fixed))}: smaller images are padded up to it.")
    for form in forms:
        elsewhere = [
            drift for drift in (form.first.drift.sizes if form.first.drift else []) if drift.max_abs is not None and drift.input_size
        ]
        if elsewhere and form.first.file_mb is not None:  # in memory any size is a matter of course
            tried = numbers.listed(
                [f"{numbers.size(d.input_size or (0, 0))} ({numbers.significant(d.max_abs or 0.0, 2)})" for d in elsewhere]
            )
            said.append(f"{form.name} as {form.backend} takes any size; largest drift at {tried}.")
    races = {form.first.raced for form in forms if form.latency}
    if len(races) > 1:
        said.append("Not all forms were timed in one race: times of different races are not compared.")
    return said


def _row(form: DeploymentRow, eager: DeploymentRow | None, baseline: DeploymentRow | None) -> list[str]:
    latency, first = form.latency, form.first
    memory = first.memory_mb.inference_peak if first.memory_mb else None
    largest = form.drift(lambda f: f.drift.max_abs if f.drift else None)
    agreement = form.drift(lambda f: f.drift.label_agreement if f.drift else None, min)
    return [
        form.name,
        form.backend,
        first.precision,
        _number(first.file_mb),
        _number(first.export_seconds, 2),
        _number(largest, 2),
        _number(_relative_drift(form), 2),
        "" if agreement is None else f"{100 * agreement:.2f}",
        "" if form.miou is None else numbers.percent(form.miou),
        "" if form.change is None else numbers.points(form.change),
        _latency(form),
        _ratio(form, eager) if not form.is_eager and latency else "",
        _ratio(form, baseline) if latency and form is not baseline and not _same(eager, baseline, form) else "",
        _number(memory),
        _why(form),
    ]


def _same(eager: DeploymentRow | None, baseline: DeploymentRow | None, form: DeploymentRow) -> bool:
    """Whether the ratio to the baseline would only repeat the one to eager."""
    return eager is baseline and not form.is_eager


def _relative_drift(form: DeploymentRow) -> float | None:
    def read(found: Deployment) -> float | None:
        drift = found.drift
        if drift is None or drift.mean_abs is None or not drift.reference_std:
            return None
        return 100 * drift.mean_abs / drift.reference_std

    return form.drift(read)


def _latency(form: DeploymentRow) -> str:
    entry = form.latency
    if entry is None or entry.p50_ms is None:
        return ""
    if entry.ci95_ms is None:
        return numbers.significant(entry.p50_ms)
    return numbers.margin(entry.p50_ms, max(entry.ci95_ms[1] - entry.p50_ms, entry.p50_ms - entry.ci95_ms[0], 0.0))


def _ratio(form: DeploymentRow, other: DeploymentRow | None) -> str:
    ratio = time_ratio(form, other) if other else None
    return "" if ratio is None else numbers.times(ratio)


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else numbers.significant(value, digits)


def _why(form: DeploymentRow) -> str:
    return numbers.elided("; ".join(form.errors), 300)


SHORT = (("form", 1), ("MB", 3), ("drift", 5), ("labels %", 7), ("mIoU", 8), ("±", 9), ("ms", 10), ("× eager", 11))
"""Columns of the terminal's table: title and place in :func:`figures`."""
