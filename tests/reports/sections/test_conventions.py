"""What the section on conventions says of intervals and of boundaries."""

from __future__ import annotations

from typing import Any

from segbench_reports.sections import conventions
from segbench_reports.view.main_table import main_table


def _text(make_run: Any, make_cell: Any, *fields: dict[str, Any]) -> str:
    cells = []
    for place, changes in enumerate(fields):
        cell = make_cell("small" if place else "big")
        cells.append(cell.model_copy(update={"quality": cell.quality.model_copy(update=changes)}))
    result = make_run(cells)
    return str(conventions.conventions(result, main_table(result)))


ALIKE = (
    "101 images within one group: neighbours are alike up to a lag of 5, so that in blocks of 12 they tell as much as 8 independent images"
)
DRAWN = {"miou_ci95": (0.4, 0.6), "miou_ci95_method": "bootstrap over 40 images"}


def test_what_was_resampled_is_said_once_where_it_is_the_same(make_run: Any, make_cell: Any) -> None:
    text = _text(make_run, make_cell, DRAWN, DRAWN)
    assert "other seeds are not in it. Bootstrap over 40 images.\n" in text + "\n"
    assert text.count("Bootstrap over") == 1


def test_an_interval_that_is_missing_has_its_reason_even_where_no_cell_has_one(make_run: Any, make_cell: Any) -> None:
    reason = {"miou_ci95_reason": f"{ALIKE}, too few for an interval: at least 20"}
    both = _text(make_run, make_cell, reason, reason)
    assert "95 % interval<br>%" in both
    assert f"None: {ALIKE}, too few for an interval: at least 20." in both
    mixed = _text(make_run, make_cell, DRAWN, reason)
    assert "Bootstrap over 40 images (" in mixed
    assert "at least 20 (" in mixed


def test_both_boundary_ious_stand_beside_each_other_with_their_meaning(make_run: Any, make_cell: Any) -> None:
    text = _text(make_run, make_cell, {"boundary_iou": 0.15, "boundary_iou_uncut": 0.1149, "miou_imagewise": 0.5})
    assert "| boundary IoU<br>% | boundary IoU, uncut<br>% |" in text
    assert "15.0" in text
    assert "11.5" in text
    assert "Ignored pixels are cut out of labels and predictions before outlines are drawn." in text
    assert "outlines of predictions are drawn before ignored pixels are cut out" in text
