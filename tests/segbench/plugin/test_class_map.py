from __future__ import annotations

from pathlib import Path

import pytest

from segbench.errors import ConfigError
from segbench.plugin.class_map import ClassMap, class_map_text, format_class_map, match_classes, parse_class_map

STREET = ("road", "sky", "car")


def match(network: tuple[str, ...], dataset: tuple[str, ...], text: str | None = None) -> ClassMap:
    return match_classes(network, dataset, text, source="the network", target="dataset 'street'")


def test_equal_names_need_no_map_in_whatever_order() -> None:
    assert match(STREET, STREET).is_identity
    moved = match(("car", "road", "sky"), STREET)
    assert (moved.prediction_ids, moved.is_order, moved.is_identity) == ((2, 0, 1), True, False)
    assert moved.notes() == ("classes were matched by name: the network has them in another order than the dataset",)


def test_other_names_are_refused_with_a_map_that_would_be_taken() -> None:
    with pytest.raises(ConfigError) as refusal:
        match(("Road", "sky", "person"), STREET)
    text = str(refusal.value)
    assert "only the network has Road, person; no class of the network stands for road, car of the dataset" in text
    assert "--class-map 'Road:road,person:ignore,ignore:car'" in text
    taken = match(("Road", "sky", "person"), STREET, "Road:road,person:ignore,ignore:car")
    assert (taken.targets, taken.ignored) == ((0, 1, None), (2,))


def test_no_map_is_proposed_where_no_name_is_alike() -> None:
    with pytest.raises(ConfigError, match=r"--class-map 'a:NAME,\.\.', where NAME is one of road, sky, car, or ignore") as refusal:
        match(("a", "b"), STREET)
    assert "a:ignore" not in str(refusal.value), "a map that scores nothing is no advice"
    with pytest.raises(ConfigError, match="nothing to score"):
        match(("a", "b"), STREET, "a:ignore,b:ignore,ignore:road,ignore:sky,ignore:car")


def test_classes_without_an_answer_are_refused_on_either_side() -> None:
    with pytest.raises(ConfigError, match="no class of the network stands for car"):
        match(("road", "sky"), STREET, "sky:sky")
    with pytest.raises(ConfigError, match="only the network has bus"):
        match((*STREET, "bus"), STREET, "sky:sky")
    assert match((*STREET, "bus"), STREET, "bus:car").prediction_ids == (0, 1, 2, 2)
    assert match((*STREET, "bus"), STREET, "bus:car").merges


def test_pairs_in_the_wrong_order_are_turned_round() -> None:
    with pytest.raises(ConfigError, match=r"the network has no class 'path'\. Pairs are NETWORK:DATASET: write road:path\."):
        match(("road", "sky"), ("path", "air"), "path:road,air:sky")
    assert match(("road", "sky"), ("path", "air"), "road:path,sky:air").prediction_ids == (0, 1)


def test_wrong_names_get_the_nearest_right_ones() -> None:
    with pytest.raises(ConfigError, match=r"the network has no class 'rode'. Did you mean 'road'"):
        match(STREET, STREET, "rode:sky")
    with pytest.raises(ConfigError, match=r"dataset 'street' has no class 'ski'. Did you mean 'sky'"):
        match(STREET, STREET, "road:ski")
    with pytest.raises(ConfigError, match=r"It is a class of dataset 'street': write ignore:car"):
        match(("road", "sky"), STREET, "car:ignore")
    with pytest.raises(ConfigError, match="'car' is mapped twice, to 'sky' and to 'ignore'"):
        match(STREET, STREET, "car:sky,car:ignore")


def test_notes_say_what_follows_for_the_scores() -> None:
    notes = match(("Road", "sky", "person", "path"), STREET, "Road:road,path:road,person:ignore,ignore:car").notes()
    assert notes == (
        "scored by a class map: Road to road, path to road",
        "what is predicted as person counts as wrong: the class map names no class for it",
        "labels of car do not count, by the class map: no IoU",
        "the probabilities of classes that become one were summed before the highest was chosen",
    )


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a:b", (("a", "b"),)),
        (" a b : c ,d:ignore", (("a b", "c"), ("d", None))),
        ("ignore:c", ((None, "c"),)),
        ('"ignore":"x, y:z"', (("ignore", "x, y:z"),)),
        ('"5\\" pipe":b', (('5" pipe', "b"),)),
    ],
)
def test_a_line_is_read_and_written_alike(text: str, pairs: tuple[tuple[str | None, str | None], ...]) -> None:
    assert parse_class_map(text) == pairs
    assert parse_class_map(format_class_map(pairs)) == pairs


@pytest.mark.parametrize("text", ["", "a", "a:b:c", "a:", ":b", "a,b", "ignore:ignore", 'a"b:c', "a:b,c"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="class map"):
        parse_class_map(text)


def test_files_hold_lines_or_two_columns(tmp_path: Path) -> None:
    lines, table, wrong = tmp_path / "map.txt", tmp_path / "map.csv", tmp_path / "three.csv"
    lines.write_text("\ufeff# from here to there\nsky: background\n\nignore:car\n", encoding="utf-8")
    table.write_text('Network,Dataset\nsky,background\n"a,b",ignore\n')
    wrong.write_text("sky,background,3\n")
    assert class_map_text(str(lines)) == "sky:background,ignore:car"
    assert class_map_text(str(table)) == 'sky:background,"a,b":ignore'
    with pytest.raises(ConfigError, match="'sky,background,3' does not have two columns"):
        class_map_text(str(wrong))
    with pytest.raises(ConfigError, match=r"'nowhere.csv': there is no such file"):
        class_map_text("nowhere.csv")
