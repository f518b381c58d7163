"""Values that the page computes: second places, the Pareto front, scores of single images, pictures cut out of panels."""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.reports.made_comparisons import with_comparisons

from segbench import CellResult, RunResult
from segbench_reports.html import confusion as matrices
from segbench_reports.html import detail_charts as details
from segbench_reports.html import embed, gallery, main_table
from segbench_reports.html import pareto as front
from segbench_reports.html.sections import section_html
from segbench_reports.view.main_table import main_table as make_table

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def test_data_comes_back_from_its_script_block_as_it_was(hostile_names: list[str]) -> None:
    text = embed.script_json({"names": hostile_names, "value": float("inf")})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"names": hostile_names, "value": None}


def test_best_and_second_best_are_marked_and_rows_that_are_not_told_apart_share_a_place(make_cell: CellMaker, make_run: RunMaker) -> None:
    scores = [0.5, 0.7, 0.6, 0.60004, 0.4]
    table = make_table(with_comparisons(make_run([make_cell(f"m{n}", miou=score) for n, score in enumerate(scores)])))
    marks = [line.cells[0].mark for line in main_table.lines(table)]
    assert marks == ["", "best", "second", "second", ""]


def test_a_measured_comparison_is_found_by_its_rows(rich: RunResult) -> None:
    data = main_table.table_data(rich, make_table(rich))
    assert data["comparisons"] == [
        ["miou", 0, 2, "+2.0", "+2.0 (95 % interval +0.5 to +3.5): better, these two checkpoints"],
        ["miou", 2, 0, "−2.0", "−2.0 (95 % interval −3.5 to −0.5): worse, these two checkpoints"],
    ]
    assert data["reference"] == 0


def test_winners_are_named_only_where_rows_can_be_told_apart(make_cell: CellMaker, make_run: RunMaker) -> None:
    same = make_run([make_cell("a"), make_cell("b")])
    assert main_table.winners(make_table(same)) == []
    apart = make_run([make_cell("a"), make_cell("b", miou=0.6)])
    assert main_table.winners(make_table(apart)) == []
    other = main_table.winners(make_table(with_comparisons(apart)))
    assert other == [("Highest mIoU", "b", "60.0 %, 2 of 3 classes")]


def test_the_front_holds_exactly_the_points_that_none_beats() -> None:
    numbers = random.Random(0)
    points = [(numbers.randint(0, 9), numbers.randint(0, 9)) for _ in range(60)]

    def beaten(cost: int, score: int) -> bool:
        cheaper = any(c < cost and s >= score for c, s in points)
        return cheaper or any(c <= cost and s > score for c, s in points)

    assert front.undominated(points) == [place for place, point in enumerate(points) if not beaten(*point)]


def test_each_pair_of_axes_has_a_front_and_points_carry_their_intervals(rich: RunResult) -> None:
    drawn = front.front(rich, make_table(rich))
    assert drawn is not None
    assert set(drawn.extra["front"]) == {f"miou/{cost}" for cost in ("latency_ms", "macs", "params", "inference_peak_mb")}
    assert drawn.extra["front"]["miou/params"] == [1, 2]
    assert drawn.extra["points"][0]["y"]["miou"] == pytest.approx([50, 48, 52])
    assert drawn.extra["points"][0]["x"]["latency_ms"] == pytest.approx([20, 19.6, 20.4])


def test_the_score_of_an_image_is_the_mean_over_the_classes_that_it_has(rich: RunResult, tmp_path: Path) -> None:
    # 90 of 100 pixels of two classes right: IoU 90 / 110 for both, the third class is not in the image
    scores = matrices.image_scores(rich.cells[0], tmp_path)
    assert scores == pytest.approx({"scene 0": 90 / 110, "scene 1": 60 / 140, "scene 2": 30 / 170})


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_damaged_matrices_count_as_missing(content: bytes, rich: RunResult, tmp_path: Path) -> None:
    (tmp_path / "confusions" / "80.npz").write_bytes(content)
    assert matrices.image_scores(rich.cells[0], tmp_path) == {}
    drawn = matrices.confusion(rich, tmp_path)
    assert drawn is not None
    assert [matrix["name"] for matrix in drawn.extra["matrices"]] == ["big (focal)", "small (ce)"]


def test_confusions_are_summed_over_the_images(rich: RunResult, tmp_path: Path) -> None:
    drawn = matrices.confusion(rich, tmp_path)
    assert drawn is not None
    assert drawn.extra["matrices"][0]["pixels"] == [[180, 120, 0], [120, 180, 0], [0, 0, 0]]


