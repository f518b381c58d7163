from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from segbench.config.run_config import RunConfig, config_to_toml, load_config
from segbench.errors import ConfigError
from segbench.plugin.specs import Recipe

RECIPE = Recipe(name="r", summary="", settings={"train.epochs": 7, "train.lr": 0.5, "train.patience": 3})


def _file(folder: Path, text: str) -> Path:
    file = folder / "run.toml"
    file.write_text(text)
    return file


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    file = _file(tmp_path, "[train]\nepochs = 8\nlr = 0.25\nbatch_size = 2\n")
    config = load_config(file, sets=["train.lr=0.125", "train.clip=3"], flags={"train.clip": 4.0})
    train = config.settings(RECIPE).train
    assert (train.patience, train.epochs, train.batch_size, train.lr, train.clip) == (3, 8, 2, 0.125, 4.0)
    assert train.weight_decay == 1e-4, "what nobody sets has its default"


def test_a_varied_value_wins_over_all(tmp_path: Path) -> None:
    config = load_config(sets=["train.lr=0.125"], flags={"vary": ("train.lr=1e-3,1e-4",)})
    assert config.vary == {"train.lr": (1e-3, 1e-4)}
    assert config.settings(RECIPE, {"train.lr": 1e-4}).train.lr == 1e-4


def test_none_switches_off_what_a_recipe_sets() -> None:
    assert load_config(sets=["train.patience=none"]).settings(RECIPE).train.patience is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = 3", "unknown key 'epochs'. Did you mean 'train.epochs'?"),
        ("modles = ['a']", "Did you mean 'models'"),
        ("[trian]\nepochs = 3", "Did you mean 'train'?"),
        ("[train]\nepoch = 3", "Did you mean 'epochs'?"),
        ("train = 3", "'train' is a section"),
        ("models = []", "expected a list of names"),
        ("models = [3]", "expected a list of names"),
        ("models = ['a', 'a']", "names 'a' twice"),
        ("seeds = [0, -1]", "expected whole numbers from 0"),
        ("seeds = [true]", "expected whole numbers from 0"),
        ("dataset = 3", "expected text"),
        ("device = ['cpu']", "expected text"),
        ("vary = {'train.lr' = 3}", "expected a list of values"),
        ("[vary]\n'train.lrr' = [1, 2]", "Did you mean 'lr'?"),
        ("[vary.data]\npath = ['a', 'b']", "cannot be varied"),
        ("models = ['a[x=]']", "Cannot read 'a[x=]'"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(_file(tmp_path, text))
    assert said in str(error.value)


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    file = _file(tmp_path, "models = ['a']\n[train]\nepochs = = 3\n")
    with pytest.raises(ConfigError, match=r"run\.toml' is not valid TOML: .*line 3"):
        load_config(file)


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "run.toml")
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "other.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize("text", ["train.epochs", "=3", ""])
def test_an_assignment_needs_a_key_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match="--set takes key=value"):
        load_config(sets=[text])


def test_brackets_keep_their_commas() -> None:
    config = load_config(flags={"models": "a[x=(1,2),y=b],c", "seeds": "0,2"})
    assert config.models == ("a[x=(1,2),y=b]", "c")
    assert config.seeds == (0, 2)


def test_two_spellings_of_one_choice_are_the_same() -> None:
    with pytest.raises(ConfigError, match="twice"):
        load_config(flags={"models": "a[x=1,y=2],a[y=2, x=1]"})


ROUND: list[dict[str, Any]] = [
    {},
    {"models": "a[x=(1,2)],b", "losses": "ce,focal[gamma=3]", "dataset": "shapes[size=64]", "seeds": "3,4", "device": "cpu"},
    {"vary": ("train.patience=none,5", "train.image_size=32,32x48")},
    {"recipes": "a,b", "data": "some/folder", "train.select_on": "none", "model.encoder": "resnet18"},
]


@pytest.mark.parametrize("flags", ROUND)
def test_the_written_file_is_read_back_as_the_same_run(tmp_path: Path, flags: dict[str, Any]) -> None:
    config = load_config(flags=flags)
    assert load_config(_file(tmp_path, config_to_toml(config))) == config


def test_a_fully_spelled_file_needs_no_recipe(tmp_path: Path) -> None:
    config = load_config(sets=["train.clip=none", "model.encoder=resnet18"])
    settings = config.settings(RECIPE)
    again = load_config(_file(tmp_path, config_to_toml(config, settings)))
    empty = Recipe(name="empty", summary="", settings={})
    assert again.settings(empty) == settings


def test_the_configuration_is_data() -> None:
    config = load_config(flags={"vary": ("train.lr=1,2",)})
    assert RunConfig.model_validate_json(config.model_dump_json()).vary == {"train.lr": (1, 2)}


