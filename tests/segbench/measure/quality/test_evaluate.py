from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.config.settings import Settings
from segbench.measure.quality.boundary import boundary_counts
from segbench.measure.quality.calibration import confidence_sums
from segbench.measure.quality.evaluate import Evaluation, evaluate
from segbench.networks.losses import build_loss
from segbench.networks.network import Network, build_network
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import ModelSpec, Normalisation, Sample, Task

TASK = Task(class_names=("a", "b", "c"), normalisation={"image": Normalisation((0.0,) * 3, (1.0,) * 3, 1 / 255)})
PLAN = InputPlan((("image",),), (3,), TASK.normalisation)


class Given(nn.Module):
    """Its logits are the image: the brightest channel is the class. In training mode it is wrong everywhere."""

    def forward(self, image: Tensor) -> Tensor:
        return -image if self.training else image


def network(model: nn.Module) -> Network:
    return Network(model, ModelSpec(name="given", summary="-", build="-"), 3)


def uneven(count: int = 9) -> list[Sample]:
    """Images of several sizes with random labels, some ignored."""
    samples = []
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        size = ((12, 16), (16, 12), (21, 9))[index % 3]
        image = torch.randint(0, 256, (3, *size), generator=generator).to(torch.uint8)
        mask = torch.randint(0, 4, size, generator=generator)
        mask[mask == 3] = 255
        samples.append(Sample({"image": image}, mask, f"image-{index}"))
    return samples


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"train": {"image_size": 16}, "eval": {"resize": "none"}, **sections})


def run(samples: Sequence[Sample], model: nn.Module | None = None, chosen: Settings | None = None, **more: Any) -> Evaluation:
    made = network(model or Given().train())
    return evaluate(made, samples, task=TASK, plan=PLAN, settings=chosen or settings(), device="cpu", **more)


def counted(prediction: Tensor, mask: Tensor) -> np.ndarray[Any, Any]:
    """Pixel by pixel."""
    matrix = np.zeros((3, 3), dtype=np.int64)
    for label, predicted in zip(mask.flatten().tolist(), prediction.flatten().tolist(), strict=True):
        if label != 255:
            matrix[label, predicted] += 1
    return matrix


def test_matrices_of_given_predictions_are_exact_and_in_the_order_of_the_split() -> None:
    samples = uneven()
    model = Given().train()
    found = run(samples, model, want_pictures=(4, 7))
    assert found.ids == tuple(sample.id for sample in samples)
    assert found.matrices.dtype == np.int64
    for sample, matrix in zip(samples, found.matrices, strict=True):
        assert (matrix == counted(sample.inputs["image"].argmax(0), sample.mask)).all()
    assert set(found.predictions) == {4, 7}
    assert found.predictions[4].dtype == torch.uint8
    values = samples[4].inputs["image"]
    assert torch.equal(values.gather(0, found.predictions[4].long()[None])[0], values.max(0).values)
    assert model.training, "the network's mode is put back"
    assert found.loss is None


def test_logits_are_resized_to_the_label_and_labels_never_are() -> None:
    sample = uneven(1)[0]
    for size, resize in (((8, 24), "warp"), ((6, 8), "keep-aspect")):
        chosen = settings(eval={"image_size": f"{size[0]}x{size[1]}", "resize": resize})
        inputs: list[Tensor] = []

        class Spy(Given):
            def forward(self, image: Tensor) -> Tensor:
                inputs.append(image)  # noqa: B023
                return functional.avg_pool2d(image, 2)

        found = run([sample], Spy(), chosen)
        assert inputs[0].shape[-2:] == size
        logits = functional.interpolate(functional.avg_pool2d(inputs[0], 2), size=sample.mask.shape, mode="bilinear")
        assert (found.matrices[0] == counted(logits.argmax(1)[0], sample.mask)).all()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batch_size_does_not_matter(lab: Any, batch_size: int) -> None:
    job = lab.job()
    trained = build_network(job.model.spec, job.model_task, job.model.options, seed=3)
    samples = [*lab.tiny.Samples(7), *lab.tiny.Samples(4, first=40, size=24), *lab.tiny.Samples(4, first=50)]

    def matrices(size: int, order: Sequence[int]) -> np.ndarray[Any, Any]:
        chosen = lab.settings(eval={"batch_size": size})
        found = evaluate(trained, [samples[i] for i in order], task=job.task, plan=job.plan, settings=chosen, device="cpu")
        return found.matrices

    reference = matrices(3, range(15))
    order = torch.randperm(15, generator=torch.Generator().manual_seed(batch_size)).tolist()
    assert (matrices(batch_size, order) == reference[order]).all()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_through_a_network_of_real_size_at_most_one_pixel_in_ten_thousand_moves(lab: Any, batch_size: int) -> None:
    """Convolutions may add in another order for another batch; a pixel between two classes may then fall to the other side."""
    job = lab.job()
    layers = [
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 3, 1),
    ]
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    samples = [*lab.tiny.Samples(6, size=64), *lab.tiny.Samples(3, first=40, size=48)]

    def predictions(size: int, order: Sequence[int]) -> dict[int, Tensor]:
        chosen = lab.settings(eval={"batch_size": size}, train={"image_size": 64})
        made = network(model)
        found = evaluate(
            made, [samples[i] for i in order], task=job.task, plan=job.plan, settings=chosen, device="cpu", want_pictures=range(9)
        )
        return {index: found.predictions[place] for place, index in enumerate(order)}

    reference = predictions(9, range(9))
    other = predictions(batch_size, torch.randperm(9, generator=torch.Generator().manual_seed(batch_size)).tolist())
    moved = sum(int((other[i] != reference[i]).sum()) for i in range(9))
    assert moved <= 1e-4 * sum(reference[i].numel() for i in range(9))


