"""score_masks(): predicted masks that are there already, scored as a run's cells are, with the same records, intervals and verdicts."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path

from segbench.analysis.comparisons import with_comparisons
from segbench.execution.masks.counts import count_masks
from segbench.execution.masks.rows import rows_of_masks
from segbench.execution.masks.scored_split import ScoredSplit, open_scored_split
from segbench.execution.masks.subjects import MaskOptions, open_subjects
from segbench.execution.records import record_of_task
from segbench.measure.environment import describe_environment
from segbench.measure.verification import instrument_identity, read_stamp
from segbench.plugin.class_map import class_map_text
from segbench.plugin.registry import Catalog
from segbench.results.plugin_metrics import refuse_own_metric
from segbench.results.publishing import machine_record, public
from segbench.results.records import CellResult, ConfigRecord, RunResult
from segbench.results.store import RunStore


def score_masks(
    folders: Sequence[str | Path],
    *,
    dataset: str,
    data: str | Path | None = None,
    split: str | None = None,
    catalog: Catalog,
    directory: Path,
    options: MaskOptions | None = None,
    command: str | None = None,
    metrics: Sequence[str] = (),
) -> RunResult:
    """Score folders of masks (``DIR`` or ``NAME=DIR``), one mask per image of a split, and compare them image by image.

    Each folder is a row whose model is the folder's name. ``directory`` gets ``run.json``, confusion matrices and pictures once all is
    scored. ``metrics`` are plugins' metrics by name. ``split`` is by default test where the dataset has one and it is there, else val.
    Raises :class:`ConfigError` or :class:`DataError` for masks that are missing, too many, of another size or of unknown values.
    """
    started = time.perf_counter()
    for name in metrics:
        refuse_own_metric(name)
    chosen = [catalog.metric(name) for name in metrics]
    options = options or MaskOptions()
    scored = open_scored_split(catalog, dataset, data, split)
    subjects = open_subjects(folders, scored, options)
    counts = count_masks(subjects, scored, resize=options.resize is not None, metrics=[one.spec for one in chosen])
    seconds = (time.perf_counter() - started) / len(subjects)
    store = RunStore(directory)
    store.open()
    try:
        rows = rows_of_masks(counts, scored, options, directory=directory, seconds=seconds, metrics=chosen)
        for row in rows:
            store.write_cell(row)
        result = with_comparisons(_result(rows, scored, options, catalog, command), directory)
        store.write_run(result)
    finally:
        store.close()
    return result


def _result(rows: Sequence[CellResult], split: ScoredSplit, options: MaskOptions, catalog: Catalog, command: str | None) -> RunResult:
    environment = describe_environment(catalog_plugins=catalog.plugins)
    environment.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    class_map = {"class_map": class_map_text(options.class_map)} if options.class_map else {}
    config = ConfigRecord(
        models=[row.model for row in rows], dataset=str(split.dataset), overrides={"eval": {"split": split.name, **class_map}}
    )
    return public(
        RunResult(
            command=command,
            config=config,
            environment=environment,
            task=record_of_task(split.dataset, split.task),
            cells=list(rows),
            instruments=read_stamp(instrument_identity(machine_record(environment, "cpu"), environment.segbench)),
        )
    )
