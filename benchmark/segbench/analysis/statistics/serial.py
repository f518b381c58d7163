"""Serial dependence of images: whether neighbours of one film or sequence are alike, and the length of the blocks to resample for it.

Frames of one film are no independent evidence: a bootstrap over single frames holds the truth in half of its 95 % intervals where the
correlation of neighbours is 0.8. Blocks of consecutive images keep it (Künsch, Annals of Statistics 17, 1989), here circular ones
(Politis and Romano, in LePage and Billard, Exploring the Limits of Bootstrap, 1992). Their length is the larger of two: the one that gives
the variance with the smallest error (Politis and White, Econometric Reviews 23, 2004, with the correction of Patton, Politis and White,
28, 2009), and the number of images that tell as much as one independent image if the series is autoregressive (Andrews, Econometrica 59,
1991, section 6). The second helps in short series, where only a large correlation stands out.

The series is that of the images' influences on a score, so that a difference between two models is judged by its own dependence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

LEAST_SERIES = 10
"""Images below which no dependence can be seen."""
BATCHES = 6

_ONE_SIDED = 1.6449
_LAGS = 5
_LARGEST = 0.99
_SHORTEST_BATCH = 4


@dataclass(frozen=True)
class Dependence:
    """Length of the blocks to resample, 1 where neighbours are not alike, and the last lag at which images are."""

    block: int = 1
    lag: int = 0


def dependence(influences: Floats, films: Sequence[Places]) -> Dependence:
    """The serial dependence of influences (n,) within ``films``: the places of each one's images, in their natural order.

    Neighbours are alike where their correlation, or the mean of the first five, is beyond what one in twenty independent series would show;
    a false alarm costs little (blocks of two or three), a missed one much.

    >>> dependence(np.sin(np.arange(60.0) / 4), [np.arange(60)]).block > 6, dependence(np.arange(60.0) % 2, [np.arange(60)])
    (True, Dependence(block=1, lag=0))
    """
    n = len(influences)
    correlations = autocorrelations(influences, films) if n >= LEAST_SERIES else np.zeros(0)
    if not len(correlations) or not _is_seen(correlations, n):
        return Dependence()
    lag = _last_lag(correlations, n)
    first = float(correlations[1])
    unbiased = first + len(films) * (1 + 3 * first) / n  # Kendall, Biometrika 41, 1954
    first = min(max(unbiased, 0.0), _LARGEST)
    length = max(_politis_white(correlations, lag, n), (1 + first) / (1 - first))
    return Dependence(min(_rounded_up(length), n), max(lag, 1))


def autocorrelations(series: Floats, films: Sequence[Places]) -> Floats:
    """Correlations at lags 0, 1, .. up to the longest film's, pooled over films, each about its own mean; empty where nothing varies."""
    products = np.zeros(max(len(places) for places in films))
    for places in films:
        centred = series[places] - series[places].mean()
        spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
        products[: len(centred)] += np.fft.irfft(spectrum, 2 * len(centred))[: len(centred)]
    return products / products[0] if products[0] > 1e-20 else np.zeros(0)


def batch_error(influences: Floats, films: Sequence[Places]) -> tuple[float, int]:
    """Standard error of the influences' mean from sums of long batches of consecutive images, and its degrees of freedom.

    About six batches (Schmeiser, Operations Research 30, 1982), at least two of each film that is long enough for them.
    """
    n, variance, freedom = len(influences), 0.0, 0
    for places in films:
        batches = min(max(2, round(BATCHES * len(places) / n)), len(places) // _SHORTEST_BATCH)
        if batches >= 2:
            series = influences[places] - influences[places].mean()
            variance += batches * float(np.var([part.sum() for part in np.array_split(series, batches)], ddof=1))
            freedom += batches - 1
    return math.sqrt(variance) / n, freedom


def _is_seen(correlations: Floats, n: int) -> bool:
    near = correlations[1 : _LAGS + 1]
    return len(near) > 0 and bool(near[0] > _ONE_SIDED / math.sqrt(n) or near.sum() > _ONE_SIDED * math.sqrt(len(near) / n))


def _last_lag(correlations: Floats, n: int) -> int:
    """The lag after which five and more correlations in a row are negligible (Politis and White 2004, section 3.2)."""
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(n))))
    negligible = np.abs(correlations[1:]) < 2 * math.sqrt(math.log10(n) / n)
    most = min(math.ceil(math.sqrt(n)) + in_a_row, len(negligible))
    for lag in range(most):
        if negligible[lag : lag + in_a_row].all():
            return lag
    return most


def _politis_white(correlations: Floats, lag: int, n: int) -> float:
    """The circular blocks' best length, from correlations under a flat-top window of twice the last lag."""
    lags = np.arange(1, min(2 * max(lag, 1), len(correlations) - 1) + 1)
    window = np.clip(2 * (1 - lags / (2 * max(lag, 1))), 0, 1)
    weighted = window * correlations[lags]
    spectrum = 1 + 2 * float(weighted.sum())
    slope = 2 * float((lags * weighted).sum())
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    if spectrum <= 0:
        return 1.0
    return min(float(np.cbrt(1.5 * (slope / spectrum) ** 2 * n)), longest)


def _rounded_up(length: float) -> int:
    """The next whole number; of long ones the next of four to an octave, so that few different lengths are resampled.

    >>> [_rounded_up(length) for length in (1.0, 2.2, 7.5, 8.1, 17.0)]
    [1, 3, 8, 10, 20]
    """
    whole = math.ceil(length - 1e-9)
    step = 1 << max(whole.bit_length() - 3, 0)
    return -(-whole // step) * step
