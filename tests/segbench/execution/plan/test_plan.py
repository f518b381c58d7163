from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from segbench.config.run_config import config_to_toml, load_config
from segbench.errors import ConfigError, DataError, OptionError, StoreError, UnknownNameError
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.fingerprints import changes
from segbench.execution.plan.plan import Plan, make_plan, output_directory
from segbench.plugin.choice import slug
from segbench.plugin.registry import Catalog, load_catalog


class Planner:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __call__(self, *, digest: str = "", sets: Sequence[str] = (), **flags: Any) -> Plan:
        flags = {"models": "dot", "dataset": "dots", "recipes": "tiny", **flags}
        return make_plan(load_config(sets=sets, flags=flags), self.catalog, digest_of=lambda root: digest)

    def cell(self, **given: Any) -> Cell:
        (cell,) = self(**given).cells
        return cell


@pytest.fixture
def plan(mishaps: Catalog) -> Planner:
    return Planner(mishaps)


def test_all_axes_are_multiplied_and_a_model_s_cells_stand_together(plan: Planner) -> None:
    cells = plan(
        models="dot,fragile", losses="ce,focal", recipes="tiny,tiny-long", vary=("train.lr=0.1,0.2", "train.clip=1,2"), seeds="0,1"
    ).cells
    assert len(cells) == 2 * 2 * 2 * 2 * 2 * 2
    assert len({cell.id for cell in cells}) == 64
    assert [str(cell.model) for cell in cells] == ["dot"] * 32 + ["fragile"] * 32
    assert {(cell.settings.train.lr, cell.settings.train.clip) for cell in cells} == {(a, b) for a in (0.1, 0.2) for b in (1, 2)}


