"""Frozen parts and the moving average of weights, in whole trainings of a tiny network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from segbench.errors import ConfigError
from segbench.networks.checkpoints import read_checkpoint
from segbench.training.session import open_session
from segbench.util.distributed import ProcessRank


def session(lab: Any, **train: Any) -> Any:
    return open_session(lab.job(train=train), ProcessRank(0, 1, "cpu"))


def state(lab: Any, name: str) -> dict[str, Tensor]:
    return dict(read_checkpoint(lab.directory / name).model_state)


def test_a_frozen_part_keeps_weights_and_statistics_and_the_rest_learns(lab: Any) -> None:
    fresh = {name: value.clone() for name, value in session(lab).network.model.state_dict().items()}
    training = lab.train(train={"epochs": 1, "freeze": "encoder"})
    moved = {name for name, value in state(lab, "last.pt").items() if not torch.equal(value, fresh[name])}
    assert moved == {"head.weight", "head.bias"}
    assert (training.trainable_params, training.optimizer) == (8 * 3 + 3, "AdamW")


def test_a_single_module_is_held_in_eval_mode_while_its_neighbours_train(lab: Any) -> None:
    made = session(lab, freeze="body.1")
    made.start_training()
    body = made.network.model.body
    assert [module.training for module in (body, body[0], body[1], body[3])] == [True, True, False, True]
    assert [parameter.requires_grad for parameter in body.parameters()] == [True, True, False, False]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("bodi", "no part or module 'bodi' with parameters. Did you mean 'body'"),
        ("body.2", "'body.2'"),
        ("encoder,head", "leaves no parameter"),
    ],
)
def test_names_that_freeze_nothing_or_all_are_refused(lab: Any, names: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session(lab, freeze=names)


def test_the_average_follows_the_weights_by_the_stated_decay(lab: Any) -> None:
    made = session(lab, ema=0.6)
    live, averaged = made.network.model, made.result.model
    assert averaged is not live
    seen = []
    for step, value in enumerate((1.0, 2.0, 4.0, 8.0, 8.0), start=1):
        with torch.no_grad():
            live.head.bias.fill_(value)
            live.body[1].running_mean.fill_(value)
            live.body[1].num_batches_tracked.fill_(step)
        made.update_average(step)
        seen.append(float(averaged.head.bias[0]))
    # decays: 0, 1 - 2 ** (-2/3) = 0.37004, 1 - 3 ** (-2/3) = 0.51925, then 0.6 (1 - 4 ** (-2/3) = 0.60315)
    second = 0.37004 * 1 + 0.62996 * 2
    third = 0.51925 * second + 0.48075 * 4
    fourth = 0.6 * third + 0.4 * 8
    assert seen == pytest.approx([1.0, second, third, fourth, 0.6 * fourth + 0.4 * 8], abs=1e-4)
    assert float(averaged.body[1].running_mean[0]) == pytest.approx(seen[-1]), "running statistics are averaged as the weights are"
    assert int(averaged.body[1].num_batches_tracked) == 5, "counters are copied"


def test_the_average_is_validated_and_kept_and_the_weights_go_on(lab: Any) -> None:
    training = lab.train(train={"epochs": 1, "ema": 0.99, "lr": 0.2}, validate=True)
    kept, last = state(lab, "best.pt"), read_checkpoint(lab.directory / "last.pt")
    assert all(torch.equal(kept[name], value) for name, value in last.training["average"].items())
    assert not torch.equal(kept["head.weight"], last.model_state["head.weight"])
    made = session(lab)
    made.network.model.load_state_dict(kept)
    from segbench.measure.quality.evaluate import evaluate
    from segbench.measure.quality.scores import score

    job = made.job
    done = evaluate(made.network, job.val_samples, task=job.task, plan=job.plan, settings=job.settings, device="cpu")
    assert score(done.matrices, class_names=job.task.class_names, split="").miou == training.history[0].val_miou
