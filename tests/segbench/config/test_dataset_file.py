from __future__ import annotations

from pathlib import Path

import pytest

from segbench.config.dataset_file import read_dataset_file
from segbench.config.run_config import load_config
from segbench.errors import ConfigError

TEXT = 'dataset = "folder"\n[options]\nname = "pets"\nclasses = ["background", "a cat"]\ntrain = "train.txt"\nignore = 255\n'
CHOICE = 'folder[classes=(background,"a cat"),ignore=255,name=pets,train=train.txt]'


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pets"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("text", ["pets", "./pets", "pets/", "{}"])
def test_a_folder_stands_for_its_dataset_and_is_the_data_folder(pets: Path, text: str) -> None:
    config = load_config(flags={"dataset": text.format(pets)})
    assert (config.dataset, config.data_path) == (CHOICE, str(pets))


def test_options_and_a_data_folder_that_are_given_win(pets: Path) -> None:
    config = load_config(flags={"data": "elsewhere", "dataset": "pets[ignore=9]"})
    assert (config.dataset, config.data_path) == (CHOICE.replace("255", "9"), "elsewhere")
    assert load_config(flags={"dataset": "pets", "data": "elsewhere"}).data_path == "elsewhere"


def test_the_name_of_a_dataset_wins_over_a_folder_of_that_name(pets: Path) -> None:
    pets.rename(pets.with_name("camvid"))
    assert load_config(flags={"dataset": "camvid"}).dataset == "camvid"
    assert load_config(flags={"dataset": "./camvid"}).dataset == CHOICE


def test_a_dataset_from_a_file_is_named_alike(pets: Path) -> None:
    (pets.parent / "run.toml").write_text('dataset = "pets"\n')
    assert load_config(pets.parent / "run.toml").dataset == CHOICE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./nothing", r"'\./nothing' does not exist\. Give a folder that holds dataset\.toml"),
        ("./pets/dataset.toml", "is a file. Give the folder"),
        (".", r"is a folder without dataset\.toml\. For plain folders of images and masks: --dataset 'folder"),
    ],
)
def test_paths_that_are_no_dataset_are_refused(pets: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(flags={"dataset": text})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dataset = ", "cannot be read"),
        ('datasets = "folder"', r"unknown key 'datasets'\. Did you mean 'dataset'\?"),
        ("[options]", 'expected dataset = "folder"'),
        ('dataset = "folder"\noptions = 3', "a table"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(pets: Path, content: str, message: str) -> None:
    (pets / "dataset.toml").write_text(content)
    with pytest.raises(ConfigError, match=message) as refused:
        read_dataset_file(pets / "dataset.toml")
    assert "dataset.toml" in str(refused.value)
