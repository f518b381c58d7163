from __future__ import annotations

from segbench_reports.charts.names import short_names

VARIANTS = [
    "deeplab-original",
    "deeplab-original[aspp_channels=128,aspp_dropout=0.1,aspp_rates=(1,6,12),low_channels=32,mid_channels=32]",
    "deeplab-original[aspp_channels=128,aspp_dropout=0.1,aspp_rates=(1,6,12),decoder_channels=128,low_channels=32,mid_channels=32]",
]


def test_models_that_differ_in_the_middle_of_their_names_stay_apart() -> None:
    names = short_names(VARIANTS)
    assert names["deeplab-original"] == "deeplab-original"
    assert len(set(names.values())) == 3
    assert all(len(name) < 60 for name in names.values())


def test_names_that_differ_only_where_nothing_is_shown_are_numbered() -> None:
    names = short_names([f"{'a' * 30}{n}{'b' * 60}" for n in range(3)])
    assert len(set(names.values())) == 3
    assert [name[-3:] for name in names.values()][1:] == ["(2)", "(3)"]