def test_weights_of_other_classes_are_not_scored_as_given(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, plugin = plan.catalog.spec("models", "dot")
    own = plan(models="dot").task.class_names

    def config(names: tuple[str, ...] | None, epochs: int) -> None:
        changed = dataclasses.replace(spec, class_names=lambda options: names)
        monkeypatch.setitem(plan.catalog._entries["models"], "dot", (changed, plugin))
        flags = {"models": "dot", "dataset": "dots", "recipes": "tiny"}
        make_plan(load_config(sets=(f"train.epochs={epochs}",), flags=flags), plan.catalog, complete=True)

    for names, epochs in ((own, 0), (None, 0), (("cat", "dog", "cow"), 2)):
        config(names, epochs)
    with pytest.raises(ConfigError, match=r"its weights are of 3 classes \(cat, dog, cow, \.\.\).*would be random"):
        config(("cat", "dog", "cow"), 0)


def test_a_label_names_a_model_and_its_files_and_is_no_part_of_its_fingerprint(plan: Planner) -> None:
    plain, labelled = plan.cell(models="dot"), plan.cell(models="lite=dot")
    assert (str(labelled.model), labelled.model.short_name, labelled.id) == ("dot", "lite", plain.id.replace("dot", "lite", 1))
    assert labelled.blank("cpu").short_name == "lite"
    assert labelled.fingerprints == plain.fingerprints
    for models, message in {"a=dot,a=fragile": "twice", "a=dot,b=dot": "twice", "a=,dot": "a name after 'a='", "dot=": "a name"}.items():
        with pytest.raises(ConfigError, match=message):
            plan(models=models)


@pytest.mark.parametrize("key", ["train.image_size", "eval.image_size", "eval.tile"])
def test_sizes_that_a_model_cannot_take_are_refused(plan: Planner, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    spec, plugin = plan.catalog.spec("models", "dot")
    monkeypatch.setitem(plan.catalog._entries["models"], "dot", (dataclasses.replace(spec, fixed_size=(32, 32)), plugin))
    assert plan(sets=("train.image_size=32", "eval.tile=32")).cells
    with pytest.raises(ConfigError, match=r"model 'dot' takes images of 32x32, not 48x48"):
        plan(sets=("train.image_size=32", f"{key}=48"))
    with pytest.raises(ConfigError, match=r"eval\.scales enlarges images"):
        plan(sets=("train.image_size=32", "eval.scales=1,1.5"))


def test_an_encoder_rate_needs_a_declared_encoder_that_is_trained(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"train\.encoder_lr = 0\.1: model 'dot' does not say which of its modules are the encoder"):
        plan(sets=("train.encoder_lr=0.1",))
    spec, plugin = plan.catalog.spec("models", "dot")
    monkeypatch.setitem(plan.catalog._entries["models"], "dot", (dataclasses.replace(spec, parts={"encoder": ("body",)}), plugin))
    assert plan(sets=("train.encoder_lr=0.1",)).cells
    with pytest.raises(ConfigError, match=r"means nothing for an encoder that train\.freeze keeps"):
        plan(sets=("train.encoder_lr=0.1", "train.freeze=encoder"))
    with pytest.raises(ConfigError, match=r"train\.optimizer = sgdd: no such optimizer\. Did you mean"):
        plan(sets=("train.optimizer=sgdd",))


def test_a_cell_s_id_does_not_depend_on_the_rest_of_the_matrix(plan: Planner) -> None:
    alone = plan.cell(losses="focal[gamma=3]", seeds="1")
    many = plan(models="fragile,dot", losses="ce,focal[gamma=3]", seeds="0,1").cells
    assert alone.id in {cell.id for cell in many}
    like = next(cell for cell in many if cell.id == alone.id)
    assert like.fingerprints == alone.fingerprints


@pytest.mark.parametrize(
    ("dataset", "named", "recipe", "said"),
    [
        (None, None, "smoke", False),
        ("flood-shapes", None, "smoke", False),
        ("camvid", None, "quick-test", True),
        ("sen1floods11", None, "flood", True),
        ("camvid", "quick-baseline", "quick-baseline", False),
    ],
)
def test_a_run_that_names_no_recipe_takes_the_datasets_and_says_so(
    dataset: str | None, named: str | None, recipe: str, said: bool, tmp_path: Path
) -> None:
    models = "flood-efficient" if dataset and "flood" in dataset else "deeplab-optimized"
    given = {
        "models": models,
        "dataset": dataset,
        "recipes": named,
        "data": str(tmp_path) if dataset and dataset != "flood-shapes" else None,
    }
    catalog = load_catalog()
    config = load_config(flags=given)
    made = make_plan(config, catalog, digest_of=lambda root: "")
    assert made.config.recipes == (recipe,)
    assert made.cells[0].recipe == recipe
    assert output_directory(config, made.dataset) == output_directory(made.config, made.dataset)
    expected = f"No recipe was named: '{recipe}' was taken ("
    assert made.recipe_note.startswith(expected) if said else made.recipe_note == ""


def test_cells_that_were_not_trained_here_are_named_by_their_models(plan: Planner) -> None:
    config = load_config(flags={"models": "dot,dot[width=4]", "dataset": "dots", "recipes": "tiny"})
    assert [cell.id for cell in make_plan(config, plan.catalog, by_model=True).cells] == ["dot", slug("dot[width=4]")]


def test_ids_are_file_names_that_never_meet(plan: Planner) -> None:
    ids = [
        plan.cell(losses=loss, models=model).id
        for model in ("dot", "dot[width=4]", "dot[width=40]")
        for loss in (
            "mishap",
            'mishap[file="/a b/../c"]',
            'mishap[file="/a b/..-c"]',
            f"mishap[file={'x' * 300}]",
            f"mishap[file={'x' * 301}]",
        )
    ]
    assert len({i.lower() for i in ids}) == len(ids)
    for name in ids:
        assert len(name) <= 150
        assert not set(name) & set('/\\:*?"<>| ')


def test_the_embedded_dataset_follows_from_the_models(plan: Planner) -> None:
    assert str(plan(models="deeplab-original,deeplab-optimized", recipes="quick-baseline", dataset=None).dataset) == "shapes"
    assert str(plan(models="flood-efficient", recipes="quick-baseline", dataset=None).dataset) == "flood-shapes"
    assert str(plan(models="dot-pair", recipes="smoke", dataset=None).dataset) == "flood-shapes", (
        "a recipe's dataset does not fit: another does"
    )
    with pytest.raises(ConfigError, match="No embedded dataset has the inputs"):
        plan(models="dot,flood-efficient", recipes="quick-baseline", dataset=None)


def test_inputs_that_do_not_fit_are_refused_and_one_image_models_fuse(plan: Planner) -> None:
    with pytest.raises(ConfigError, match=r"takes the inputs 'sar', 'optical', but the dataset gives 'image'"):
        plan(models="dot-pair")
    fused = plan.cell(dataset="radar-dots")
    assert fused.inputs.early_fusion
    assert fused.inputs.channels == (5,)
    assert not plan.cell().inputs.early_fusion
    with pytest.raises(ConfigError, match=r"takes 3 or 5 channels as 'image', but the dataset gives 15"):
        plan(dataset="flood-shapes")


def test_model_settings_go_to_the_models_that_have_them_and_brackets_win(plan: Planner) -> None:
    cells = plan(models="dot,fragile[above=3],dot[width=9]", sets=["model.width=7"]).cells
    assert [cell.model.options.values()["width"] for cell in cells] == [7, 7, 9]
    cells = plan(models="dot,fragile", sets=["model.above=7"]).cells
    assert cells[1].model.options.values()["above"] == 7
    with pytest.raises(ConfigError, match=r"\[model\] widht: none of the models has this option. Did you mean 'width'"):
        plan(sets=["model.widht=7"])
    with pytest.raises(OptionError, match="expected at least 1"):
        plan(sets=["model.width=0"])
    assert {c.model.options.values()["width"] for c in plan(vary=("model.width=2,3",)).cells} == {2, 3}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"models": "dto"}, "Unknown model 'dto'. Did you mean 'dot'"),
        ({"losses": "foccal"}, "Unknown loss 'foccal'. Did you mean 'focal'"),
        ({"dataset": "camvidd"}, "Unknown dataset 'camvidd'. Did you mean 'camvid'"),
        ({"recipes": "quick"}, "Unknown recipe 'quick'"),
    ],
)
def test_unknown_names_get_near_misses(plan: Planner, flags: dict[str, str], said: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        plan(**flags)
    assert said in str(error.value)


def test_a_dataset_on_disk_needs_its_folder(plan: Planner, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --data DIR"):
        plan(dataset="camvid")
    with pytest.raises(DataError, match="does not exist"):
        plan(dataset="camvid", data=str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        plan(dataset="camvid", data=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="--data needs --dataset"):
        plan(dataset=None, data=str(tmp_path))


def test_fine_tuning_needs_its_checkpoint(plan: Planner, tmp_path: Path) -> None:
    recipe = next(name for name in plan.catalog.names("recipes") if plan.catalog.recipe(name).settings.get("train.init_from") == "required")
    with pytest.raises(ConfigError, match=r"starts from a checkpoint: give it with --set train.init_from"):
        plan(recipes=recipe)
    assert plan.cell(recipes=recipe, sets=[f"train.init_from={tmp_path / 'best.pt'}"]).settings.train.init_from


def test_the_scored_split_is_the_one_named_else_test_else_val(plan: Planner) -> None:
    assert plan.cell().scored_split == "test"
    assert plan.cell(dataset="dots[test=0]").scored_split == "val"
    assert plan.cell(sets=["eval.split=val"]).scored_split == "val"
    assert {cell.scored_split for cell in plan(vary=("eval.split=val,train",)).cells} == {"val", "train"}


CHANGES = [
    # what is set, which of train, evaluate and measure change
    ("train.lr=0.2", "te"),
    ("train.epochs=2", "te"),
    ("train.seed", "te"),
    ("train.batch_size=2", "tem"),
    ("train.image_size=24", "tem"),
    ("train.select_on=none", "te"),
    ("train.split=trainval", "te"),
    ("train.precision=bf16", "tem"),
    ("train.optimizer=sgd", "tem"),
    ("train.optimizer=AdamW", ""),
    ("train.decay_norms=false", "te"),
    ("train.freeze=(head)", "tem"),
    ("train.ema=0.9", "tem"),
    ("train.sampler=balanced", "te"),
    ("eval.every=2", "te"),
    ("execute.devices=2", "te"),
    ("eval.split=val", "e"),
    ("eval.resize=warp", "e"),
    ("eval.tile=8", "e"),
    ("eval.image_size=24", "em"),
    ("measure.rounds=3", "m"),
    ("measure.input_size=24", "m"),
    ("measure.threads=2", "m"),
    ("train.workers=1", ""),
    ("train.oom=halve", ""),
    ("data.cache_gb=1", ""),
    ("data.cache_dir=/nowhere", ""),
    ("eval.batch_size=1", ""),
    ("execute.timeout=9", ""),
    ("execute.where=inline", ""),
    ("eval.split=test", ""),
    ("train.lr=0.01", ""),
]


@pytest.mark.parametrize(("setting", "expected"), CHANGES)
def test_a_setting_changes_the_fingerprints_of_what_it_changes(plan: Planner, setting: str, expected: str) -> None:
    given: dict[str, Any] = {"seeds": "1"} if setting == "train.seed" else {"sets": [setting]}
    assert _changed(plan.cell(), plan.cell(**given)) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"losses": "focal"}, "te"),
        ({"losses": "ce[label_smoothing=0.1]"}, "te"),
        ({"models": "dot[width=5]"}, "tem"),
        ({"models": "dot[width=4]"}, ""),
        ({"dataset": "dots[train=9]"}, "te"),
        ({"digest": "other"}, ""),  # embedded data lie nowhere
        ({"recipes": "tiny-long"}, "te"),
        ({"device": "cpu"}, ""),
        ({"out": "elsewhere"}, ""),
    ],
)
def test_an_axis_changes_the_fingerprints_of_what_it_changes(plan: Planner, flags: dict[str, str], expected: str) -> None:
    assert _changed(plan.cell(losses="ce"), plan.cell(**{"losses": "ce", **flags})) == expected


