"""The overview's words on datasets, folds and quick tries."""

from __future__ import annotations

import pytest

from segbench import CellResult, Comparison, Quality, ReportTarget, RunResult
from segbench_reports.formats.markdown import render as report
from segbench_reports.sections import several_runs
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary


def run(dataset: str, *scores: float, verdict: str = "better", **own: object) -> RunResult:
    names = "ab"[: len(scores)]
    cells = [
        CellResult(id=n, model=n, dataset=dataset, loss="ce", status="ok", params=k, quality=Quality(split="val", miou=s), **own)
        for k, (n, s) in enumerate(zip(names, scores, strict=True), 1)
    ]
    record = Comparison(quantity="miou", subject="b", baseline="a", subject_cells=["b"], baseline_cells=["a"], verdict=verdict)
    return RunResult(cells=cells, task={"dataset": dataset}, comparisons=[] if own.get("limit") else [record])


def test_few_datasets_are_a_description_and_no_test() -> None:
    text = several_runs.datasets([run("one", 0.5, 0.6), run("two", 0.5, 0.55, verdict="no difference shown")])
    assert "| model | one<br>mIoU % (place) | two<br>mIoU % (place) | mean rank | wins | ties | losses |" in text
    assert "| a | 50.0 (2) | 50.0 (1.5) | 1.75 | 0 | 1 | 1 |" in text
    assert "| b | 60.0 (1) | 55.0 (1.5) | 1.25 | 1 | 1 | 0 |" in text
    assert "2 datasets: too few for any test across datasets" in text
    assert "A rank says nothing about the size of a difference." in text
    assert several_runs.datasets([run("one", 0.5, 0.6)]) == ""


def test_six_datasets_are_tested_and_still_few() -> None:
    text = several_runs.datasets([run(f"d{i}", 0.5, 0.51 + i / 100) for i in range(6)])
    assert "6 datasets are a small sample" in text
    assert "shows a difference in 1 of 1 pair at 5 %" in text
    assert "| b against a | +3.5 | 0.031 | 0.031 |" in text


def test_folds_have_a_mean_an_interval_and_the_way_it_was_made() -> None:
    runs = [run("one", 0.50 + i / 100, 0.60 + i / 50, fold=f"{i}/3") for i in (1, 2, 3)]
    text = several_runs.folds(runs)
    assert "| model | mean mIoU % | 95 % interval | fold 1 | fold 2 | fold 3 |" in text
    assert "| a | 52.0 | 49.7 to 54.3 | 51.0 | 52.0 | 53.0 |" not in text, "that is the interval without the correction"
    assert "| a | 52.0 | 49.7 to 54.3 |" not in text
    assert "| a | 52.0 | 48.1 to 55.9 | 51.0 | 52.0 | 53.0 |" in text  # 4.3027 * sqrt(0.0001 * (1/3 + 1/2)) = 3.93 points
    assert "Nadeau and Bengio 2003" in text
    assert "measured with the first one alone" in text
    assert several_runs.folds([run("one", 0.5)]) == ""


def test_only_the_first_fold_has_its_tables_in_the_overview() -> None:
    runs = {f"one/{i}": run("one", 0.5, 0.6, fold=f"{i}/3") for i in (1, 2, 3)} | {"two": run("two", 0.5)}
    assert [name for name, _ in several_runs.by_folder(runs)] == ["one/1", "two"]


def test_a_model_that_learned_nothing_is_named_with_its_runs() -> None:
    runs = {name: run("one", 0.5, 0.6) for name in ("fold-1", "fold-2", "fold-3")}
    for name in ("fold-1", "fold-3"):
        quality = Quality(
            split="val", miou=0.5, class_names=["sky", "sea"], label_pixels_per_class=[5, 5], predicted_pixels_per_class=[10, 0]
        )
        runs[name].cells[1] = runs[name].cells[1].model_copy(update={"quality": quality})
    assert several_runs.collapsed(runs) == "- b predicts only sky: nothing learned, in fold-1 and fold-3."
    assert several_runs.collapsed({"fold-2": runs["fold-2"]}) == ""


@pytest.mark.parametrize("limit", [None, 7])
def test_a_quick_try_is_shown_without_rank(limit: int | None, tmp_path: object) -> None:
    result = run("one", 0.5, 0.9, limit=limit)
    table = main_table(result)
    assert len(table.rows) == 2
    assert table.has_mark("best") is (limit is None)
    assert (table.reference is None) is (limit is not None)
    words = " ".join(summary(result, table))
    assert ("Every row is a quick try on at most 7 images of each split: not ranked" in words) is (limit is not None)
    assert ("better" in words or "higher" in words or "Compared with" in words) is (limit is None)


def test_the_report_of_a_quick_try_opens_with_it(tmp_path: object) -> None:
    from pathlib import Path

    text = report(run("one", 0.5, 0.9, limit=7), ReportTarget(Path(str(tmp_path))))
    assert text.split("\n\n")[1].startswith("Every row is a quick try on at most 7 images")
    assert "**0.9" not in text
