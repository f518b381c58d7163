from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from segbench.errors import CheckpointError, StoreError
from segbench.networks.checkpoint_meta import CheckpointMeta
from segbench.networks.checkpoints import Checkpoint, differing_keys, load_model_state, read_checkpoint, write_checkpoint
from segbench.networks.load import load_network
from segbench.networks.weights import start_from
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation, Task


def model(classes: int = 3, width: int = 4) -> nn.Module:
    return nn.ModuleDict({"body": nn.Conv2d(3, width, 1), "head": nn.Conv2d(width, classes, 1)})


def described(classes: int = 3, **changed: Any) -> CheckpointMeta:
    task = Task(
        class_names=tuple(f"c{index}" for index in range(classes)), normalisation={"image": Normalisation((0.5,) * 3, (0.25,) * 3, 1 / 255)}
    )
    plan = InputPlan((("image",),), (3,), task.normalisation)
    values = {"model": "net[width=4]", "model_name": "net", "model_options": {"width": 4, "sizes": (1, 2)}, "seed": 0}
    return CheckpointMeta(**{**values, "task": task, "model_task": task, "plan": plan, "image_size": (16, 24), **changed})


def saved(path: Path, network: nn.Module, classes: int = 3) -> Path:
    write_checkpoint(path, Checkpoint(network.state_dict(), described(classes)))
    return path


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    network = model()
    training = {"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.99)}]}}
    write_checkpoint(tmp_path / "deep" / "last.pt", Checkpoint(network.state_dict(), described(), {"size": (1, 2)}, training))
    again = read_checkpoint(tmp_path / "deep" / "last.pt")
    assert again.model_state.keys() == network.state_dict().keys()
    assert torch.equal(again.model_state["body.weight"], network.state_dict()["body.weight"])
    assert again.meta == described(model_options={"width": 4, "sizes": [1, 2]})
    assert again.identity == {"size": [1, 2]}
    assert again.training["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.99)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["last.pt"]


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.pt", model())
    before = path.read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        write_checkpoint(path, Checkpoint(model().state_dict(), training={"x": lambda: None}))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write the checkpoint"):
        write_checkpoint(tmp_path / "file" / "last.pt", Checkpoint({}))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / f".last.pt.{os.getpid()}.unfinished").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="Is the disk full"):
        write_checkpoint(tmp_path / "last.pt", Checkpoint(model().state_dict()))
    assert not (tmp_path / "last.pt").exists()


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"model_state": Payload(marker)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="could run code: refused"):
        read_checkpoint(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "plain.pt")
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))  # the payload is live
    assert marker.exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(model(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"Save its state dict alone"):
        read_checkpoint(tmp_path / "model.pt")


def test_a_text_is_called_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.txt is damaged, or no checkpoint"):
        read_checkpoint(tmp_path / "text.txt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_called_damaged(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path / "last.pt", model())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
        read_checkpoint(path)


def test_flipped_bytes_are_called_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.pt", model())
    with zipfile.ZipFile(path) as archive:
        at = next(info.header_offset for info in archive.infolist() if info.filename.endswith("data.pkl"))
    content = bytearray(path.read_bytes())
    content[at + 80 : at + 120] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_missing_and_foreign_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*none\.pt"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "notes.pt").write_text("not a checkpoint at all")
    with pytest.raises(CheckpointError, match="damaged, or no checkpoint"):
        read_checkpoint(tmp_path / "notes.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="neither a checkpoint of segbench nor a state dict"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({"format": 99, "model_state": {}}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match=r"format 99; this version reads format 1\. Update"):
        read_checkpoint(tmp_path / "new.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"123")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        read_checkpoint(tmp_path / "broken.safetensors")


@pytest.mark.parametrize("name", ["state.pt", "state.safetensors"])
def test_plain_states_start_a_training(tmp_path: Path, name: str) -> None:
    source, target = model(), model()
    if name.endswith("safetensors"):
        safetensors.torch.save_file(source.state_dict(), tmp_path / name)
    else:
        torch.save(source.state_dict(), tmp_path / name)
    assert start_from(tmp_path / name, target, head=("head.",), class_names=("a", "b", "c")) == [f"started from {tmp_path / name}"]
    assert torch.equal(target.state_dict()["head.weight"], source.state_dict()["head.weight"])


@pytest.mark.parametrize("plain", [False, True])
def test_across_class_counts_the_head_keeps_its_fresh_weights_and_is_named(tmp_path: Path, plain: bool) -> None:
    source, target = model(3), model(2)
    fresh = target.state_dict()["head.weight"].clone()
    path = tmp_path / "best.pt"
    if plain:
        torch.save(source.state_dict(), path)
    else:
        saved(path, source, classes=3)
    notes = start_from(path, target, head=("head.",), class_names=("a", "b"))
    assert notes[1].endswith("the task 2: left out and trained afresh: head")
    assert torch.equal(target.state_dict()["body.weight"], source.state_dict()["body.weight"])
    assert torch.equal(target.state_dict()["head.weight"], fresh)


def test_whatever_else_does_not_fit_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt", model(3, width=4))
    with pytest.raises(CheckpointError, match=r"'body\.weight' has shape \(4, 3, 1, 1\) instead of \(5, 3, 1, 1\); 'body\.bias'"):
        start_from(path, model(2, width=5), head=("head.",), class_names=("a", "b"))
    with pytest.raises(CheckpointError, match=r"declares no head.*'head\.weight' has shape"):
        start_from(path, model(2), head=(), class_names=("a", "b"))
    with pytest.raises(CheckpointError, match=r"'1\.weight' is missing; '1\.bias' is missing; 'head\.weight' is not known.* and 1 more"):
        load_model_state(
            nn.ModuleDict({"body": nn.Conv2d(3, 4, 1), "1": nn.Conv2d(1, 1, 1)}), read_checkpoint(path).model_state, source="it"
        )


def test_differing_keys_are_found_at_any_depth() -> None:
    assert differing_keys({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": 1, "d": 3}, "e": 1}) == ["a", "b.d", "e"]


def test_a_network_comes_back_from_its_checkpoint_alone(lab: Any) -> None:
    lab.train(model="two-heads")
    loaded = load_network(lab.directory / "best.pt", lab.catalog)
    job = lab.job(model="two-heads")
    assert (loaded.task, loaded.model_task, loaded.plan) == (job.task, job.model_task, job.plan)
    assert loaded.meta.image_size == (16, 16)
    assert not loaded.network.training
    state = read_checkpoint(lab.directory / "best.pt").model_state
    assert torch.equal(loaded.network.model.state_dict()["head.weight"], state["head.weight"])
    assert not read_checkpoint(lab.directory / "best.pt").training


def test_a_checkpoint_whose_model_is_not_installed_says_which(lab: Any, tmp_path: Path) -> None:
    lab.train(model="plain")
    checkpoint = read_checkpoint(lab.directory / "best.pt")
    assert checkpoint.meta is not None
    write_checkpoint(tmp_path / "other.pt", Checkpoint(checkpoint.model_state, replace(checkpoint.meta, model_name="plane")))
    with pytest.raises(CheckpointError, match="Did you mean 'plain'"):
        load_network(tmp_path / "other.pt", lab.catalog)
    torch.save(dict(checkpoint.model_state), tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="does not say which model"):
        load_network(tmp_path / "state.pt", lab.catalog)
