"""Records of a run's configuration and task for ``run.json``, and the published claims judged on it."""

from __future__ import annotations

from pathlib import Path

from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons.confusions import ConfusionFiles
from segbench.execution.plan.plan import Plan
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import DatasetSpec, Task
from segbench.results.readings import only_masks
from segbench.results.records import ConfigRecord, RunResult, TaskRecord, Verdict


def config_record(plan: Plan, device: str) -> ConfigRecord:
    """The configuration as it stands in ``run.json``: what was run, without folders of the author's machine."""
    config = plan.config.model_dump(mode="json", exclude={"out", "datasets", "folds"})
    for key in ("path", "cache_dir"):
        config.get("overrides", {}).get("data", {}).pop(key, None)
    for key in ("weights", "partial_weights"):
        if not config[key]:
            del config[key]
    if "weights" in config:
        config["weights"] = {model: Path(file).name for model, file in config["weights"].items()}
    return ConfigRecord.model_validate({**config, "dataset": str(plan.dataset), "device": device})


def task_record(plan: Plan) -> TaskRecord:
    """The task of a plan as it stands in ``run.json``."""
    return record_of_task(plan.dataset, plan.task)


def record_of_task(dataset: Chosen[DatasetSpec], task: Task) -> TaskRecord:
    """A dataset's task as it stands in ``run.json``: what reports and claims need to know of it."""
    return TaskRecord(
        dataset=str(dataset),
        summary=dataset.spec.summary,
        num_classes=task.num_classes,
        class_names=list(task.class_names),
        inputs=dict(task.inputs),
        ignore_index=task.ignore_index,
        palette=[list(colour) for colour in task.palette],
        headline=task.headline,
        splits=list(dataset.spec.split_names(dataset.options)),
    )


def judge_claims(result: RunResult, catalog: Catalog, directory: Path | None = None) -> list[Verdict]:
    """Judge the catalog's published claims on a run; confusion matrices in ``directory`` give the intervals of its scores.

    Claims are about networks: none is judged on folders of masks alone.
    """
    if result.cells and only_masks(result.cells):
        return []
    models = [spec for spec, _ in catalog.specs("models")]
    defaults = {spec.name: spec.options().values() for spec in models}
    reconstructions = {spec.name: spec.reconstruction for spec in models}
    matrices = ConfusionFiles(directory).images if directory else lambda cell: None
    return judge(catalog.claims(), result, default_options=defaults, reconstructions=reconstructions, matrices=matrices)
