"""torch.compile with the inductor, for one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segbench import BackendError
from segbench_plugins.backends.capture import explain, quiet
from segbench_plugins.backends.forms import Run, for_size, in_precision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench_plugins.backends import CompileOptions


def build(network: nn.Module, inputs: tuple[Tensor, ...], options: CompileOptions) -> Run:
    """The compiled network: compilation happens here, in a first call on ``inputs``, for as many threads as torch has now."""
    # graphs of CUDA hand out the same memory again: logits that are kept must be copied
    reuses = options.mode != "default" and inputs[0].is_cuda

    def call(*images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = compiled(*images)
            return logits.clone() if reuses else logits

    try:
        with quiet():
            compiled = torch.compile(in_precision(network, options.precision), mode=options.mode, dynamic=False)
            call(*inputs)
    except Exception as error:
        raise BackendError(f"torch.compile cannot compile the network: {explain(error)}") from error
    finally:
        _end_workers()
    return for_size(call, [tuple(image.shape) for image in inputs])


def _end_workers() -> None:
    """Processes that compiled for the inductor would stay, and be counted as this one's."""
    from torch._inductor.async_compile import shutdown_compile_workers

    shutdown_compile_workers()
