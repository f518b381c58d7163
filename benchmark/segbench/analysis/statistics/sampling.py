"""What a bootstrap draws: images, blocks of consecutive images that are alike, or the groups that images come in."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from segbench.analysis.statistics.serial import Dependence, Places

Floats = npt.NDArray[np.float64]

LEAST_PAIRS = 10
"""Images or groups below which a difference gets no interval: their resamples are too few and too alike."""


@dataclass(frozen=True)
class Sampling:
    """The units of ``images`` that are drawn: the images, the ``groups`` that they come in, or images within groups too few to be drawn.

    ``films``: the places of each series of images in natural order, in which neighbours may be alike; none where groups are drawn.
    """

    kind: Literal["images", "groups", "within groups"]
    images: int
    groups: int
    films: tuple[Places, ...] = field(default=(), repr=False)
    serial: Dependence = field(default_factory=Dependence)

    @property
    def units(self) -> int:
        """The number of independent units: groups, images, or blocks of images that fit into them."""
        return self.groups if self.kind == "groups" else self.images // self.serial.block

    @property
    def words(self) -> str:
        """What is drawn, in words.

        >>> sampling(40, [n // 2 for n in range(40)]).words, sampling(40, None).words
        ('20 groups of images', '40 images')
        """
        images = f"{self.images} images{self._within}"
        if self.kind == "groups":
            return f"{self.groups} groups of images"
        if self.serial.block == 1:
            return images
        alike = f"neighbours are alike up to a lag of {self.serial.lag}"
        return f"moving blocks of {self.serial.block} images ({alike}), {images}"

    @property
    def scope(self) -> str:
        """The images that a verdict is about, to be put behind "these checkpoints"; empty where it is about images like these.

        >>> sampling(40, "ab" * 20).scope, sampling(40, None).scope
        (' on 40 images of these 2 groups', '')
        """
        if self.kind == "within groups":
            return f" on {self.images} images of {'this one group' if self.groups == 1 else f'these {self.groups} groups'}"
        return f" on {self.images} images of this one sequence" if self.serial.block > 1 else ""

    def paired_method(self, resamples: int, seeds: int) -> str:
        """The method of an interval of a difference, in words: what is drawn, of how many seeds, and how it is made.

        >>> sampling(40, None).paired_method(5000, 2)
        'paired bootstrap over 40 images, mean of the differences of 2 seeds, percentiles of 5000 resamples'
        """
        pooled = f", mean of the differences of {seeds} seeds" if seeds > 1 else ""
        return f"paired bootstrap over {self.words}{pooled}, {self.percentiles(resamples)}"

    def percentiles(self, resamples: int) -> str:
        """How the interval of a difference is made of so many resamples, in words."""
        return f"percentiles of {resamples} resamples{', or t over long batches of images where wider' if self.serial.block > 1 else ''}"

    def too_few(self, least: int) -> str:
        """The reason why these units give no interval; empty where they do.

        >>> sampling(9, None).too_few(10), sampling(1, None).too_few(10)
        ('9 images are too few for an interval: at least 10', '1 image is too few for an interval: at least 10')
        """
        if self.units >= least:
            return ""
        if self.serial.block > 1:
            alone = f"{self.units} independent image{'s' if self.units > 1 else ''}"
            alike = f"neighbours are alike up to a lag of {self.serial.lag}, so that in blocks of {self.serial.block}"
            return f"{self.images} images{self._within}: {alike} they tell as much as {alone}, too few for an interval: at least {least}"
        one = self.images == 1 and self.kind == "images"
        return f"{'1 image is' if one else f'{self.words} are'} too few for an interval: at least {least}"

    @property
    def _within(self) -> str:
        if self.kind != "within groups":
            return ""
        return f" within {'one group' if self.groups == 1 else f'{self.groups} groups'}"


def sampling(images: int, groups: Sequence[Hashable] | None, ids: Sequence[str] | None = None) -> Sampling:
    """The sampling units of so many images, before their scores are looked at.

    >>> sampling(3, None).words, sampling(4, "abab").words, sampling(4, "aaaa").words
    ('3 images', '4 images within 2 groups', '4 images within one group')
    """
    if groups is not None and len(groups) != images:
        raise ValueError(f"a group for each image is needed: got {len(groups)} for {images}")
    count = images if groups is None else len(set(groups))
    if count == images:
        return Sampling("images", images, images, tuple(_films([0] * images, ids)))
    if count >= LEAST_PAIRS:
        return Sampling("groups", images, count)
    return Sampling("within groups" if groups else "images", images, count, tuple(_films(groups or [0] * images, ids)))


def draw_weights(random: np.random.Generator, strata: Sequence[Places], n: int, resamples: int, block: int) -> Floats:
    """Counts of each unit in each resample (B, n), as many from each stratum as it has, in circular blocks of consecutive ones."""
    weights = np.empty((resamples, n))
    for members in strata:
        blocks, rest = divmod(len(members), min(block, len(members)))
        weights[:, members] = _block_counts(random, len(members), blocks, min(block, len(members)), resamples)
        if rest:
            weights[:, members] += _block_counts(random, len(members), 1, rest, resamples)
    return weights


def _block_counts(random: np.random.Generator, n: int, blocks: int, length: int, resamples: int) -> Floats:
    """Counts (B, n) of the units in so many blocks, whose first ones are drawn; after the last unit comes the first."""
    starts = random.multinomial(blocks, np.full(n, 1 / n), size=resamples)
    if length == 1:
        return starts.astype(np.float64)
    reached = np.cumsum(np.concatenate([starts[:, n - length + 1 :], starts], axis=1), axis=1)
    reached[:, length:] -= reached[:, : n - 1].copy()
    return reached[:, length - 1 :].astype(np.float64)


def _films(groups: Sequence[Hashable], ids: Sequence[str] | None) -> list[Places]:
    """The places of each group's images, in the natural order of their ids: ``frame9`` comes before ``frame10``."""
    order = range(len(groups)) if ids is None else sorted(range(len(groups)), key=lambda place: _natural(ids[place]))
    places: dict[Hashable, list[int]] = {}
    for place in order:
        places.setdefault(groups[place], []).append(place)
    return [np.asarray(members) for members in places.values()]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
