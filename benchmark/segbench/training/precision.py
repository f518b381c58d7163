"""Which number format training uses on which device."""

from __future__ import annotations

from typing import Literal

import torch

from segbench.errors import ConfigError

Precision = Literal["bf16", "fp16", "off"]
FabricPrecision = Literal["bf16-mixed", "16-mixed", "32-true"]

FABRIC: dict[Precision, FabricPrecision] = {"bf16": "bf16-mixed", "fp16": "16-mixed", "off": "32-true"}


def choose_precision(setting: Literal["auto", "bf16", "fp16", "off"], device: torch.device) -> Precision:
    """``auto``: bf16 where the device computes in it natively, else fp16 with a gradient scaler on CUDA, else off.

    Raises :class:`ConfigError` for fp16 on anything but CUDA.
    """
    if setting == "fp16" and device.type != "cuda":
        raise ConfigError(f"train.precision = fp16 needs a CUDA device, but the device is {device.type}. Use bf16, off or auto.")
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _fast_bf16_cpu() else "off"


def _fast_bf16_cpu() -> bool:
    """AMX or AVX512-BF16: there a training step takes 0.6 to 0.95 of its time in float32; without either, up to 1.7 of it."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in checks)
