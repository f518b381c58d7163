"""Every trained cell in each of its backends: file, drift and quality, measured once per settings; costs come from the race."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segbench.execution.jobs import cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.session import RunSession
from segbench.execution.workers import Outcome, describe_error
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec
from segbench.results.deployments import EAGER, REFUSED, deployment_of, with_deployed
from segbench.results.records import CellResult, Deployment, Drift, ErrorInfo, Quality
from segbench.util.devices import usable_cores


def deploy_cells(session: RunSession) -> None:
    """Export, load, compare and score each cell in the backends for which its row has no result under these settings."""
    for cell in session.plan.cells:
        if session.rows[cell.id].status != "ok":
            continue
        for backend in cell.backends:
            row = session.rows[cell.id]
            if str(backend) == EAGER or is_deployed(row, cell, backend):
                continue
            session.listener.on("note", cell.describe(), {"message": f"{cell.id}: deploying as {backend}"})
            form = _Deployer(session, cell, backend).deploy()
            session.put(row.model_copy(update={"deployments": with_deployed(row.deployments, form)}))
        if len(cell.backends) > 1:
            session.put(_with_eager_quality(session.rows[cell.id]))


def is_deployed(row: CellResult, cell: Cell, backend: Chosen[BackendSpec]) -> bool:
    """Whether the row has this form's result, or a reason that a second try would give again."""
    found = deployment_of(row, str(backend))
    if found is None or found.fingerprint != cell.deploy_fingerprints[str(backend)]:
        return False
    return found.error_kind in (None, REFUSED)


class _Deployer:
    """One cell through one backend."""

    def __init__(self, session: RunSession, cell: Cell, backend: Chosen[BackendSpec]) -> None:
        self.session, self.cell, self.backend = session, cell, backend
        self.name = slug(str(backend))
        self.folder = session.store.directory / "deployments" / cell.id / self.name
        self.found: dict[str, Any] = {}

    def deploy(self) -> Deployment:
        """Its file, drift and quality, or the reason why there are none."""
        blank = Deployment(
            backend=str(self.backend),
            precision=self.backend.spec.precision_of(self.backend.options),
            version=self.backend.spec.installed_version(),
            fingerprint=self.cell.deploy_fingerprints[str(self.backend)],
        )
        device = self.session.device.partition(":")[0]
        if device not in self.backend.spec.devices:
            where = " and ".join(self.backend.spec.devices)
            return blank.model_copy(update={"error": f"{self.backend} runs on {where}, this run is on {device}.", "error_kind": REFUSED})
        error = self._measure()
        update = dict(self.found)
        if error is not None:
            update |= {
                "error": " ".join(part for part in (f"{error.stage}: {error.message}", error.advice) if part),
                "error_kind": error.kind,
            }
        return blank.model_copy(update=update)

    def _measure(self) -> ErrorInfo | None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="segbench-deploy-") as references:
            job = {**self._job(), "references": references}
            if self.backend.spec.build is not None:
                built = self._run("build", job)
                self._note_size(built)
                return built.error
            exported = self._run("export", {**job, "folder": str(self.folder)})
            if exported.error is not None:
                return exported.error
            self.found |= {name: exported.value[name] for name in ("file_mb", "export_seconds")}
            self.found["artifact"] = self.session.store.relative(Path(exported.value["path"]))
            self._note_size(exported)
            self.session.store.write_text(f"deployments/{self.cell.id}/{self.name}.json", json.dumps(exported.value["metadata"], indent=1))
            kept = {name: exported.value[name] for name in ("path", "canvas", "plan", "trained_on")}
            return self._run("check", {**job, **kept}).error

    def _note_size(self, outcome: Outcome) -> None:
        if outcome.value is not None and not self.backend.spec.takes_any_size(self.backend.options):
            self.found["fixed_size"] = tuple(outcome.value["canvas"])

    def _job(self) -> dict[str, Any]:
        settings = self.cell.settings
        job = cell_job(
            self.cell,
            root=self.session.plan.root,
            digest=self.session.plan.digest,
            settings=settings,
            device=self.session.device,
            directory=self.session.store.directory,
            stages=(),
            checkpoint=self.session.checkpoints.get(self.cell.id),
        )
        return {
            **job,
            "backend": str(self.backend),
            "score": settings.deploy.quality,
            "threads": settings.measure.threads or usable_cores(),
        }

    def _run(self, target: str, job: Mapping[str, Any]) -> Outcome:
        if self.session.plan.cells[0].settings.execute.where == "inline":
            return _inline(target, job, self._on_event, self.session.catalog)
        execute = self.cell.settings.execute
        log = self.session.store.directory / "logs" / f"{self.cell.id}--{self.name}.log"
        return self.session.workers.run(
            f"segbench.execution.deploy.job:{target}", job, emit=self._on_event, log=log, timeout=execute.timeout, silence=execute.silence
        )

    def _on_event(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "result" and "drift" in payload:
            self.found["drift"] = Drift.model_validate(payload["drift"])
        elif kind == "result" and "quality" in payload:
            self.found["quality"] = Quality.model_validate(payload["quality"])
        else:
            self.session.listener.on(kind, self.cell.describe(), payload)


def _inline(target: str, job: Mapping[str, Any], emit: Callable[..., None], catalog: Catalog) -> Outcome:
    from segbench.execution.deploy import job as deploy

    try:
        return Outcome(value=getattr(deploy, target)(job, emit, catalog))
    except (Exception, SystemExit) as error:  # foreign code: it costs this row only
        return Outcome(error=describe_error(error))


def _with_eager_quality(row: CellResult) -> CellResult:
    eager = deployment_of(row, EAGER) or Deployment(backend=EAGER)
    others = [found for found in row.deployments if found.backend != EAGER]
    return row.model_copy(update={"deployments": [eager.model_copy(update={"quality": row.quality}), *others]})
