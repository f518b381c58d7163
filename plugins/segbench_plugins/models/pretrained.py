"""Are timm's pretrained weights of an encoder here, or can they be had? Asked at planning, so that no run starts from scratch unseen."""

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

_SECONDS = 3.0
_FILES = ("model.safetensors", "pytorch_model.bin")


@functools.cache
def reachable(address: str) -> bool:
    """Whether a file can be fetched from there, asked for 3 seconds at most, once per process; False where the hub is set offline."""
    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_answers(address)), daemon=True)
    asking.start()  # a thread of its own: looking a host up knows no time limit
    asking.join(_SECONDS)
    return answers == [True]


def missing_weights(name: str, *, reachable: Callable[[str], bool] = reachable) -> str | None:
    """Why the pretrained weights of encoder ``name`` cannot be had, with what to do; None where they can."""
    known = timm.get_pretrained_cfg(name)
    if known is None or not (known.hf_hub_id or known.url):
        return f"timm has no pretrained weights of encoder '{name}'. Set weights=PATH to a local file, or pretrained=false."
    if _cached(known) or reachable(_address(known)):
        return None
    return (
        f"the pretrained weights of encoder '{name}' are neither in the local cache nor can the hub be reached. "
        f"Set weights=PATH to a local file with them, run once where there is network, or set pretrained=false to train from scratch."
    )


def _cached(known: Any) -> bool:
    if known.hf_hub_id:
        return any(isinstance(try_to_load_from_cache(_repository(known), file), str) for file in _file_names(known))
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name).is_file()


def _address(known: Any) -> str:
    return hf_hub_url(_repository(known), _file_names(known)[0]) if known.hf_hub_id else str(known.url)


def _repository(known: Any) -> str:
    return str(known.hf_hub_id).partition("@")[0]


def _file_names(known: Any) -> tuple[str, ...]:
    return (known.hf_hub_filename,) if known.hf_hub_filename else _FILES


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS) as answer:
            return bool(answer.status < 400)
    except (OSError, ValueError):
        return False
