"""The kinds of 95 % intervals that reports quote, each with simulated data whose truth is known. Adding one is one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from segbench.testing.instruments import simulated_rounds as rounds
from segbench.testing.instruments import simulated_scores as scores

Interval = tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class IntervalKind:
    """A kind of interval: ``draw(random, seed) -> interval`` on fresh data, and the truth that 95 % of them should hold.

    ``low`` and ``high`` bound the share that an honest method may show; where they are not 0.92 and 0.98, ``why`` says so.
    """

    name: str
    draw: Callable[[Generator, int], Interval]
    truth: Callable[[], float]
    simulations: int = 400
    low: float = 0.92
    high: float = 0.98
    why: str = ""


KINDS: tuple[IntervalKind, ...] = (
    IntervalKind(name=f"median latency, {rounds.ROUNDS} rounds", draw=rounds.median, truth=lambda: rounds.MILLISECONDS),
    IntervalKind(
        name=f"median latency, {rounds.ROUNDS} rounds over {len(rounds.STARTS)} starts",
        draw=rounds.median_over_starts,
        truth=lambda: rounds.MILLISECONDS,
    ),
    IntervalKind(
        name=f"p90 latency, {rounds.ROUNDS} rounds",
        draw=rounds.p90,
        truth=lambda: rounds.true_quantile(0.9),
        low=0.90,
        why="ten rounds are few for a tail: of 4 000 simulated intervals 0.905 held the truth",
    ),
    IntervalKind(
        name=f"ratio in a race, {rounds.ROUNDS} rounds",
        draw=rounds.ratio,
        truth=lambda: rounds.RATIO,
        high=0.995,
        why="wide enough for rounds that were alike for some time, hence too wide for independent ones: 0.985 of 4 000",
    ),
    IntervalKind(
        name=f"ratio in a race, {rounds.ROUNDS} rounds over {len(rounds.STARTS)} starts",
        draw=rounds.ratio_over_starts,
        truth=lambda: rounds.RATIO,
    ),
    IntervalKind(name=f"mIoU, {scores.IMAGES} images", draw=scores.miou, truth=scores.miou_truth, simulations=300),
    IntervalKind(name=f"mIoU difference, {scores.IMAGES} images", draw=scores.difference, truth=scores.difference_truth, simulations=300),
    IntervalKind(
        name=f"mIoU difference, {scores.SCENES} groups",
        draw=scores.grouped_difference,
        truth=scores.difference_truth,
        simulations=300,
    ),
    IntervalKind(
        name=f"mean over {scores.SEEDS} seeds, Student's t", draw=scores.seeds, truth=lambda: scores.SEED_DIFFERENCE, simulations=4000
    ),
)
