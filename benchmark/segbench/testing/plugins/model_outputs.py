"""Rules on where a model's logits lie in the image, what kind of numbers they are, and what running the model leaves behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segbench.networks.foreign import collected_remarks
from segbench.networks.network import Network, resize_logits
from segbench.plugin.input_sizes import network_size, trial_size
from segbench.testing.check import during, fail
from segbench.testing.plugins.model_subject import ModelSubject

_DOTS = 6
"""Places of the dot along each axis."""

_DOT_SIDE = 64
_LEAST_STRETCH = 0.05
_ERRORS = 4.0


def process_is_left_alone(subject: ModelSubject) -> None:
    """``build`` and ``forward`` leave seeds, threads, default dtype and other settings of the process as they are."""
    with collected_remarks() as remarks, torch.random.fork_rng(devices=[]):
        network = subject.build()
        for training in (True, False):
            network.train(training)
            for _ in range(2):
                with torch.no_grad(), during(f"forward in {'training' if training else 'eval'} mode at batch 2"):
                    network(*subject.inputs(subject.size, batch=2))
    faults = [text for text in remarks if "in place" not in text]
    if faults:
        fail(f"{'; '.join(faults)}. Leave to segbench what is of the whole process: it puts this back, and says so in each row")


def logits_are_scores(subject: ModelSubject) -> None:
    """Logits are raw scores, not probabilities: losses and calibration apply softmax themselves."""
    network = subject.lived_in()
    loud = tuple(10 * x for x in subject.inputs(subject.size, batch=2))
    with torch.no_grad(), during("forward in eval mode"):
        logits = network(*loud)["logits"].float()
    if float(logits.min()) < 0 or float(logits.max()) > 1 or float(logits.std()) == 0:
        return
    if float((logits.sum(1) - 1).abs().max()) < 1e-3:
        fail("logits lie in 0..1 and sum to 1 over the classes: forward ends in softmax. Return what goes into it")
    fail("all logits lie in 0..1, also for inputs of ten times the deviation: forward ends in sigmoid. Return what goes into it")


def logits_lie_where_the_image_does(subject: ModelSubject) -> None:
    """A dot that moves in the image moves as far in the logits."""
    network = subject.lived_in()
    size = subject.tried or trial_size(subject.spec, (_DOT_SIDE, _DOT_SIDE))
    image = subject.inputs(size)
    for axis, length in enumerate(size):
        places = [round(length * (0.2 + 0.6 * step / (_DOTS - 1))) for step in range(_DOTS)]
        slope, error = _slope(places, _seen_at(network, image, axis, places))
        if slope - 1 > max(_LEAST_STRETCH, _ERRORS * error):
            margin = round(length * (1 - 1 / slope) / 2)
            fail(
                f"logits do not lie where the image does: a dot that moves by 10 pixels of {'height' if axis == 0 else 'width'} moves by "
                f"{10 * slope:.1f} in the logits, as where unpadded convolutions leave the centre of the image, here about {margin} pixels "
                f"from each border. Pad the convolutions, or declare margin={margin} in the ModelSpec"
            )


def _seen_at(network: Network, image: tuple[Tensor, ...], axis: int, places: list[int]) -> list[float]:
    """Where along an axis each dot changes the logits: the mean place, weighted by the fourth power of the change."""
    size = (image[0].shape[-2], image[0].shape[-1])
    dotted = [x.repeat(len(places), 1, 1, 1) for x in image]
    middle = size[1 - axis] // 2
    for index, place in enumerate(places):
        window = [slice(middle - 2, middle + 3)] * 2
        window[axis] = slice(place - 2, place + 3)
        for x in dotted:
            x[index, :, window[0], window[1]] += 5.0
    with torch.no_grad(), during("forward in eval mode"):
        before = resize_logits(network(*image)["logits"], size)
        after = resize_logits(network(*dotted)["logits"], size)
    change = (after - before).double().abs().amax(1)
    weights = (change / change.amax((1, 2), keepdim=True).clamp(min=1e-30)).pow(4).sum(2 - axis)
    positions = torch.arange(size[axis], dtype=torch.double)
    return [float(row) for row in (weights @ positions) / weights.sum(1).clamp(min=1e-30)]


def _slope(x: list[int], y: list[float]) -> tuple[float, float]:
    """Slope of a line through points, and its standard error.

    >>> _slope([0, 1, 2], [1.0, 3.0, 5.0])
    (2.0, 0.0)
    """
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    residuals = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return slope, math.sqrt(residuals / max(len(x) - 2, 1) / spread)


def auxiliary_outputs_fit(subject: ModelSubject) -> None:
    """Outputs with a weight have the logits' channels and proportions in training mode."""
    network = subject.build()
    size = subject.tried or trial_size(subject.spec, (_DOT_SIDE, _DOT_SIDE + _DOT_SIDE // 2))
    images = subject.inputs(network_size(subject.spec, size), batch=2)
    logits, outputs = (_raw_outputs(network.train(training), images) for training in (False, True))
    expected = tuple(logits["logits"].shape)
    for name in ("logits", *subject.spec.aux_weights):
        if name not in outputs:
            continue
        shape = tuple(outputs[name].shape)
        if len(shape) != 4 or shape[1] != expected[1] or not _same_proportions(shape, expected):
            fail(
                f"in training mode '{name}' is {shape}, but logits are {expected} in eval mode: outputs with a weight need as many "
                "channels and the same proportions of height and width. Bring it to that in forward, or give it no weight"
            )
    with torch.random.fork_rng(devices=[]), torch.no_grad(), during("forward in training mode"):
        network(*images)


def _raw_outputs(network: Network, images: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """What the model returns, read by the spec, before one logit of two classes becomes two."""
    mode = "training" if network.training else "eval"
    with torch.random.fork_rng(devices=[]), torch.no_grad(), during(f"forward in {mode} mode"):
        return network._outputs(network.model, images)


def _same_proportions(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether height and width are scaled alike, up to a pixel of rounding."""
    ratios = [one / other for one, other in zip(shape[2:], expected[2:], strict=True)]
    return abs(ratios[0] - ratios[1]) <= max(ratios) / min(shape[2:]) + max(ratios) / min(expected[2:])
