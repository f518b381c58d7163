from __future__ import annotations

import errno
import math
import pickle

import numpy as np
import pytest
import torch

from segbench.config.settings import Settings
from segbench.training.failures import NonFiniteLossError, halved
from segbench.util.devices import is_out_of_memory


def test_a_failed_allocation_on_the_host_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
)
def test_a_failed_allocation_on_a_gpu_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_an_array_too_large_and_a_process_without_room_are_recognised() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, dtype=np.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("DefaultCPUAllocator: can't allocate memory"), KeyError("x")])
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_halving_keeps_the_images_per_step_until_two_are_left() -> None:
    settings: Settings | None = Settings.model_validate({"train": {"batch_size": 16, "accumulate": 3}})
    seen = []
    while settings is not None:
        seen.append((settings.train.batch_size, settings.train.accumulate))
        settings = halved(settings)
    assert seen == [(16, 3), (8, 6), (4, 12), (2, 24)]


def test_the_error_of_a_broken_loss_survives_the_way_between_processes() -> None:
    error = NonFiniteLossError(math.inf, 3, 17, precision="off", lr=0.5)
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, NonFiniteLossError)
    assert str(again) == str(error)
    assert (again.epoch, again.step, again.kind) == (3, 17, "non-finite-loss")
    assert str(error) == "the training loss became infinite in epoch 3, step 17."
    assert again.advice == error.advice
    assert error.advice == (
        "Try in this order: lower train.lr (it was 0.5 at that step); "
        "set train.clip = 1 if it is none, and look for NaN in the inputs: segbench data check DATASET."
    )