@pytest.mark.parametrize("path", ["../secret.npz", "/etc/passwd", "a/../../b", "x" * 10_000, "a\0b"])
def test_no_file_outside_the_run_is_read(path: str, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.npz").write_bytes(b"")
    assert matrices.run_file(tmp_path, path) is None


def test_scenes_say_why_they_are_shown(rich: RunResult, tmp_path: Path) -> None:
    found = gallery.gallery(rich, tmp_path)
    why = {scene.name: scene.why for scene in found.scenes}
    # means over the cells: 0.85, 0.47, 0.35; the cells differ most on scene 1 (0.6, 0.7, 0.1)
    assert [name.partition("-")[2][:1] for name in why] == ["0", "1", "2"]
    assert list(why.values()) == [
        "best of the pictured images",
        "median of the pictured images and where the models disagree most",
        "worst of the pictured images",
    ]
    assert found.models == ["big (ce)", "big (focal)", "small (ce)"]
    assert dict(found.classes) == {"ground": "#141414", "square": "#c83c3c", "rare": "#0000fa"}
    assert found.scenes[0].predictions[0].score == "IoU of this image 81.8 %"


def test_pictures_are_cut_out_of_their_panel(tmp_path: Path, draw_panel: Callable[[Path, int], None]) -> None:
    draw_panel(tmp_path / "p.png", 77)
    with Image.open(tmp_path / "p.png") as panel:
        cut = gallery.tiles(panel, 4)
        half = gallery.tiles(panel.resize((panel.width // 2, panel.height // 2), Image.Resampling.NEAREST), 4)
    assert [tile.size for tile in cut] == [(48, 32)] * 4
    assert [tile.getcolors() for tile in cut] == [
        [(48 * 32, colour)] for colour in [(10, 120, 200), (20, 20, 20), (77, 60, 60), (220, 50, 47)]
    ]
    assert [tile.size for tile in half] == [(24, 16)] * 4


def test_a_panel_that_does_not_divide_is_shown_whole(rich: RunResult, tmp_path: Path) -> None:
    for name in rich.cells[0].artifacts.predictions:
        Image.new("RGB", (97, 40)).save(tmp_path / name)
    predictions = [scene.predictions[0] for scene in gallery.gallery(rich, tmp_path).scenes]
    assert {len(prediction.pictures) for prediction in predictions} == {1}


def test_missing_and_damaged_pictures_are_counted(rich: RunResult, tmp_path: Path) -> None:
    first, second = rich.cells[0].artifacts.predictions[:2]
    (tmp_path / first).unlink()
    (tmp_path / second).write_bytes(b"no picture")
    found = gallery.gallery(rich, tmp_path)
    assert list(found.notes) == ["1 picture that the run names could not be found beside it.", "1 picture could not be read."]
    assert len(found.scenes) == 3


def test_many_calls_are_thinned_without_losing_the_ends() -> None:
    calls = [float(value) for value in np.random.default_rng(0).normal(10, 1, 5000)]
    kept = details.thinned(calls, 120)
    assert len(kept) == 120
    assert (kept[0], kept[-1]) == (min(calls), max(calls))
    assert float(np.median(kept)) == pytest.approx(float(np.median(calls)), abs=0.02)


def test_long_histories_keep_their_best_and_last_epoch(make_cell: CellMaker, make_run: RunMaker) -> None:
    history = [{"epoch": e, "train_loss": 1.0, "val_miou": 0.9 if e == 777 else 0.1} for e in range(1, 1001)]
    cells = [make_cell(f"m{n}", training={"best_epoch": 777, "history": history}) for n in range(40)]
    drawn = details.learning_curves(make_run(cells))
    columns = next(iter(drawn[0].data.values()))["columns"]
    epochs = set(columns["epoch"])
    assert {1, 777, 1000} <= epochs
    assert len(epochs) <= 102


def test_every_chart_compiles_and_draws(rich: RunResult, tmp_path: Path) -> None:
    vl_convert = pytest.importorskip("vl_convert")
    from segbench_reports.html.page import _charts

    groups = _charts(rich, make_table(rich), tmp_path)
    drawn = [drawing for group in groups.values() for drawing in group]
    shown = {drawing.key for drawing in drawn}
    assert {"front", "curves-1", "confusion", "reliability-1", "latency", "parts-params", "parts-macs", "parts-ms", "sizes-1"} <= shown
    for drawing in drawn:
        spec = {**drawing.spec, "width": 400, "datasets": {name: _spread(packed) for name, packed in drawing.data.items()}}
        assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
        assert drawing.alt


def _spread(packed: dict[str, Any]) -> list[dict[str, Any]]:
    def column(values: Any) -> list[Any]:
        return [values["words"][at] for at in values["at"]] if isinstance(values, dict) else values

    columns = {key: column(values) for key, values in packed["columns"].items()}
    return [{key: values[row] for key, values in columns.items()} for row in range(packed["n"])]


def test_packed_records_spread_to_what_they_were() -> None:
    records = [{"cell": "a", "y": 0.5}, {"cell": "b", "y": 0.25}, {"cell": "a", "y": 2}]
    assert _spread(embed.packed(records)) == records


@pytest.mark.parametrize("text", ["<script>", "<b onclick=x>", "<br class=x>", "<!-- c -->", "<details open>", "&lt;i&gt;"])
def test_markup_that_sections_do_not_use_stays_text(text: str) -> None:
    shown = section_html(f"a {text} b\n\n{text}\n\n| h |\n| :-- |\n| {text} |")
    assert "<script" not in shown
    assert "onclick" not in shown.replace(html.escape(text), "")
    assert shown.count(html.escape(html.unescape(text))) == 3


def test_sections_keep_their_folds_breaks_and_small_print() -> None:
    folded = section_html("x<br>y <sub>z</sub>\n\n<details>\n<summary>A & B</summary>\n\nc\n\n</details>")
    assert folded == "<p>x<br>y <small>z</small></p>\n<details><summary>A &amp; B</summary>\n<p>c</p>\n</details>\n"


def test_no_picture_of_a_section_becomes_a_request() -> None:
    assert "img" not in section_html("![x](https://example.org/x.png)")


def test_blanks_around_emphasis_stay_in_long_sentences() -> None:
    long = "word " * 60
    assert section_html(f"{long}**pays** {long}") == f"<p>{long}<strong>pays</strong> {long.strip()}</p>\n"


def test_a_part_has_one_colour_in_all_charts(rich: RunResult) -> None:
    legends = [{entry.name: entry.colour for entry in drawing.legend} for drawing in details.cost_by_part(rich)]
    assert len(legends) == 3
    assert len({legend["encoder"] for legend in legends}) == 1
