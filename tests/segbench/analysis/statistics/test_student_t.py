"""Student's t distribution, against closed forms; tables and an integral of its density are in ``test_bootstrap.py``."""

from __future__ import annotations

import math

import pytest

from segbench.analysis.statistics.student_t import student_p_value, student_quantile


@pytest.mark.parametrize("t", [0.5, 3.0, 1e4, 1e9])
def test_a_p_value_is_exact_far_out_too(t: float) -> None:
    """One degree of freedom is the Cauchy distribution, two have a root in closed form (Shaw, Journal of Computational Finance 9, 2006)."""
    assert student_p_value(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-9)
    root = math.sqrt(2 + t**2)
    assert student_p_value(-t, 2) == pytest.approx(2 / (root * (root + t)), rel=1e-9)


@pytest.mark.parametrize("probability", [0.9, 0.975, 0.9995])
def test_quantiles_are_those_of_the_closed_forms(probability: float) -> None:
    assert student_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)
    between = 2 * probability - 1
    assert student_quantile(probability, 2) == pytest.approx(between * math.sqrt(2 / (1 - between**2)), rel=1e-9)
