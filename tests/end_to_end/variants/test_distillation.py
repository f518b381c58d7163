from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segbench import LossBatch, Progress
from segbench.networks.losses import build_loss
from segbench.networks.network import Network
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import ModelSpec, Normalisation
from segbench.training.teacher import Teacher
from segbench_plugins.variants.distillation import soft_divergence

INLINE = ["execute.where=inline"]
START = Progress(0, 1, 0, 1)


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits, taught = torch.randn(2, 3, 5, 4, generator=generator), torch.randn(2, 3, 5, 4, generator=generator)
    mask = torch.randint(0, 3, (2, 5, 4), generator=generator)
    mask[0, :2] = 255
    return logits, taught, mask


def by_hand(logits: torch.Tensor, taught: torch.Tensor, mask: torch.Tensor, temperature: float) -> float:
    """Pixel by pixel in float64."""
    values = []
    for n, y, x in np.argwhere(mask.numpy() != 255):
        p, q = (np.exp(given[n, :, y, x].double().numpy() / temperature) for given in (taught, logits))
        p, q = p / p.sum(), q / q.sum()
        values.append(float((p * np.log(p / q)).sum()))
    return temperature**2 * sum(values) / len(values)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_that_of_the_formula(temperature: float) -> None:
    logits, taught, mask = scene()
    found = soft_divergence(logits, taught, mask != 255, temperature=temperature)
    assert found.item() == pytest.approx(by_hand(logits, taught, mask, temperature), rel=1e-5)


def test_ignored_pixels_do_not_count_whatever_they_hold() -> None:
    logits, taught, mask = scene()
    expected = soft_divergence(logits, taught, mask != 255, temperature=2.0)
    logits[0, :, :2], taught[0, :, :2] = torch.nan, torch.inf
    assert torch.equal(soft_divergence(logits, taught, mask != 255, temperature=2.0), expected)
    assert soft_divergence(logits, taught, mask == 7, temperature=2.0) == 0


def test_the_loss_is_shared_between_labels_and_teacher(mishaps: Catalog) -> None:
    logits, taught, mask = scene()
    batch = LossBatch((torch.zeros(2, 3, 5, 4),), mask)
    from segbench.plugin.specs import Task

    task = Task(class_names=("a", "b", "c"))
    device = torch.device("cpu")
    plain = build_loss(mishaps.loss("ce"), task, aux_weights={"aux": 0.4}, seed=0, device=device)
    chosen = mishaps.loss("distill[loss=ce,weight=0.25,temperature=3]")
    loss = build_loss(chosen, task, aux_weights={"aux": 0.4}, seed=0, device=device, teacher=lambda inputs, size: taught)
    outputs = {"logits": logits.requires_grad_(), "aux": logits.detach() * 2}
    value = loss(outputs, batch, START)
    expected = 0.75 * plain(outputs, batch, START).total.item() + 0.25 * by_hand(logits.detach(), taught, mask, 3.0)
    assert value.total.item() == pytest.approx(expected, rel=1e-5)
    assert set(value.parts) == {"labels", "teacher"}
    assert loss.plain(outputs, batch, START).total.item() == pytest.approx(plain(outputs, batch, START).total.item())
    value.total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_a_wrapped_loss_keeps_its_preparation_and_its_refusals(mishaps: Catalog) -> None:
    chosen = mishaps.loss("distill[loss=bce-dice,teacher=x]")
    from segbench.plugin.specs import Task, resolve

    assert chosen.spec.check is not None
    problems = resolve(chosen.spec.check)(Task(class_names=("a", "b", "c")), chosen.options)
    assert len(problems) == 1
    assert problems[0].startswith("bce-dice: ")


