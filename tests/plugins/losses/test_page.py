"""The catalogue page: names, defaults, checks at planning, and the loss that holds two others."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch

from segbench import LossBatch, OptionError, Progress, Task, parse_choice
from segbench_plugins.losses import ScheduleOptions, segbench_losses
from segbench_plugins.losses.inner import inner_loss
from segbench_plugins.losses.schedule import Schedule, build

SPECS = {spec.name: spec for spec in segbench_losses()}
LAND_WATER = Task(class_names=("land", "water"))
THREE = Task(class_names=("a", "b", "c"))
NOT_TWO = "it is for two-class tasks, and this one has 3 classes: use combined, dice or focal instead."


def problems(text: str, task: Task) -> list[str]:
    choice = parse_choice(text)
    spec = SPECS[choice.name]
    module, _, function = str(spec.check).partition(":")
    found: list[str] = getattr(importlib.import_module(module), function)(task, spec.options.resolve(dict(choice.options)))
    return found


def test_names_and_defaults() -> None:
    assert {name: spec.options().values() for name, spec in SPECS.items()} == {
        "ce": {"weights": None, "label_smoothing": 0.0},
        "focal": {"alpha": 0.25, "gamma": 2.0},
        "dice": {"smooth": 1.0},
        "combined": {"alpha": 0.25, "gamma": 2.0, "dice_weight": 1.0},
        "schedule": {"first": "ce", "then": "dice", "at": 0.2},
        "bce-dice": {"pos_weight": 5.0},
    }


def test_the_page_and_its_checks_need_no_torch() -> None:
    script = (
        "import sys, segbench_plugins.losses as page, segbench_plugins.losses.checks as c, segbench_plugins.losses.inner as n\n"
        "from segbench import Task\n"
        "list(page.segbench_losses()); n.check_schedule(Task(class_names=('a', 'b')), page.ScheduleOptions())\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("text", ["ce", "ce[weights=(1,2,3)]", "focal", "focal[alpha=(1,0,0)]", "combined", "schedule"])
def test_what_fits_is_not_complained_about(text: str) -> None:
    assert problems(text, THREE) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ce[weights=(1,2)]", "weights has 2 values for 3 classes (a, b, c): give one per class."),
        ("ce[weights=(0,0,0)]", "weights are all zero: nothing would be learnt. Give at least one class a positive value."),
        ("focal[alpha=(1,2,3,4)]", "alpha has 4 values for 3 classes (a, b, c): give one per class."),
        ("combined[alpha=(1,)]", "alpha has 1 value for 3 classes (a, b, c): give one per class."),
        ("bce-dice", NOT_TWO),
        (
            "schedule[then=bce-dice]",
            f"bce-dice: {NOT_TWO}",
        ),
        ('schedule[first="ce[weights=(1,2)]"]', "ce[weights=(1,2)]: weights has 2 values for 3 classes (a, b, c): give one per class."),
        (
            "schedule[first=fokal]",
            "schedule switches between ce, focal, dice, combined, bce-dice; 'fokal' is not among them. Did you mean 'focal'?",
        ),
        (
            'schedule[first="focal[gama=1]"]',
            "schedule: focal: unknown option 'gama'. Did you mean 'gamma'? It has: alpha, gamma.",
        ),
    ],
)
def test_what_does_not_fit_is_said_at_planning(text: str, message: str) -> None:
    assert problems(text, THREE) == [message]


def test_two_classes_suit_bce_dice() -> None:
    assert problems("bce-dice", LAND_WATER) == []


def test_a_schedule_holds_no_schedule() -> None:
    with pytest.raises(OptionError, match="'schedule' is not among them"):
        inner_loss("schedule")


@pytest.fixture
def schedule() -> Any:
    return build(THREE, ScheduleOptions.resolve({"first": "focal[gamma=1]", "then": "dice[smooth=0]", "at": 0.5}))


@pytest.mark.parametrize(("step", "now"), [(0, "focal[gamma=1]"), (4, "focal[gamma=1]"), (5, "dice[smooth=0]"), (10, "dice[smooth=0]")])
def test_the_second_loss_takes_over_at_its_share(step: int, now: str, schedule: Schedule, make_scene: Any, make_loss: Any) -> None:
    scene = make_scene(3)
    value = schedule({"logits": scene.logits}, LossBatch(inputs=(), mask=scene.mask), Progress(epoch=0, epochs=2, step=step, steps=10))
    assert torch.equal(value, make_loss(now, 3)(scene.logits, scene.mask))


def test_auxiliary_outputs_count_with_their_weight(schedule: Schedule, make_scene: Any, make_loss: Any) -> None:
    scene, other = make_scene(3), make_scene(3, seed=1)
    outputs = {"logits": scene.logits, "aux": other.logits, "unnamed": other.logits}
    batch = LossBatch(inputs=(), mask=scene.mask, output_weights={"logits": 1.0, "aux": 0.4, "gone": 0.5})
    value = schedule(outputs, batch, Progress(epoch=0, epochs=1, step=0, steps=10))
    loss = make_loss("focal[gamma=1]", 3)
    torch.testing.assert_close(value, loss(scene.logits, scene.mask) + 0.4 * loss(other.logits, scene.mask))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_losses_travel_between_processes_and_leave_checkpoints_empty(name: str) -> None:
    module, _, function = str(SPECS[name].build).partition(":")
    built = getattr(importlib.import_module(module), function)(LAND_WATER, SPECS[name].options())
    again = pickle.loads(pickle.dumps(built))
    assert type(again) is type(built)
    assert built.state_dict() == {}
    assert list(built.parameters()) == []
