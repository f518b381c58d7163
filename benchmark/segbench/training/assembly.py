"""A model that is put together of trained ones and not trained itself: its checkpoint holds all of them, and needs no other file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from segbench.results import Training
from segbench.training.checkpoints import Checkpoint, write_checkpoint
from segbench.training.origins import derive_network
from segbench.training.session import Job, describe_job


def assemble(job: Job, *, names: str, device: str) -> Training:
    """Write ``best.pt`` in the job's directory. Raises :class:`CheckpointError` where the members cannot go together."""
    started = time.perf_counter()
    network = derive_network(job.model, job.model_task, job.parts, plan=job.plan)
    meta: Mapping[str, Any] = describe_job(job)
    write_checkpoint(job.directory / "best.pt", Checkpoint(network.model.state_dict(), meta, job.identity, {}))
    return Training(
        epochs_run=0,
        select_on=job.settings.train.select_on,
        device=device,
        notes=[f"put together in {time.perf_counter() - started:.1f} s of {names}, without training of its own"],
    )
