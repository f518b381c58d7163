from __future__ import annotations

import pytest

from segbench import CellResult, RunResult
from segbench.analysis.short_names import labelled, short_names
from segbench.results.records import Ablation, AblationStep, Comparison, RaceContender, RaceRecord


def cells(*models: str, labels: dict[str, str] | None = None) -> list[CellResult]:
    return [CellResult(id=model, model=model, short_name=(labels or {}).get(model)) for model in models]


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (("smp[arch=Unet,encoder=r18]", "smp[arch=FPN,encoder=r18]"), ["smp[arch=Unet]", "smp[arch=FPN]"]),
        (("smp[arch=Unet,encoder=r18]", "smp[encoder=r18]"), ["smp[arch=Unet]", "smp"]),
        (("smp[arch=Unet,encoder=r18]", "other[encoder=r18]"), ["smp[arch=Unet,encoder=r18]", "other[encoder=r18]"]),
        (("net[rates=(1,6),w=2]", "net[rates=(1,8),w=2]"), ["net[rates=(1,6)]", "net[rates=(1,8)]"]),
        (("net", "net[w=2]"), ["net", "net[w=2]"]),
    ],
)
def test_what_choices_have_in_common_is_left_out(models: tuple[str, ...], names: list[str]) -> None:
    assert list(short_names(cells(*models)).values()) == names


def test_a_label_that_another_model_has_as_its_name_leaves_the_others_whole() -> None:
    shown = short_names(cells("net[a=1,b=2]", "net[a=3,b=2]", labels={"net[a=1,b=2]": "net[a=3]"}))
    assert list(shown.values()) == ["net[a=3]", "net[a=3,b=2]"]


def test_short_names_stand_wherever_a_report_reads_a_model() -> None:
    small, large = "net[w=2,x=1]", "net[w=8,x=1]"
    run = RunResult(
        cells=cells(small, large, labels={small: "lite"}),
        comparisons=[Comparison(subject=f"{small} (focal)", baseline=large, quantity="miou")],
        race=RaceRecord(contenders={"k": RaceContender(model=large, backend="eager")}),
        ablation=Ablation(start=small, end=large, steps=[AblationStep(option="w", before="2", after="8", subject=large, baseline=small)]),
    )
    shown = labelled(run)
    assert [(cell.model, cell.identity) for cell in shown.cells] == [("lite", small), ("net[w=8]", large)]
    assert (shown.comparisons[0].subject, shown.comparisons[0].baseline) == ("lite (focal)", "net[w=8]")
    assert shown.race is not None
    assert shown.race.contenders["k"].model == "net[w=8]"
    assert shown.ablation is not None
    assert (shown.ablation.start, shown.ablation.end, shown.ablation.steps[0].subject) == ("lite", "net[w=8]", "net[w=8]")
    assert [cell.model for cell in run.cells] == [small, large]


@pytest.mark.parametrize(
    ("dataset", "shown"),
    [("folder[classes=(a,b),name=pets]", "pets"), ("folder[classes=(a,b)]", "folder[classes=(a,b)]"), (None, None), ("camvid", "camvid")],
)
def test_a_dataset_is_called_by_its_option_name(dataset: str | None, shown: str | None) -> None:
    (cell,) = labelled(RunResult(cells=[CellResult(id="a", model="net", dataset=dataset)])).cells
    assert (cell.dataset, cell.dataset_identity) == (shown, dataset)
