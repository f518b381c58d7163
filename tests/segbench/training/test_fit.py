from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from segbench.errors import CheckpointError, ConfigError
from segbench.networks.checkpoints import read_checkpoint
from segbench.results.records import Training
from segbench.training.failures import NonFiniteLossError
from segbench.training.session import open_session
from segbench.util.distributed import ProcessRank

CLOCKS = {"seconds", "images_per_second", "other_cpu_share", "other_gpu_processes"}


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def curve(training: Training) -> list[dict[str, Any]]:
    return [row.model_dump(exclude=CLOCKS) for row in training.history]


def weights(directory: Path, name: str = "last.pt") -> dict[str, Tensor]:
    return dict(read_checkpoint(directory / name).model_state)


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def kill_after(epoch: int) -> Any:
    def emit(event: str, fields: Mapping[str, Any]) -> None:
        if event == "epoch" and fields["epoch"] == epoch:
            raise Killed

    return emit


def test_a_network_learns_and_the_record_says_how(lab: Any) -> None:
    training = lab.train(train={"epochs": 8})
    assert training.epochs_run == 8
    assert training.best_score is not None
    assert training.best_score > 0.95
    assert training.best_score == max(row.val_miou or 0 for row in training.history)
    assert training.history[training.best_epoch - 1].val_miou == training.best_score
    assert training.history[-1].train_loss < 0.5 * training.history[0].train_loss
    assert (training.precision, training.device, training.world_size, training.batch_size) == ("off", "cpu", 1, 4)
    assert training.select_on == "val"
    assert training.seconds == pytest.approx(sum(row.seconds or 0 for row in training.history))
    assert training.images_per_second == statistics.median(18 / (row.seconds or 0) for row in training.history[1:])
    assert training.peak_memory_mb is None or training.peak_memory_mb > 50
    assert all(row.gradient_norm and row.gradient_norm > 0 for row in training.history)


