"""Deploy every trained cell through each of its backends: file, drift and quality; costs come from the race."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from segbench.execution.events import Emit, Event, Note, StageResult, emitting
from segbench.execution.jobs import CheckJob, DeployJob, ExportedNetwork, cell_job
from segbench.execution.plan.cell import Cell, refused_form
from segbench.execution.session import RunSession
from segbench.execution.workers import Outcome, describe_error
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec
from segbench.results.deployments import EAGER, REFUSED, deployment_of, with_deployed
from segbench.results.records import CellResult, Deployment, Drift, ErrorInfo, Quality
from segbench.util.devices import usable_cores
from segbench.util.image_size import Size


def deploy_cells(session: RunSession) -> None:
    """Export, load, compare and score each cell in the backends for which its row has no result under these settings."""
    for cell in session.plan.cells:
        if session.rows[cell.id].status != "ok":
            continue
        for backend in cell.backends:
            row = session.rows[cell.id]
            if str(backend) == EAGER or is_deployed(row, cell, backend):
                continue
            session.listener.on(Note(cell.describe(), f"{cell.id}: deploying as {backend}"))
            deployment = _Deployer(session, cell, backend).deploy()
            session.put(row.model_copy(update={"deployments": with_deployed(row.deployments, deployment)}))
        if len(cell.backends) > 1:
            session.put(_with_eager_quality(session.rows[cell.id]))


def is_deployed(row: CellResult, cell: Cell, backend: Chosen[BackendSpec]) -> bool:
    """True where the row has the result of this backend, or a reason that a second try would give again."""
    deployment = deployment_of(row, str(backend))
    if deployment is None or deployment.fingerprint != cell.deploy_fingerprints[str(backend)]:
        return False
    return deployment.error_kind in (None, REFUSED)


class _Deployer:
    """One cell through one backend."""

    def __init__(self, session: RunSession, cell: Cell, backend: Chosen[BackendSpec]) -> None:
        self.session, self.cell, self.backend = session, cell, backend
        self.name = slug(str(backend))
        self.folder = session.store.directory / "deployments" / cell.id / self.name
        self.fields: dict[str, Any] = {}

    def deploy(self) -> Deployment:
        """The deployment with its file, drift and quality, or the reason why there are none."""
        blank = Deployment(
            backend=str(self.backend),
            precision=self.backend.spec.precision_of(self.backend.options),
            version=self.backend.spec.installed_version(),
            fingerprint=self.cell.deploy_fingerprints[str(self.backend)],
        )
        device = self.session.device.partition(":")[0]
        if device not in self.backend.spec.devices:
            devices = " and ".join(self.backend.spec.devices)
            return blank.model_copy(update={"error": f"{self.backend} runs on {devices}, this run is on {device}.", "error_kind": REFUSED})
        if reason := refused_form(self.cell.model, self.backend):
            return blank.model_copy(update={"error": f"{reason}.", "error_kind": REFUSED})
        error = self._measure()
        update = dict(self.fields)
        if error is not None:
            update |= {
                "error": " ".join(part for part in (f"{error.stage}: {error.message}", error.advice) if part),
                "error_kind": error.kind,
            }
        return blank.model_copy(update=update)

    def _measure(self) -> ErrorInfo | None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="segbench-deploy-") as references:
            job = self._job(Path(references))
            if self.backend.spec.build is not None:
                built = self._run("build", job)
                self._note_size(built.value)
                return built.error
            outcome = self._run("export", job)
            if outcome.error is not None:
                return outcome.error
            exported: ExportedNetwork = outcome.value
            self._note_export(exported)
            check = CheckJob(export=job, path=exported.path, canvas=exported.canvas, plan=exported.plan, trained_on=exported.trained_on)
            return self._run("check", check).error

    def _note_export(self, exported: ExportedNetwork) -> None:
        store = self.session.store
        self.fields |= {
            "file_mb": exported.file_mb,
            "export_seconds": exported.export_seconds,
            "artifact": store.relative(exported.path),
        }
        self._note_size(exported.canvas)
        store.write_text(f"deployments/{self.cell.id}/{self.name}.json", json.dumps(exported.metadata, indent=1))

    def _note_size(self, canvas: Size | None) -> None:
        if canvas is not None and not self.backend.spec.takes_any_size(self.backend.options):
            self.fields["fixed_size"] = tuple(canvas)

    def _job(self, references: Path) -> DeployJob:
        session, settings = self.session, self.cell.settings
        job = cell_job(
            self.cell,
            root=session.plan.root,
            digest=session.plan.digest,
            settings=settings,
            device=session.device,
            directory=session.store.directory,
            stages=(),
            checkpoint=session.checkpoints.get(self.cell.id),
        )
        return DeployJob(
            cell=job,
            threads=settings.measure.threads or usable_cores(),
            backend=str(self.backend),
            references=references,
            folder=self.folder,
            score=settings.deploy.quality,
        )

    def _run(self, target: str, job: DeployJob | CheckJob) -> Outcome:
        emit = emitting(self._on_event, self.cell.describe())
        if self.session.plan.cells[0].settings.execute.where == "inline":
            return _inline(target, job, emit, self.session.catalog)
        execute = self.cell.settings.execute
        log = self.session.store.directory / "logs" / f"{self.cell.id}--{self.name}.log"
        return self.session.workers.run(
            f"segbench.execution.deploy.job:{target}", job, emit=emit, log=log, timeout=execute.timeout, silence=execute.silence
        )

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, StageResult):
            self.session.listener.on(event)
        elif event.drift is not None:
            self.fields["drift"] = Drift.model_validate(event.drift)
        elif event.quality is not None:
            self.fields |= {"quality": Quality.model_validate(event.quality), **(event.artifacts or {})}


def _inline(target: str, job: DeployJob | CheckJob, emit: Emit, catalog: Catalog) -> Outcome:
    from segbench.execution.deploy import job as deploy
    from segbench.networks.foreign import unchanged_process

    try:
        with unchanged_process(target):
            return Outcome(value=getattr(deploy, target)(job, emit, catalog))
    except (Exception, SystemExit) as error:  # foreign code: only this row may fail
        return Outcome(error=describe_error(error))


def _with_eager_quality(row: CellResult) -> CellResult:
    eager = deployment_of(row, EAGER) or Deployment(backend=EAGER)
    others = [deployment for deployment in row.deployments if deployment.backend != EAGER]
    return row.model_copy(update={"deployments": [eager.model_copy(update={"quality": row.quality}), *others]})
