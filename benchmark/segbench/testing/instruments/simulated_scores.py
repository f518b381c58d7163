"""Test sets drawn from a large population of images whose mIoU is known, scores of seeds, and the intervals made of them."""

from __future__ import annotations

import functools

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from segbench.analysis.statistics import bootstrap as uncertainty

Interval = tuple[float, float] | None
Counts = NDArray[np.int64]

CLASSES = 4
POPULATION = 20_000
IMAGES = 60
SCENES = 40
PER_SCENE = 5
PIXELS = 2_000
ACCURACY = (0.80, 0.76)
"""Share of right pixels of the two models in an average image."""
SEEDS = 3
SEED_DIFFERENCE, SEED_DEVIATION = 0.020, 0.010


def miou_truth() -> float:
    """mIoU of the first model over the whole population."""
    return _miou(population()[0])


def difference_truth() -> float:
    """mIoU of the first model less that of the second, over the whole population."""
    return miou_truth() - _miou(population()[1])


def miou(random: Generator, seed: int) -> Interval:
    """The interval of one mIoU over 60 images."""
    drawn = random.integers(POPULATION, size=IMAGES)
    return _ends(uncertainty.miou_interval(population()[0][drawn], seed=seed))


def difference(random: Generator, seed: int) -> Interval:
    """The paired interval over 60 images."""
    drawn = random.integers(POPULATION, size=IMAGES)
    first, second = population()
    return _ends(uncertainty.miou_difference(first[drawn], second[drawn], seed=seed))


def grouped_difference(random: Generator, seed: int) -> Interval:
    """The paired interval over 40 scenes of 5 images that are alike."""
    scenes = random.integers(POPULATION // PER_SCENE, size=SCENES)
    drawn = (scenes[:, None] * PER_SCENE + np.arange(PER_SCENE)).ravel()
    groups = np.repeat(np.arange(SCENES), PER_SCENE).tolist()
    first, second = population()
    return _ends(uncertainty.miou_difference(first[drawn], second[drawn], groups=groups, seed=seed))


def seeds(random: Generator, seed: int) -> Interval:
    """The interval of a mean over three seeds."""
    return _ends(uncertainty.mean_interval((SEED_DIFFERENCE + SEED_DEVIATION * random.standard_normal(SEEDS)).tolist()))


@functools.cache
def population() -> tuple[Counts, Counts]:
    """Matrices (20 000, 4, 4) of two models on the same images; neighbours in fives share a scene, whose difficulty both meet."""
    random = np.random.default_rng(1)
    shares = random.dirichlet((4.0, 3.0, 1.5, 1.0), size=POPULATION)
    labelled = random.multinomial(PIXELS, shares)
    scene = np.repeat(random.normal(0, 0.5, POPULATION // PER_SCENE), PER_SCENE)
    first, second = (_matrices(random, labelled, scene, accuracy) for accuracy in ACCURACY)
    return first, second


def _matrices(random: Generator, labelled: Counts, scene: NDArray[np.float64], accuracy: float) -> Counts:
    """Right pixels by each image's and class's own share; the others are spread evenly over the other classes."""
    middle = np.log(accuracy / (1 - accuracy))
    logit = middle + scene[:, None] + random.normal(0, 0.6, labelled.shape)
    right = random.binomial(labelled, 1 / (1 + np.exp(-logit)))
    found = np.zeros((POPULATION, CLASSES, CLASSES), dtype=np.int64)
    for label in range(CLASSES):
        others = [k for k in range(CLASSES) if k != label]
        found[:, label, others] = random.multinomial(labelled[:, label] - right[:, label], [1 / len(others)] * len(others))
        found[:, label, label] = right[:, label]
    return found


def _miou(matrices: Counts) -> float:
    total = matrices.sum(axis=0)
    hits = np.diagonal(total)
    return float(np.mean(hits / (total.sum(axis=0) + total.sum(axis=1) - hits)))


def _ends(found: uncertainty.Interval) -> Interval:
    return None if found.low is None or found.high is None else (found.low, found.high)
