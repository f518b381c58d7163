from __future__ import annotations

import pytest

from segbench.config.run_config import load_config
from segbench.config.settings import SECTIONS, Settings
from segbench.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("train.batch_size=0", "train.batch_size = 0 does not fit: expected at least 1"),
        ("train.batch_size=-4", "train.batch_size = -4 does not fit: expected at least 1"),
        ("train.epochs=1.5", "train.epochs = 1.5 does not fit: expected a whole number"),
        ("train.epochs=many", "train.epochs = 'many' does not fit: expected a whole number"),
        ("train.epochs=true", "it is no switch"),
        ("train.epochs=none", "train.epochs = None does not fit: expected a whole number"),
        ("train.lr=0", "train.lr = 0 does not fit: expected more than 0"),
        ("train.lr=nan", "train.lr = 'nan' does not fit: expected a finite number"),
        ("train.lr=inf", "train.lr = 'inf' does not fit: expected a finite number"),
        ("train.lr=fast", "train.lr = 'fast' does not fit: expected a number"),
        ("train.compile=maybe", "train.compile = 'maybe' does not fit: expected true or false"),
        ("train.workers=-1", "at least 0, or auto"),
        ("train.image_size=0", "must be positive"),
        ("train.image_size=-64", "must be positive"),
        ("train.image_size=12x", "is not a size"),
        ("train.image_size=64@0.5", "shares must start at 0"),
        ("eval.image_size=64@0,96@0.5", "is not a size"),
        ("eval.tile=0", "must be positive"),
        ("eval.overlap=1", "expected less than 1"),
        ("measure.rounds=0", "expected at least 1"),
        ("measure.threads=0", "expected at least 1"),
        ("execute.devices=0", "expected at least 1"),
        ("execute.timeout=0", "expected more than 0"),
        ("execute.where=cloud", "expected 'process' or 'inline'"),
        ("train.schedule=onecycel", "'onecycle', 'poly', 'cosine', 'plateau' or 'constant'"),
        ("data.cache_gb=-1", "expected at least 0"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(sets=[given])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_sizes_are_read_as_users_write_them() -> None:
    settings = Settings.model_validate({"train": {"image_size": "64@0,96x128@0.5"}, "eval": {"image_size": 48}})
    assert (settings.train.image_size, settings.eval.image_size) == ("64@0,96x128@0.5", 48)


def test_settings_survive_a_job_file() -> None:
    settings = Settings.model_validate({"model": {"a": [1, 2]}, "train": {"lr": 0.1, "patience": 4}})
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert Settings.model_validate(settings.model_dump()) == settings


def test_every_section_is_known() -> None:
    assert SECTIONS == ("model", "data", "train", "eval", "measure", "deploy", "execute")


def test_metrics_are_names_and_augmentations_have_one_spelling() -> None:
    given = load_config(sets=["eval.metrics=hits, dice,hits", "train.augmentation=turn[ b=1, a=(2,3) ]"]).overrides
    settings = Settings.model_validate(given)
    assert settings.eval.metrics == ("hits", "dice")
    assert settings.train.augmentation == "turn[a=(2,3),b=1]"
    assert Settings.model_validate({"eval": {"metrics": ["hits"]}, "train": {"augmentation": "none"}}).train.augmentation == "none"
