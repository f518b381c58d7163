from __future__ import annotations

from segbench import Task
from segbench.cli.census_text import class_lines, split_lines, unused_lines
from segbench.data.census import SplitStatistics
from segbench.data.check import Unused

TASK = Task(class_names=("ground", "road"), inputs={"image": 3}, ignore_index=255)
TRAIN = SplitStatistics(
    "train",
    3,
    sizes={"4x8": 3},
    class_pixels=(60, 30),
    class_samples=(3, 2),
    ignored_share=0.0625,
    read=3,
    dtypes={"image": {"uint8": 3}},
    ranges={"image": (0.0, 250.0)},
    files=6,
)
VAL = SplitStatistics("val", 2, sizes={"4x8": 1, "8x8": 1}, class_pixels=(96, 0), class_samples=(2, 0), ignored_share=0.0, read=2)


def test_a_clean_split_is_two_lines_with_units() -> None:
    assert list(split_lines(TRAIN)) == ["train: 3 samples (6 files), all 4x8 (height x width)", "  image: uint8, values 0 to 250"]


def test_sizes_that_differ_are_counted() -> None:
    assert list(split_lines(VAL)) == ["val: 2 samples, height x width 4x8 (1), 8x8 (1)"]


def test_classes_of_all_splits_are_one_table() -> None:
    assert list(class_lines([TRAIN, VAL], TASK)) == [
        "classes: share of the labelled pixels, and of the samples that have the class",
        "                      train              val",
        "  ground     66.667%   100%  100.000%   100%",
        "  road       33.333%    67%      none",
        "  (ignored)   6.250%           0.000%",
    ]


def test_splits_that_could_not_be_read_have_no_table() -> None:
    assert list(class_lines([SplitStatistics("train", 3, unreadable=3, read=3)], TASK)) == []


def test_a_single_unused_file_is_named_and_several_are_counted() -> None:
    lines = list(unused_lines([Unused(".", 1, "why", "a.csv"), Unused("old", 3, "why not", "b.png")]))
    assert lines == ["not used: 4 files", "  a.csv (why)", "  3 files such as old/b.png (why not)"]
