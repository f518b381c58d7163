"""The batch that a cell was halved to when memory ran out: kept beside its checkpoint, so that an interruption does not undo it."""

from __future__ import annotations

import json
import shutil

from segbench.planning.cells import Cell
from segbench.settings import Settings
from segbench.store import RunStore
from segbench.training.failures import halved


def settings_of(cell: Cell, store: RunStore, *, train: bool) -> Settings:
    """The settings to go on under: the cell's own, with the halved batch where it was halved before and may be.

    Where it may not any more and is to ``train`` on, what was trained at another batch is thrown away.
    """
    kept = store.read_json(_file(cell))
    try:
        batch = {key: int(kept[key]) for key in ("batch_size", "accumulate")}
    except (KeyError, TypeError, ValueError):
        return cell.settings
    if cell.settings.train.oom == "halve":
        return cell.settings.model_copy(update={"train": cell.settings.train.model_copy(update=batch)})
    if train:
        _start_over(cell, store)
    return cell.settings


def smaller_batch(settings: Settings, cell: Cell, store: RunStore) -> Settings | None:
    """Half the batch and start over with it; None where that was not asked for or is not possible."""
    smaller = halved(settings) if settings.train.oom == "halve" else None
    if smaller is not None:
        _start_over(cell, store)
        store.write_text(_file(cell), json.dumps({"batch_size": smaller.train.batch_size, "accumulate": smaller.train.accumulate}))
    return smaller


def departure(settings: Settings, cell: Cell) -> str:
    """How these settings depart from the cell's, in words; empty where they do not."""
    if settings.train.batch_size == cell.settings.train.batch_size:
        return ""
    return f"out of memory, batch {settings.train.batch_size} x {settings.train.accumulate} accumulated steps"


def _file(cell: Cell) -> str:
    return f"checkpoints/{cell.id}/batch.json"


def _start_over(cell: Cell, store: RunStore) -> None:
    shutil.rmtree(store.directory / "checkpoints" / cell.id, ignore_errors=True)