def test_other_data_under_the_same_path_are_other_training(plan: Planner, tmp_path: Path) -> None:
    here = {"dataset": "folder[classes=(a,b)]", "data": str(tmp_path)}
    first, second = plan.cell(digest="1", **here), plan.cell(digest="2", **here)
    assert _changed(first, second) == "te"
    assert changes(first.ingredients["train"], second.ingredients["train"]) == ['dataset.digest "1" -> "2"']


def test_weights_count_by_what_the_file_holds(plan: Planner, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a.pt", "b.pt", "c.pt"))
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    third.write_bytes(b"two")
    cells = [plan.cell(models=f'dot[weights="{file}"]') for file in (first, second, third)]
    assert _changed(cells[0], cells[1]) == ""
    assert "t" in _changed(cells[0], cells[2])
    first.write_bytes(b"another")
    assert "t" in _changed(cells[0], plan.cell(models=f'dot[weights="{first}"]'))
    starts = [plan.cell(sets=[f"train.init_from={file}"]) for file in (second, third)]
    assert _changed(*starts) == "te"
    assert starts[0].settings.train.init_from == str(second), "the cell itself still reads the file by its path"


def _changed(first: Cell, second: Cell) -> str:
    names = {"train": "t", "evaluate": "e", "measure": "m"}
    return "".join(letter for name, letter in names.items() if first.fingerprints[name] != second.fingerprints[name])


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"losses": "focal[gamma=3]", "seeds": "1", "sets": ["train.lr=0.3", "model.width=9", "train.clip=none"]},
        {"recipes": "tiny,tiny-long"},
        {"vary": ("train.patience=none,5", "train.image_size=16,16x24")},
    ],
)
def test_the_written_configuration_plans_the_same_cells(plan: Planner, tmp_path: Path, flags: dict[str, Any]) -> None:
    made = plan(**flags)
    single = len(made.config.recipes) == 1 and not made.config.vary
    (tmp_path / "config.toml").write_text(config_to_toml(made.config, made.cells[0].settings if single else None))
    again = make_plan(load_config(tmp_path / "config.toml"), plan.catalog)
    assert [(c.id, c.fingerprints) for c in again.cells] == [(c.id, c.fingerprints) for c in made.cells]