@pytest.mark.parametrize(
    "layer",
    [{"sets": ["train.augmentation=none"]}, {"flags": {"vary": ("train.augmentation=none,standard",)}}],
    ids=["--set", "--vary"],
)
def test_none_is_a_choice_of_its_own_where_a_setting_has_it(layer: dict[str, Any]) -> None:
    config = load_config(**layer)
    value = config.overrides["train"]["augmentation"] if "sets" in layer else config.vary["train.augmentation"][0]
    assert value == "none"
    assert load_config(sets=["train.patience=none"]).overrides["train"]["patience"] is None


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("shapes=/a", "folder=/b"), ["/a", "/b"]),
        (("shapes=/a,folder=/b",), ["/a", "/b"]),
        (("folder=/b,with=comma",), [None, "/b,with=comma"]),
        (("folder[images=i,masks=m]=/b",), [None, "/b"]),
        ((), [None, None]),
    ],
)
def test_each_dataset_gets_its_folder(folders: tuple[str, ...], expected: list[str | None]) -> None:
    config = load_config(flags={"datasets": "shapes,folder[images=i,masks=m]", "data": folders or None})
    assert list(config.datasets.values()) == expected
    assert config.is_several
    assert config.dataset is None


def test_a_folder_that_describes_itself_is_one_of_several_datasets(tmp_path: Path) -> None:
    described = tmp_path / "tiles"
    described.mkdir()
    (described / "dataset.toml").write_text('dataset = "folder"\n[options]\nname = "tiles"\n')
    config = load_config(flags={"datasets": f"{described},folder", "data": ("folder=/mine",)})
    assert config.datasets == {"folder[name=tiles]": str(described), "folder": "/mine"}


def test_a_folder_is_given_to_the_only_dataset_of_a_name_without_one(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text('dataset = "folder"\n[options]\nname = "tiles"\n')
    config = load_config(flags={"datasets": f"{tmp_path},folder[images=i]", "data": ("folder=/mine",)})
    assert config.datasets == {"folder[name=tiles]": str(tmp_path), "folder[images=i]": "/mine"}


def test_one_dataset_is_an_ordinary_run() -> None:
    for given in (("shapes=/a",), ("/a",)):
        config = load_config(flags={"datasets": "shapes", "data": given})
        assert (config.dataset, config.data_path, config.is_several) == ("shapes", "/a", False)
    assert load_config(flags={"dataset": "shapes", "data": ("/a,b=c",)}).data_path == "/a,b=c"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"datasets": "a,b", "data": ("/x",)},
            "does not say whose folder it is: with several datasets write NAME=DIR, such as",
        ),
        ({"datasets": "a,b", "data": ("a=/x", "a=/y")}, "gives 'a' two folders"),
        ({"datasets": "a[x=1],a[x=2]", "data": ("a=/x",)}, "fits 2 datasets: write the whole name, such as 'a[x=1]=DIR'"),
        ({"dataset": "a", "datasets": "b,c"}, "Both one dataset and several"),
        ({"dataset": "a", "data": ("/x", "/y")}, "Several --data need --datasets"),
        ({"folds": "1"}, "folds = '1' does not fit: expected a whole number from 2"),
        ({"vary": ("data.fold=1/2,2/2",)}, "give --folds 5 instead"),
        ({"vary": ("data.limit=1,2",)}, "rows with a limit are a quick try"),
        ({"data.fold": "6/5"}, "such as 2/5"),
        ({"data.limit": 0}, "expected at least 1"),
    ],
)
def test_what_does_not_fit_several_datasets_is_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(flags=flags)


def test_several_datasets_and_folds_are_written_and_read_back(tmp_path: Path) -> None:
    config = load_config(flags={"datasets": "a[x=1],b", "data": ("b=/y",), "folds": "3"})
    file = tmp_path / "config.toml"
    file.write_text(config_to_toml(config))
    again = load_config(file)
    assert (again.datasets, again.folds) == (config.datasets, 3) == ({"a[x=1]": None, "b": "/y"}, 3)


def test_a_fold_fixes_its_splits_and_selects_nothing(tmp_path: Path) -> None:
    recipe = Recipe(name="r", summary="", settings={"train.split": "trainval", "train.select_on": "val", "eval.split": "val"})
    config = load_config(flags={"data.fold": "2/5"})
    settings = config.settings(recipe)
    assert (settings.train.split, settings.eval.split) == ("all-but-fold-2-of-5", "fold-2-of-5")
    assert (settings.train.select_on, settings.train.patience) == (None, None)
    file = tmp_path / "config.toml"
    file.write_text(config_to_toml(config, settings))
    assert load_config(file).settings(recipe) == settings


@pytest.mark.parametrize("key", ["train.split", "train.select_on", "eval.split"])
def test_another_split_does_not_go_with_folds(key: str) -> None:
    config = load_config(sets=["data.fold=2/5", f"{key}=val"])
    with pytest.raises(ConfigError, match=f"{key} = 'val' does not go with folds"):
        config.settings(Recipe(name="r", summary="", settings={}))