def test_boundaries_and_calibration_are_those_of_each_image_alone() -> None:
    samples = uneven()
    together = run(samples, detailed=True, chosen=settings(eval={"resize": "none", "batch_size": 4}))
    assert together.boundary is not None
    assert together.boundary_uncut is not None
    assert together.calibration is not None
    for index, sample in enumerate(samples):
        logits = sample.inputs["image"].float() / 255
        prediction = logits.argmax(0)
        edges = boundary_counts(prediction, sample.mask, num_classes=3, ignore_index=255)
        sure = confidence_sums(logits.softmax(0).max(0).values, prediction, sample.mask, ignore_index=255)
        uncut = boundary_counts(prediction, sample.mask, num_classes=3, ignore_index=255, cut=False)
        assert (together.boundary[index] == edges.numpy()).all()
        assert (together.boundary_uncut[index] == uncut.numpy()).all()
        assert (together.calibration[index, :2] == sure.numpy()[:2]).all()
        assert together.calibration[index, 2] == pytest.approx(sure.numpy()[2], rel=1e-6)
    order = list(range(8, -1, -1))
    turned = run([samples[i] for i in order], detailed=True, chosen=settings(eval={"resize": "none", "batch_size": 2}))
    assert turned.boundary is not None
    assert turned.calibration is not None
    assert (turned.boundary == together.boundary[order]).all()
    assert (turned.calibration == together.calibration[order]).all()


def test_boundaries_of_predictions_are_counted_cut_and_uncut() -> None:
    """All of one class, ignored from column 10 on: uncut, the prediction has no outline at column 9, where the label has one."""
    mask = torch.zeros(20, 20, dtype=torch.long)
    mask[:, 10:] = 255
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    image[0] = 200
    found = run([Sample({"image": image}, mask, "half")], detailed=True)
    assert found.boundary is not None
    assert found.boundary_uncut is not None
    assert found.boundary[0, :, 0].tolist() == [56, 56]
    assert found.boundary_uncut[0, :, 0].tolist() == [56 - 18, 56]


def test_what_was_not_asked_for_is_not_measured() -> None:
    plain = run(uneven(2))
    off = run(uneven(2), detailed=True, chosen=settings(eval={"resize": "none", "boundary": False, "calibration": False}))
    assert (plain.boundary, plain.boundary_uncut, plain.calibration) == (None, None, None)
    assert (off.boundary, off.boundary_uncut, off.calibration) == (None, None, None)


def test_tiles_give_what_one_pass_gives_where_the_network_looks_at_single_pixels() -> None:
    samples = uneven()
    whole, tiled = run(samples), run(samples, chosen=settings(eval={"resize": "none", "tile": 8, "overlap": 0.5}))
    assert (whole.matrices == tiled.matrices).all()


def test_the_loss_is_the_mean_over_valid_pixels_of_the_split(lab: Any) -> None:
    samples = uneven()
    samples[2].mask.fill_(255)
    loss = build_loss(lab.catalog.loss("mean-ce"), TASK, aux_weights={}, seed=0, device=torch.device("cpu"))
    found = run(samples, loss=loss, chosen=settings(eval={"resize": "none", "batch_size": 4}))
    total = pixels = 0.0
    for sample in samples:
        logits = sample.inputs["image"][None].float() / 255
        total += float(functional.cross_entropy(logits, sample.mask[None], ignore_index=255, reduction="sum"))
        pixels += float((sample.mask != 255).sum())
    assert found.loss == pytest.approx(total / pixels, rel=1e-5)


def test_evaluation_is_float32_whatever_training_ran_in() -> None:
    dtypes = []

    class Spy(Given):
        def forward(self, image: Tensor) -> Tensor:
            dtypes.append(functional.conv2d(image, torch.ones(3, 3, 1, 1)).dtype)
            return image

    run(uneven(2), Spy(), settings(train={"image_size": 16, "precision": "bf16"}))
    assert set(dtypes) == {torch.float32}
