from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.config.run_config import load_config
from segbench.config.settings import Settings
from segbench.errors import ConfigError
from segbench.execution.plan.fingerprints import eval_ingredients
from segbench.measure.quality.augmentation import augmented_logits, is_augmented
from segbench.measure.quality.evaluate import Evaluation, evaluate
from segbench.networks.network import Network
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import ModelSpec, Normalisation, Sample, Task

TASK = Task(class_names=("a", "b", "c"), normalisation={"image": Normalisation((0.0,) * 3, (1.0,) * 3, 1 / 255)})
PLAN = InputPlan((("image",),), (3,), TASK.normalisation)


class Directed(nn.Module):
    """Looks to the left only, so that mirror images differ."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(tuple(image.shape))
        return 6 * image - 5 * functional.pad(image, (1, 0))[..., :-1]


def samples() -> list[Sample]:
    made = []
    for index in range(3):
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 12, 16), generator=generator).to(torch.uint8)
        made.append(Sample({"image": image}, torch.randint(0, 3, (12, 16), generator=generator), f"image-{index}"))
    return made


def scored(model: nn.Module, given: list[Sample], **settings: Any) -> Evaluation:
    chosen = Settings.model_validate({"train": {"image_size": 16}, "eval": {"resize": "none", **settings}})
    network = Network(model, ModelSpec(name="given", summary="-", build="-"), 3)
    everything = range(len(given))
    return evaluate(network, given, task=TASK, plan=PLAN, settings=chosen, device="cpu", want_pictures=everything)


def test_probabilities_of_image_and_mirror_image_are_averaged() -> None:
    model, given = Directed(), samples()
    done = scored(model, given, flip=True)
    for index, sample in enumerate(given):
        image = sample.inputs["image"][None].float() / 255
        mirrored = model(image.flip(-1)).softmax(1).flip(-1)
        expected = ((model(image).softmax(1) + mirrored) / 2).argmax(1)[0]
        assert torch.equal(done.predictions[index].long(), expected)
    assert not all(torch.equal(done.predictions[i], scored(model, given).predictions[i]) for i in range(3))


def test_scales_are_looked_at_beside_the_image_itself() -> None:
    model = Directed()
    scored(model, samples()[:1], scales=(0.5, 1.0, 2.0), flip=True)
    assert sorted(set(model.seen)) == [(1, 3, 6, 8), (1, 3, 12, 16), (1, 3, 24, 32)]
    assert len(model.seen) == 6


def test_the_mean_is_of_probabilities_and_not_of_logits() -> None:
    views = iter([torch.tensor([10.0, 0.0]), torch.tensor([-1.0, 1.0])])
    image = torch.zeros(1, 1, 1, 1)
    mean = augmented_logits(lambda x: next(views).view(1, 2, 1, 1), (image,), [(1, 1)], flip=True, scales=(1.0,)).exp().flatten()
    expected = (torch.tensor([10.0, 0.0]).softmax(0) + torch.tensor([-1.0, 1.0]).softmax(0)) / 2
    torch.testing.assert_close(mean, expected)


def test_padding_stays_where_it_is_in_a_mirror_image() -> None:
    image = torch.tensor([[[[1.0, 2.0, 3.0, 0.0]]]])
    seen: list[Tensor] = []

    def predict(inputs: tuple[Tensor, ...]) -> Tensor:
        seen.append(inputs[0])
        return torch.cat([inputs[0], torch.zeros_like(inputs[0])], dim=1)

    found = augmented_logits(predict, (image,), [(1, 3)], flip=True, scales=(1.0,))
    assert seen[1].flatten().tolist() == [3.0, 2.0, 1.0, 0.0]
    plain = predict((image,)).softmax(1).log()
    torch.testing.assert_close(found, plain)


def test_a_mirror_image_does_not_change_what_has_no_direction() -> None:
    class Symmetric(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image

    plain, mirrored = scored(Symmetric(), samples()), scored(Symmetric(), samples(), flip=True)
    assert (plain.matrices == mirrored.matrices).all()


def test_without_augmentation_an_evaluation_is_the_one_it_was() -> None:
    plain, flipped = Settings(), Settings.model_validate({"eval": {"flip": True}})
    assert not {"flip", "scales"} & set(eval_ingredients(plain))
    assert eval_ingredients(flipped) == {**eval_ingredients(plain), "flip": True}
    assert not is_augmented(plain.eval)
    assert is_augmented(flipped.eval)


@pytest.mark.parametrize("given", ["0", "(1,1)", "(0.5,-1)", "()", "(0.5,large)"])
def test_scales_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"eval\.scales"):
        load_config(sets=[f"eval.scales={given}"])


def test_scales_are_read_as_a_list_or_as_one() -> None:
    def read(text: str) -> tuple[float, ...]:
        scales: tuple[float, ...] = Settings.model_validate(load_config(sets=[f"eval.scales={text}"]).overrides).eval.scales
        return scales

    assert read("(0.75,1,1.25)") == (0.75, 1.0, 1.25)
    assert read("1.5") == (1.5,)


def test_the_report_says_what_was_averaged_and_that_latency_is_of_one_pass() -> None:
    from segbench.results.records import CellResult, RunResult
    from segbench_reports.sections.protocol import protocol

    def shown(**evaluation: Any) -> str:
        return protocol(RunResult(cells=[CellResult(id="a", model="m", resolved={"eval": {"resize": "warp", **evaluation}})]))

    assert "mean probabilities over the mirror image and scales 0.75, 1, 1.25: 6 passes per image; latency is of one" in shown(
        flip=True, scales=[0.75, 1.0, 1.25]
    )
    assert "test-time" not in shown(flip=False, scales=[1.0])
    assert "test-time" not in shown()
