"""The table of metrics: names, what follows from an entry, and what may be registered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segbench.errors import PluginError, UnknownNameError
from segbench.results.metrics import METRICS, ChangeRow, Metric, TableColumn, metric
from segbench.results.records import CellResult


@pytest.fixture
def registered() -> Iterator[list[str]]:
    """Names that a test registers; they are taken out again."""
    names: list[str] = []
    yield names
    for name in names:
        METRICS.remove(name)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        *((name, "latency_ms") for name in ("latency_ms", "latency", "p50_ms")),
        *((name, "throughput") for name in ("throughput", "throughput_images_per_second", "images_per_second")),
        *((name, "size_mb") for name in ("size_mb", "size")),
        *((name, "deployed_file_mb") for name in ("deployed_file_mb", "file_mb", "file")),
        *((name, "inference_memory_mb") for name in ("inference_memory_mb", "memory", "inference_peak_mb")),
        *((name, "headline_iou") for name in ("headline_iou", "headline")),
        *((name, "boundary_iou") for name in ("boundary_iou", "boundary")),
    ],
)
def test_every_name_that_was_ever_public_finds_its_metric(name: str, canonical: str) -> None:
    assert metric(name).name == canonical
    assert METRICS[name] is metric(canonical)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown metric 'latencyms'. Did you mean 'latency_ms'"):
        metric("latencyms")


def test_each_metric_is_listed_once_by_its_canonical_name() -> None:
    assert len(METRICS) == len(set(METRICS)) == len({each.name for each in METRICS.values()})
    assert "latency" not in list(METRICS)


def test_the_main_table_has_its_columns_in_their_order() -> None:
    assert [each.column_key for each in METRICS.columns] == [
        "miou", "headline_iou", "training_score", "params", "size_mb", "macs", "latency_ms", "images_per_second", "inference_peak_mb",
        "train_images_per_second",
    ]  # fmt: skip


def test_no_two_metrics_share_a_column_of_the_csv() -> None:
    columns = [each.csv_column for each in METRICS.values() if each.record]
    assert len(columns) == len(set(columns))
    assert {"params", "quality_miou", "latency_p50_ms", "throughput_images_per_second", "training_images_per_second"} <= set(columns)


def test_units_of_stored_values_are_those_before_scaling() -> None:
    assert [metric(name).stored_unit for name in ("miou", "params", "macs", "size_mb", "latency_ms")] == ["share", "", "", "MB", "ms"]


def test_thresholds_of_ratios_take_per_cent_and_those_of_scores_points_only() -> None:
    assert metric("miou").threshold_units == {"pt": 0.01}
    assert metric("params").threshold_units == {"%": 0.01, "M": 1e6, "": 1.0}
    assert metric("throughput").threshold_units == {"%": 0.01}


def test_only_what_is_compared_by_ratio_and_better_when_higher_is_a_rate() -> None:
    assert [each.name for each in METRICS.values() if each.is_rate] == ["throughput", "train_images_per_second"]


def test_what_is_not_said_of_a_metric_follows_from_its_name(registered: list[str]) -> None:
    made = Metric("gate_count")
    assert (made.title, made.words, made.axis, made.key) == ("gate count", "gate count", "gate count", "gate_count")
    assert (made.column_key, made.change_name, made.names) == ("gate_count", "gate_count", ("gate_count",))


def test_a_registered_metric_is_found_by_all_its_names_until_it_is_removed() -> None:
    made = Metric("gate_count", column=TableColumn(key="gates_shown"), change=ChangeRow("gates"), aliases=("gc",))
    METRICS.register(made)
    assert all(METRICS[name] is made for name in ("gate_count", "gates_shown", "gates", "gc"))
    assert METRICS.columns[-1] is made
    METRICS.remove("gates")
    assert not any(name in METRICS for name in ("gate_count", "gates_shown", "gates", "gc"))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Metric("latency"), "metric 'latency': the name 'latency' belongs to 'latency_ms'"),
        (Metric("mine", aliases=("file",)), "metric 'mine': the name 'file' belongs to 'deployed_file_mb'"),
        (Metric("Mine"), "metric 'Mine': 'Mine' is no name: lower-case letters, digits and underscores"),
        (Metric("my metric"), "'my metric' is no name"),
    ],
)
def test_a_name_that_is_taken_or_cannot_be_typed_is_refused_and_nothing_is_entered(made: Metric, message: str) -> None:
    before = list(METRICS)
    with pytest.raises(PluginError, match=message):
        METRICS.register(made)
    assert list(METRICS) == before


def test_a_stored_number_is_read_at_record_and_key_and_anything_else_is_not_measured() -> None:
    made = Metric("gate_count", record="cell")
    shown = [made.value(CellResult.model_validate({"id": "a", "model": "a", **values})) for values in ({"gate_count": 7}, {}, _TEXT)]
    assert [value and value.value for value in shown] == [7, None, None]


_TEXT = {"gate_count": "many"}
