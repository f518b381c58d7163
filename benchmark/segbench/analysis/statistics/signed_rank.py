"""Wilcoxon's signed-rank test with its exact distribution, for a handful of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_PAIRS = 6
"""Pairs below which even differences of one sign have p above 0.05: 2 / 2^5 = 0.0625, 2 / 2^6 = 0.031."""


def signed_rank_p_value(differences: Sequence[float]) -> float:
    """Two-sided p value of "the differences lie evenly around zero"; 1 where there is none but zeros.

    Zeros are left out, equal sizes share their mean rank, and all 2^n signs are counted. Wilcoxon, Biometrics Bulletin 1, 1945; for
    methods on several datasets: Demsar, Journal of Machine Learning Research 7, 2006, section 3.1.3.

    >>> signed_rank_p_value([1, 2, 3, 4, 5]), signed_rank_p_value([1, 2, 3, 4, 5, 6])
    (0.0625, 0.03125)
    """
    known = [difference for difference in differences if difference != 0]
    if not known:
        return 1.0
    doubled = [round(2 * rank) for rank in mean_ranks([abs(difference) for difference in known])]
    positive = sum(rank for rank, difference in zip(doubled, known, strict=True) if difference > 0)
    counts = np.zeros(sum(doubled) + 1)
    counts[0] = 1.0
    for rank in doubled:
        counts[rank:] = counts[rank:] + counts[: len(counts) - rank]
    tail = counts[: min(positive, sum(doubled) - positive) + 1].sum()
    return min(1.0, float(2 * tail / counts.sum()))


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from the smallest (1); equal ones share the mean of their ranks.

    >>> mean_ranks([0.3, 0.1, 0.3])
    [2.5, 1.0, 2.5]
    """
    return [1 + sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2 for value in values]
