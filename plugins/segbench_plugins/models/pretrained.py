"""Availability of timm's pretrained weights, checked at planning, so that no run starts from scratch unnoticed."""

from __future__ import annotations

import functools
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache

_TIMEOUT_SECONDS = 3.0
_FILES = ("model.safetensors", "pytorch_model.bin")


@functools.cache
def reachable(address: str) -> bool:
    """True where a file can be fetched from an address: tried for 3 seconds at most, once per process; False with the hub set offline."""
    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []
    request = threading.Thread(target=lambda: answers.append(_responds(address)), daemon=True)
    request.start()  # a thread of its own: looking up a host has no time limit
    request.join(_TIMEOUT_SECONDS)
    return answers == [True]


def missing_weights(name: str, *, reachable: Callable[[str], bool] = reachable) -> str | None:
    """The reason why pretrained weights of encoder ``name`` are not available, with advice; None where they are."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        return f"timm has no pretrained weights of encoder '{name}'. Set weights=PATH to a local file, or pretrained=false."
    if _is_cached(config) or reachable(_address(config)):
        return None
    return (
        f"the pretrained weights of encoder '{name}' are neither in the local cache nor can the hub be reached. "
        f"Set weights=PATH to a local file with them, run once where there is network, or set pretrained=false to train from scratch."
    )


def _is_cached(config: Any) -> bool:
    if config.hf_hub_id:
        return any(isinstance(try_to_load_from_cache(_repository(config), file), str) for file in _file_names(config))
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(config.url).name).is_file()


def _address(config: Any) -> str:
    return hf_hub_url(_repository(config), _file_names(config)[0]) if config.hf_hub_id else str(config.url)


def _repository(config: Any) -> str:
    return str(config.hf_hub_id).partition("@")[0]


def _file_names(config: Any) -> tuple[str, ...]:
    return (config.hf_hub_filename,) if config.hf_hub_filename else _FILES


def _responds(address: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_TIMEOUT_SECONDS) as answer:
            return bool(answer.status < 400)
    except (OSError, ValueError):
        return False
