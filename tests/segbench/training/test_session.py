from __future__ import annotations

from typing import Any

from segbench.networks.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from segbench.results.records import Epoch
from segbench.training.schedules import Plateau, Stopping
from segbench.training.session import State


def test_everything_that_a_training_remembers_survives_its_checkpoint(lab: Any) -> None:
    state = State(
        Stopping(patience=4, best_epoch=2, best_score=0.5, waited=1),
        Plateau(factor=0.25, best=0.5, waited=2),
        epochs_done=3,
        steps_done=15,
        history=[Epoch(epoch=3, train_loss=0.1, loss_parts={"a": 0.1}, image_size=(8, 16), val_miou=0.1 + 0.2)],
        seconds=1.5,
        validation_seconds=0.5,
        stopped="early",
        notes=["a note"],
        nondeterministic=["an_op"],
    )
    write_checkpoint(lab.directory / "last.pt", Checkpoint({}, training={"state": state.to_dict()}))
    assert State.from_dict(read_checkpoint(lab.directory / "last.pt").training["state"]) == state
