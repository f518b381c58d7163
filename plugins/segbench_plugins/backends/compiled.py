"""torch.compile with the inductor, for one size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from segbench import BackendError
from segbench_plugins.backends.onnx_graph import explain, quiet
from segbench_plugins.backends.precision import Run, for_size, in_precision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench_plugins.backends import CompileOptions

_RECOMPILE_LIMIT = 10_000


def build(network: nn.Module, inputs: tuple[Tensor, ...], options: CompileOptions) -> Run:
    """The compiled network: compilation happens here, in a first call on ``inputs``, for as many threads as torch has now."""
    # graphs of CUDA hand out the same memory again: logits that are kept must be copied
    reuses = options.mode != "default" and inputs[0].is_cuda

    def call(*images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = compiled(*images)
            return logits.clone() if reuses else logits

    try:
        with quiet(), _inductor_settings(freezing=options.freezing):
            compiled = torch.compile(in_precision(network, options.precision), mode=options.mode, dynamic=False)
            call(*inputs)
    except Exception as error:
        raise BackendError(f"torch.compile cannot compile the network: {explain(error)}") from error
    return for_size(call, [tuple(image.shape) for image in inputs])


@contextmanager
def _inductor_settings(*, freezing: bool) -> Iterator[None]:
    """Lift dynamo's limit of recompilations, past which it would run the network uncompiled without a warning."""
    import torch._dynamo.config
    import torch._inductor.config
    from torch._inductor.async_compile import shutdown_compile_workers

    limits = {"recompile_limit": _RECOMPILE_LIMIT, "accumulated_recompile_limit": _RECOMPILE_LIMIT, "suppress_errors": False}
    try:
        with torch._dynamo.config.patch(limits), torch._inductor.config.patch(freezing=freezing):
            yield
    finally:
        # processes that compiled would go on running, and would be counted as this one's
        shutdown_compile_workers()
