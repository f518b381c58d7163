"""What a run would do, from what is there already; without torch, so that looking costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from segbench.config import RunConfig
from segbench.data.digest import data_digest
from segbench.planning.cells import Cell
from segbench.planning.plan import make_plan, output_directory
from segbench.registry import Catalog
from segbench.run.normalisation import with_kept_normalisation
from segbench.run.stages import Todo, decide
from segbench.store import RunStore


def preview(config: RunConfig, *, catalog: Catalog) -> Sequence[tuple[Cell, Todo | None]]:
    """Each cell that a run would go through, and what it would do there; None where nothing has been run yet. Writes nothing."""
    plan = make_plan(config, catalog, complete=True)
    store = RunStore(output_directory(config, plan.dataset))
    if not (store.directory / "cells").is_dir():
        return [(cell, None) for cell in plan.cells]
    plan = with_kept_normalisation(make_plan(config, catalog, digest_of=data_digest, complete=True), catalog, store)
    rows, _ = store.read_cells()
    return [(cell, decide(cell, rows[cell.id], store.directory) if cell.id in rows else None) for cell in plan.cells]