def test_every_epoch_says_what_other_programs_used(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up machine of many cores: others are busy in the first epoch, idle in the second, and out of sight in the third."""
    looks = iter([(0.0, 0.0), (9.0, 3.0), (9.0, 3.0), (19.0, 13.0), (19.0, 13.0), (19.0, 1e9)])
    now: list[float] = []

    def cpu_times() -> SimpleNamespace:
        now[:] = next(looks)
        return SimpleNamespace(user=now[0])

    monkeypatch.setattr(os, "cpu_count", lambda: 10_000)
    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=now[1], system=0.0)))
    training = lab.train()
    first, second, third = (row.other_cpu_share for row in training.history)
    assert first == pytest.approx(6 / (10_000 * training.history[0].seconds), rel=0.5), "both clocks tick around the epoch"
    assert second == 0.0
    assert third is None


def test_events_tell_epochs_and_batches(lab: Any) -> None:
    training = lab.train()
    epochs = [fields for event, fields in lab.events if event == "epoch"]
    assert [fields["epoch"] for fields in epochs] == [1, 2, 3]
    assert epochs[-1]["eta_seconds"] == 0
    assert epochs[-1]["val_miou"] == training.history[-1].val_miou
    batch = next(fields for event, fields in lab.events if event == "batch")
    assert (batch["epoch"], batch["epochs"], batch["step"], batch["steps"]) == (1, 3, 1, 5)
    assert batch["loss"] > 0
    assert batch["eta_seconds"] > 0


@pytest.mark.parametrize(
    "how",
    [
        {"loss": "tracked", "train": {"epochs": 5, "schedule": "onecycle", "accumulate": 2}},
        {"train": {"epochs": 5, "schedule": "plateau", "patience": 3}, "eval": {"every": 2}},
        {"validate": False, "train": {"epochs": 5, "precision": "bf16", "augmentation": "enhanced", "image_size": "8@0,16@0.5"}},
        {
            "train": {
                "epochs": 5,
                "optimizer": "lion",
                "encoder_lr": 0.1,
                "decay_norms": False,
                "freeze": "body.1",
                "ema": 0.8,
                "sampler": "balanced",
            }
        },
    ],
    ids=["onecycle", "plateau", "unvalidated", "all that is optional"],
)
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_killed_training_resumes_bit_for_bit(lab: Any, tmp_path: Path, how: dict[str, Any], epoch: int) -> None:
    whole = lab.train(**how, directory=tmp_path / "whole")
    with pytest.raises(Killed):
        lab.train(**how, emit=kill_after(epoch))
    torch.rand(3)  # whatever else used the random state in between
    resumed = lab.train(**how)
    assert curve(resumed) == curve(whole)
    assert [fields["epoch"] for event, fields in lab.events if event == "epoch"][-(5 - epoch) :] == list(range(epoch + 1, 6))
    assert resumed.model_dump(include={"best_epoch", "best_score", "stopped"}) == whole.model_dump(
        include={"best_epoch", "best_score", "stopped"}
    )
    for name in ("best.pt", "last.pt"):
        assert equal(weights(lab.directory, name), weights(tmp_path / "whole", name))
    ours, theirs = (read_checkpoint(d / "last.pt").training for d in (lab.directory, tmp_path / "whole"))
    assert equal(ours["loss"], theirs["loss"])
    assert equal(ours.get("average", {}), theirs.get("average", {}))
    assert equal(ours["optimizer"]["state"][0], theirs["optimizer"]["state"][0])


def test_a_finished_training_is_not_repeated(lab: Any) -> None:
    first = lab.train()
    lab.events.clear()
    again = lab.train()
    assert not lab.events
    assert again.model_dump(exclude={"peak_memory_mb"}) == first.model_dump(exclude={"peak_memory_mb"})
    assert again.peak_memory_mb is None


def test_other_settings_start_over_and_say_what_changed(lab: Any) -> None:
    lab.train(identity={"train": {"lr": 1, "epochs": 3}})
    training = lab.train(identity={"train": {"lr": 2, "epochs": 3}})
    assert training.notes == ["started over: last.pt was trained under other settings (train.lr)"]
    assert len([1 for event, _ in lab.events if event == "epoch"]) == 6


@pytest.mark.parametrize("damaged", ["last.pt", "best.pt"])
def test_a_damaged_checkpoint_starts_over_with_a_note(lab: Any, damaged: str) -> None:
    whole = lab.train()
    path = lab.directory / damaged
    path.write_bytes(path.read_bytes()[:200])
    training = lab.train()
    assert len(training.notes) == 1
    assert training.notes[0].startswith("started over: ")
    assert damaged in training.notes[0]
    assert curve(training) == curve(whole)


def test_a_checkpoint_of_another_model_under_the_same_identity_is_refused(lab: Any) -> None:
    lab.train(model="mixing")
    with pytest.raises(CheckpointError, match=r"last\.pt is of another model: 'side\.weight' is missing"):
        lab.train(model="two-heads")


def test_patience_stops_early_and_keeps_the_best(lab: Any) -> None:
    training = lab.train(train={"epochs": 40, "patience": 3, "lr": 0.05})
    assert training.epochs_run < 40
    assert training.best_epoch == training.epochs_run - 3
    assert training.stopped == f"early: 3 validations without a better score than epoch {training.best_epoch}'s"
    lab.events.clear()
    assert lab.train(train={"epochs": 40, "patience": 3, "lr": 0.05}).stopped == training.stopped
    assert not lab.events


def test_without_selection_the_last_epoch_is_the_best(lab: Any) -> None:
    training = lab.train(validate=False, train={"patience": 2})
    assert (training.best_epoch, training.best_score, training.select_on) == (3, None, None)
    assert training.validation_seconds is None
    assert training.notes == ["train.patience has no effect without a validation split (train.select_on)"]
    assert equal(weights(lab.directory, "best.pt"), weights(lab.directory, "last.pt"))


def test_validation_every_n_epochs_and_at_the_last_leaves_the_training_curve_alone(lab: Any, tmp_path: Path) -> None:
    each = lab.train(train={"epochs": 5}, directory=tmp_path / "each")
    some = lab.train(train={"epochs": 5}, eval={"every": 2})
    assert [row.epoch for row in some.history if row.val_miou is not None] == [2, 4, 5]
    assert [row.train_loss for row in some.history] == [row.train_loss for row in each.history]


def test_the_seed_decides_everything(lab: Any, tmp_path: Path) -> None:
    first = lab.train(seed=1, directory=tmp_path / "a")
    again = lab.train(seed=1, directory=tmp_path / "b")
    other = lab.train(seed=2, directory=tmp_path / "c")
    assert curve(first) == curve(again)
    assert curve(first) != curve(other)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_no_number_ends_training_with_epoch_step_and_advice(lab: Any, accumulate: int) -> None:
    # 18 images make 5 batches of 4 (the last of 2), and 5 or 3 optimiser steps per epoch
    epoch, step = ((2, 3), (3, 2))[accumulate - 1]
    with pytest.raises(NonFiniteLossError) as caught:
        lab.train(loss="breaks[at=7]", train={"accumulate": accumulate, "precision": "bf16"})
    assert (caught.value.epoch, caught.value.step) == (epoch, step)
    assert caught.value.message == f"the training loss became not a number in epoch {epoch}, step {step}."
    assert "lower train.lr" in caught.value.advice
    assert "train.precision = off (it was bf16)" in caught.value.advice


def test_growing_images_are_recorded(lab: Any) -> None:
    training = lab.train(train={"epochs": 4, "image_size": "8@0,16@0.5"})
    assert [row.image_size for row in training.history] == [(8, 8), (8, 8), (16, 16), (16, 16)]


def test_every_head_counts_with_its_weight_and_parts_are_logged(lab: Any) -> None:
    training = lab.train(model="two-heads")
    row = training.history[-1]
    assert set(row.loss_parts) == {"logits", "aux"}
    assert sum(row.loss_parts.values()) == pytest.approx(row.train_loss)
    before = open_session(
        lab.job(model="two-heads", directory=lab.directory / "fresh"), ProcessRank(0, 1, "cpu")
    ).network.model.state_dict()
    after = weights(lab.directory)
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"body", "head", "side"}


def test_a_loss_with_parameters_is_trained_and_saved(lab: Any) -> None:
    training = lab.train(loss="tracked")
    saved = read_checkpoint(lab.directory / "last.pt").training["loss"]["temperature"]
    assert float(saved) != 1.0
    assert training.history[-1].loss_parts["size"] == pytest.approx(1e-3 * float(saved) ** 2, rel=0.05)


@pytest.mark.parametrize("train", [{"precision": "bf16"}, {"channels_last": True}, {"clip": None}, {"schedule": "poly"}])
def test_settings_that_change_how_it_is_computed_still_learn(lab: Any, train: dict[str, Any]) -> None:
    training = lab.train(train={"epochs": 6, **train})
    assert training.best_score is not None
    assert training.best_score > 0.9
    assert all(math.isfinite(row.train_loss or math.nan) for row in training.history)


def test_fp16_on_a_cpu_is_refused(lab: Any) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        lab.train(train={"precision": "fp16"})


def test_deterministic_mode_names_what_it_cannot_make_deterministic(lab: Any) -> None:
    training = lab.train(model="unpooling", train={"deterministic": True, "epochs": 1})
    assert training.nondeterministic == ["max_unpooling2d_forward_out"]
    assert not torch.are_deterministic_algorithms_enabled()
    assert lab.train(model="plain", train={"deterministic": True, "epochs": 1}, identity={"other": 1}).nondeterministic == []


def test_pictures_every_n_epochs(lab: Any, tmp_path: Path) -> None:
    lab.train(pictures=tmp_path / "pictures", train={"epochs": 4}, eval={"pictures": 2, "pictures_every": 2})
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"sample-{number}-epoch{epoch:03d}.png" for number in (101, 105) for epoch in (2, 4)]


def test_starting_from_a_checkpoint_across_class_counts(lab: Any, tmp_path: Path) -> None:
    lab.train(directory=tmp_path / "old")
    training = lab.train(classes=2, train={"epochs": 1, "init_from": str(tmp_path / "old" / "best.pt")})
    assert training.notes[1] == "the checkpoint has 3 classes, the task 2: left out and trained afresh: head"


@pytest.mark.slow
def test_a_compiled_network_trains_and_is_saved_under_its_own_names(lab: Any) -> None:
    training = lab.train(train={"compile": True, "epochs": 2})
    assert training.epochs_run == 2
    assert set(weights(lab.directory, "best.pt")) == set(lab.tiny.Net(3, mixing=True).state_dict())