def test_changes_are_told_in_words() -> None:
    old = {"loss": {"name": "focal", "gamma": 2}, "train": {"lr": 0.1, "clip": None}}
    new = {"loss": {"name": "focal", "gamma": 3}, "train": {"lr": 0.1, "clip": 1.0}}
    assert changes(old, new) == ["loss.gamma 2 -> 3", "train.clip none -> 1.0"]
    assert changes(old, old) == []
    assert changes({"a": 1}, {}) == ["a 1 -> none"]


@pytest.mark.clock
def test_a_thousand_cells_are_planned_in_moments(plan: Planner) -> None:
    plan()
    started = time.process_time()
    made = plan(losses="ce,focal", vary=(f"train.lr={','.join(str(i / 1000) for i in range(1, 51))}",), seeds="0,1,2,3,4,5,6,7,8,9")
    assert len(made.cells) == 1000
    assert time.process_time() - started < 0.5, "a quarter of a second on an idle machine: see tests/benchmarks"


def test_models_trained_at_other_sizes_do_not_share_the_memory_of_a_training_step(mishaps: Catalog) -> None:
    flags = {"models": "dot", "losses": "ce", "dataset": "dots", "recipes": "tiny"}

    def measured(*sets: str) -> str:
        (cell,) = make_plan(load_config(sets=sets, flags=flags), mishaps).cells
        return cell.fingerprints["measure"]

    assert measured("measure.input_size=24", "train.image_size=16") != measured("measure.input_size=24", "train.image_size=32")
    assert measured("measure.input_size=24", "train.image_size=24") == measured("train.image_size=24", "eval.image_size=24")


def test_a_plain_distill_has_the_teacher_of_the_run() -> None:
    config = load_config(flags={"models": "deeplab-optimized", "losses": "distill,distill[loss=dice]", "teacher": "no-such-run/cell"})
    with pytest.raises(StoreError, match="'no-such-run/cell'"):
        make_plan(config, load_catalog(), complete=True)
