"""The sections on the machine and on repeating a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.html import page
from segbench_reports.sections.environment import environment, reproduce

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

LOAD = "other load when the run started: 1.8 runnable tasks on 2 cores"
MAY_SUFFER = "; times may suffer from it, and what disturbed them was not watched"


@pytest.mark.parametrize(
    ("timed", "race", "said"),
    [
        (True, None, LOAD + MAY_SUFFER),
        (True, {"disturbances": None}, LOAD + MAY_SUFFER),
        (True, {"disturbances": []}, LOAD),
        (True, {"disturbances": ["other programs used 0.4 cores"]}, LOAD),
        (False, None, LOAD),
    ],
)
@pytest.mark.parametrize("note", [LOAD, f"{LOAD}; latencies suffer from it"])
def test_what_a_load_means_is_said_only_of_times_that_no_race_watched(
    make_cell: CellMaker,
    make_run: RunMaker,
    note: str,
    race: dict[str, Any] | None,
    said: str,
    *,
    timed: bool,
) -> None:
    cell = make_cell() if timed else make_cell(deployments=[])
    run = make_run([cell], environment={"notes": [note, "the clock is not fixed"]}, race=race)
    lines = [line for line in environment(run).splitlines() if line.startswith("- ")]
    assert lines == [f"- {said}", "- the clock is not fixed"]


def test_one_command_stands_by_itself(make_run: RunMaker) -> None:
    assert reproduce(make_run([], command="segbench run --out OUT")) == "```sh\nsegbench run --out OUT\n```"


def test_several_commands_are_numbered_with_the_words_that_they_share_a_folder(
    make_cell: CellMaker, make_run: RunMaker, target: ReportTarget
) -> None:
    run = make_run([make_cell()], command="segbench run --seeds 0 --out OUT\nsegbench run --seeds 0,1 --out OUT")
    words = "2 commands made this run. Run them in turn, into the same folder:"
    commands = "# 1\nsegbench run --seeds 0 --out OUT\n# 2\nsegbench run --seeds 0,1 --out OUT"
    assert reproduce(run) == f"{words}\n\n```sh\n{commands}\n```"
    rendered = page.render(run, target)
    assert f"<p>{words}</p>" in rendered
    assert commands in rendered
