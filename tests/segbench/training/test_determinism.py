from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch

from segbench.training.determinism import seed_everything, training_mode


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_a_seed_fixes_python_numpy_and_torch() -> None:
    seed_everything(1, 2, 3)
    first = draws()
    seed_everything(1, 2, 3)
    assert draws() == first
    seed_everything(1, 3, 2)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_switches_are_put_back_also_after_an_error() -> None:
    before = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.are_deterministic_algorithms_enabled())
    with pytest.raises(ValueError, match="inside"), training_mode(deterministic=True):  # noqa: PT012
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.backends.cudnn.deterministic
        raise ValueError("inside")
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.are_deterministic_algorithms_enabled()) == before


def test_only_warnings_about_determinism_are_taken() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with training_mode(deterministic=True) as found:
            for _ in range(2):
                warnings.warn("an_op does not have a deterministic implementation, but you set it", UserWarning, stacklevel=1)
            warnings.warn("something else", UserWarning, stacklevel=1)
    assert found == ["an_op"]
    assert [str(warning.message) for warning in seen] == ["something else"]