def test_a_teacher_gets_its_own_normalisation_and_is_not_trained() -> None:
    own, student = Normalisation((0.2, 0.4), (0.5, 2.0), 1 / 255), Normalisation((10.0, 0.0), (5.0, 1.0), 1.0)
    plans = [InputPlan((("image",),), (2,), {"image": norm}) for norm in (own, student)]

    class Echo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * self.factor

    network = Network(Echo(), ModelSpec(name="echo", summary="-", build="-"), 2)
    teacher = Teacher(network, own=plans[0], student=plans[1], device="cpu")
    stored = torch.tensor([100.0, 7.0]).view(1, 2, 1, 1)
    seen = (stored - torch.tensor([10.0, 0.0]).view(1, 2, 1, 1)) / torch.tensor([5.0, 1.0]).view(1, 2, 1, 1)
    found = teacher((seen,), (1, 1))
    expected = (stored / 255 - torch.tensor([0.2, 0.4]).view(1, 2, 1, 1)) / torch.tensor([0.5, 2.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert not any(p.requires_grad for p in network.parameters())
    same = Teacher(network, own=plans[0], student=plans[0], device="cpu")
    assert torch.equal(same((seen,), (1, 1)), seen)


def test_students_of_a_run_learn_from_a_model_of_it(bench: Any) -> None:
    run = bench.run(models="dot,dot[width=8]", teacher="dot[width=8]", teacher_weight="0.7", sets=INLINE)
    teacher, student = run.cells
    assert (teacher.model, teacher.loss, teacher.kind, teacher.needs) == ("dot[width=8]", "ce", "train", [])
    assert (student.model, student.kind, student.needs, student.status) == ("dot", "distill", [teacher.id], "ok")
    assert student.loss == "distill[loss=ce,teacher=dot[width=8],weight=0.7]".replace("dot[width=8]", '"dot[width=8]"')
    assert "distilled from dot[width=8] (temperature 4, weight 0.7)" in student.notes
    assert student.training is not None
    assert set(student.training.history[0].loss_parts) == {"labels", "teacher"}
    assert student.params == 4 * 3 * 9 + 4 + 2 * 4 + 2, "the teacher is not part of it"
    assert "distilled from" in (bench.directory / "report.md").read_text()
    bench.run(models="dot,dot[width=8]", teacher="dot[width=8]", teacher_weight="0.7", sets=INLINE)
    assert bench.heard.stages == {}


def test_another_teacher_means_another_training(bench: Any, tmp_path: Path) -> None:
    bench.run(models="dot", sets=INLINE)
    (cell,) = (bench.directory / "checkpoints").iterdir()
    teacher = tmp_path / "teacher.pt"
    teacher.write_bytes((cell / "best.pt").read_bytes())

    def learn() -> Any:
        return bench.run(models="dot[width=2]", teacher=str(teacher), out=str(tmp_path / "students"), sets=INLINE)

    assert [row.status for row in learn().cells] == ["ok"]
    learn()
    assert bench.heard.stages == {}
    bench.run(models="dot", seeds="1", sets=INLINE)
    (other,) = (path for path in (bench.directory / "checkpoints").iterdir() if path != cell)
    teacher.write_bytes((other / "best.pt").read_bytes())
    learn()
    assert list(bench.heard.stages.values()) == [("profile", "train", "evaluate")]
    assert "made from" in next(iter(bench.heard.reasons.values()))


def test_a_teacher_may_be_named_by_run_and_cell(bench: Any, tmp_path: Path) -> None:
    (cell,) = bench.run(models="dot", sets=INLINE).cells
    where = {"out": str(tmp_path / "students"), "teacher": f"{bench.directory}/{cell.id}", "sets": INLINE}
    (student,) = bench.run(models="dot[width=2]", **where).cells
    assert (student.status, student.kind, student.needs) == ("ok", "distill", [])
    # the same text within the run that has the cell is that cell
    own = bench.run(models="dot,dot[width=2]", losses=f'ce,distill[teacher="{bench.directory}/{cell.id}"]', sets=INLINE)
    assert {row.id: row.needs for row in own.cells if row.kind == "distill"}
    assert all(row.needs == [cell.id] for row in own.cells if row.kind == "distill")


def test_what_cannot_teach_is_refused_before_anything_runs(segbench: Any, bench: Any, tmp_path: Path) -> None:
    (cell,) = bench.run(models="dot", sets=INLINE).cells
    common = ("--recipe", "tiny", "--device", "cpu", "--out", str(tmp_path / "no"), "--models", "dot")

    def said(*arguments: str) -> str:
        answer = segbench("run", "--dataset", "dots", *common, *arguments)
        assert answer.code == 2, answer.out
        assert not (tmp_path / "no").exists()
        return str(answer.err)

    shapes = segbench("run", "--dataset", "shapes", *common, "--teacher", f"{bench.directory}/{cell.id}")
    assert shapes.code == 2
    assert "was trained for another task: 2 classes, this dataset has 5" in shapes.err or "was trained for another task" in shapes.err
    assert "has no trained cell 'dot--ce--tiny--s1'. Did you mean 'dot--ce--tiny--s0'?" in said(
        "--teacher", f"{bench.directory}/dot--ce--tiny--s1"
    )
    assert "is neither a checkpoint nor RUN/CELL" in said("--teacher", "nowhere/at-all")
    assert "there is no such model in this run" in said("--teacher", "deeplab-original")
    assert "distill needs a teacher" in said("--losses", "distill")
    assert "expected a number above 0" in said("--teacher", "dot", "--teacher-temperature", "0")
    assert "expected a number from 0 to 1" in said("--teacher", "dot", "--teacher-weight", "2")
    assert "Add ce to --losses" in said("--losses", "distill[teacher=dot]")
    (tmp_path / "no.pt").write_text("no checkpoint")
    assert "is no checkpoint of segbench" in said("--teacher", str(tmp_path / "no.pt"))
