"""Deployed forms in mIoU: each form of a model against the same trained networks in eager mode, on the same images.

The networks are given and only their arithmetic differs, so that the images are what is drawn (a paired bootstrap), and the verdict is
about these checkpoints. All forms of a run are one family: with many forms one would seem to keep or lose quality by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.analysis.comparisons.confusions import ConfusionFiles, Images, same_images
from segbench.analysis.comparisons.degenerate import degenerate
from segbench.analysis.comparisons.judging import Candidate, judged
from segbench.analysis.comparisons.matching import CellsBySeed, ComparisonGroup, comparison_groups, score_of
from segbench.analysis.statistics.bootstrap import RESAMPLES, mean_of, resample
from segbench.analysis.statistics.scores import statistic_of
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.metrics import metric
from segbench.results.records import CellResult, Comparison, Deployment, RunResult

QUANTITY = "miou"


def compare_forms(result: RunResult, directory: Path, *, resamples: int = RESAMPLES) -> list[Comparison]:
    """mIoU of every deployed form minus that of the same networks in eager mode; ``directory`` is the run's.

    Subject and baseline are the same model, ``baseline_backend`` is eager. Where nothing can be said the reason is given.
    """
    files = ConfusionFiles(directory)
    return judged([candidate for group in comparison_groups(result) for candidate in _of_group(group, files, resamples)])


def _of_group(group: ComparisonGroup, files: ConfusionFiles, resamples: int) -> Iterator[Candidate]:
    for model, cells in group.sides.items():
        forms = _Forms(model, cells, group.context, files, resamples)
        backends = dict.fromkeys(form.backend for cell in cells.values() for form in cell.deployments if form.backend != EAGER)
        yield from (forms.compare(backend) for backend in backends if forms.is_scored(backend))


@dataclass
class _Forms:
    """The deployed forms of one model under one loss, recipe and settings."""

    model: str
    cells: CellsBySeed
    context: Mapping[str, object]
    files: ConfusionFiles
    resamples: int

    def is_scored(self, backend: str) -> bool:
        """True where a network and this form of it have been scored."""
        return bool(self._cells(backend))

    def compare(self, backend: str) -> Candidate:
        """The comparison before its family is known, with the reason where nothing can be said."""
        cells = self._cells(backend)
        record = Comparison(
            quantity=QUANTITY,
            axis="form",
            subject=self.model,
            baseline=self.model,
            subject_cells=[cell.id for cell in cells],
            baseline_cells=[cell.id for cell in cells],
            subject_backend=backend,
            baseline_backend=EAGER,
            headline=False,
            unit=metric(QUANTITY).stored_unit,
            scope="this checkpoint" if len(cells) == 1 else f"these {len(cells)} checkpoints",
            context={**self.context, "split": cells[0].quality and cells[0].quality.split, "seeds": [cell.seed for cell in cells]},
        )
        why = self._incomparable(cells, backend)
        return Candidate(record.model_copy(update={"reason": why})) if why else self._over_images(record, cells, backend)

    def _cells(self, backend: str) -> list[CellResult]:
        cells = (cell for cell in self.cells.values() if score_of(cell, QUANTITY) is not None)
        return [cell for cell in cells if _form(cell, backend).quality is not None]

    def _incomparable(self, cells: Sequence[CellResult], backend: str) -> str:
        """The reason why forms and networks were not scored on the same images; empty where they were."""
        if nothing := degenerate(metric(QUANTITY), cells, cells):
            return nothing
        if any(self.files.images_of_form(_form(cell, backend)) is None for cell in cells):
            return "the confusion matrices of this form's images were not kept: deploy it again"
        return same_images({**{cell.id: self.files.images(cell) for cell in cells}, **self._images(cells, backend)})

    def _images(self, cells: Sequence[CellResult], backend: str) -> dict[str, Images | None]:
        return {_key(cell, backend): self.files.images_of_form(_form(cell, backend)) for cell in cells}

    def _over_images(self, record: Comparison, cells: Sequence[CellResult], backend: str) -> Candidate:
        first = self.files.images(cells[0])
        assert first is not None
        tables = {cell.id: self.files.images(cell) for cell in cells} | self._images(cells, backend)
        columns, statistic = statistic_of(QUANTITY, cells[0])
        ordered = [columns(images.in_order_of(first.ids).matrices) for images in tables.values() if images is not None]
        drawn = resample(ordered, statistic, groups=first.groups, ids=first.ids, resamples=self.resamples)
        differences = [form - eager for eager, form in zip(drawn[: len(cells)], drawn[len(cells) :], strict=True)]
        interval = mean_of(differences).difference_interval()
        assert interval.sampling is not None
        method = interval.sampling.paired_method(self.resamples, len(cells))
        words = {"method": method, "reason": interval.why, "scope": record.scope + interval.sampling.scope}
        return Candidate(record.model_copy(update=words), interval.estimate)


def _form(cell: CellResult, backend: str) -> Deployment:
    return deployment_of(cell, backend) or Deployment(backend=backend)


def _key(cell: CellResult, backend: str) -> str:
    return f"{cell.id} as {backend}"
