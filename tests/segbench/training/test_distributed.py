"""Two processes on one machine. Starting one takes as long as importing torch, so few tests do it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.errors import ConfigError, DeviceError
from segbench.measure.quality.evaluate import evaluate
from segbench.networks.checkpoints import read_checkpoint
from segbench.networks.load import load_network
from segbench.training.distributed import run_in_processes
from segbench.util.distributed import ProcessRank, total


def test_one_process_needs_no_group() -> None:
    found = run_in_processes(lambda job, process, emit: (job, process), 3, lambda *_: None, world_size=1, device="cpu")
    assert found == (3, ProcessRank(0, 1, "cpu"))
    assert total(torch.tensor(4), ProcessRank(0, 1, "cpu")).item() == 4


def test_more_gpus_than_there_are_is_an_error_before_anything_starts() -> None:
    with pytest.raises(DeviceError, match=r"execute\.devices = 64, but this machine has \d+ CUDA devices"):
        run_in_processes(lambda *_: None, 0, lambda *_: None, world_size=64, device="cuda")


def test_torchruns_number_of_processes_must_be_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"torchrun started 3 processes, but execute\.devices is 2"):
        run_in_processes(lambda *_: None, 0, lambda *_: None, world_size=2, device="cpu")


def test_two_processes_share_gradients_statistics_and_sums(tiny: Any) -> None:
    events: list[Mapping[str, Any]] = []
    threads = torch.get_num_threads()
    found = run_in_processes(tiny.record_gradients, None, lambda _, fields: events.append(fields), world_size=2, device="cpu")
    assert torch.equal(found["weights"][0], found["weights"][1])
    assert found["gradient"].tolist() == [[0.5, 0.5]]
    assert found["idle"] is None, "a parameter without a gradient anywhere keeps none"
    assert found["single"].tolist() == [0.5]
    assert found["mean"].tolist() == [0.5]
    assert found["sum"] == [2, 1]
    assert events == [{"rank": 0}], "only the first process speaks"
    assert torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("work", "message"), [("fail_in_second", "the second"), ("hang_in_second", "the first")])
def test_a_failure_in_any_process_is_raised_and_ends_the_others(tiny: Any, work: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message} process has had enough"):
        run_in_processes(getattr(tiny, work), None, lambda *_: None, world_size=2, device="cpu")


def test_two_processes_train_as_one_with_twice_the_batch_and_score_the_same(lab: Any, tmp_path: Path) -> None:
    """A network whose images do not meet: two processes of 4 see the same 8 images, with uneven ignored pixels."""
    how: dict[str, Any] = {"model": "two-heads", "loss": "tracked", "count": 36}
    common = {"accumulate": 2, "ema": 0.9, "sampler": "balanced"}
    one = lab.train(**how, train={"batch_size": 8, **common}, directory=tmp_path / "one")
    lab.events.clear()
    two = lab.train(**how, train={"batch_size": 4, **common}, execute={"devices": 2}, directory=tmp_path / "two")
    assert two.world_size == 2
    assert [fields["epoch"] for event, fields in lab.events if event == "epoch"] == [1, 2, 3]
    for a, b in zip(one.history, two.history, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, rel=1e-4)
        assert b.val_loss == pytest.approx(a.val_loss, rel=1e-4)
        assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-4)
        assert b.train_miou == pytest.approx(a.train_miou, abs=0.01)
    states = [read_checkpoint(tmp_path / name / "last.pt") for name in ("one", "two")]
    for name, value in states[0].model_state.items():
        torch.testing.assert_close(states[1].model_state[name], value, rtol=1e-3, atol=1e-5)
    # the validation of the second process's checkpoint, by both of them and by one
    assert two.best_epoch is not None
    loaded = load_network(tmp_path / "two" / "best.pt", lab.catalog)
    job = lab.job(**how, train={"batch_size": 4})
    how_scored: dict[str, Any] = {"task": job.task, "plan": job.plan, "settings": job.settings, "device": "cpu", "detailed": True}
    alone = evaluate(loaded.network, job.val_samples, **how_scored)
    shared = run_in_processes(lab.tiny.evaluate_shared, (tmp_path / "two" / "best.pt", job), lambda *_: None, world_size=2, device="cpu")
    for name in ("matrices", "boundary", "boundary_uncut", "calibration"):
        assert (getattr(shared, name) == getattr(alone, name)).all()
    assert shared.ids == alone.ids
    assert set(shared.predictions) == {0, 5}


@pytest.mark.slow
def test_torchrun_may_start_the_processes(tmp_path: Path) -> None:
    plugin = Path(__file__).parents[2] / "plugins_under_test"
    script = tmp_path / "script.py"
    script.write_text(
        "import segbench_tiny as tiny\n"
        "from segbench.training.distributed import run_in_processes\n"
        "found = run_in_processes(tiny.record_gradients, None, print, world_size=2, device='cpu')\n"
        "assert found['sum'] == [2, 1]\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, "PYTHONPATH": str(plugin), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "rank {'rank': 0}"
