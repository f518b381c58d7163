"""Which device a run uses."""

from __future__ import annotations

from segbench.errors import DeviceError


def resolve_device(name: str) -> str:
    """``auto`` becomes ``cuda`` where there is a usable GPU, else ``cpu``; raises :class:`DeviceError` for what is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return "cpu"
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceError(f"Unknown device '{name}'. Choose auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available():
        built = "this torch was built without CUDA" if torch.version.cuda is None else "no usable NVIDIA GPU or driver was found"
        raise DeviceError(f"--device {name}: CUDA is not available here ({built}). Use --device cpu or auto.")
    if index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: there are only {torch.cuda.device_count()} CUDA devices (cuda:0 is the first).")
    return name
