from __future__ import annotations

import pytest
import torch

from segbench.errors import ConfigError
from segbench.training.distributed import choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("amx", "avx", "chosen"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "off")])
def test_auto_on_a_cpu_is_bf16_where_the_cpu_computes_in_it(monkeypatch: pytest.MonkeyPatch, amx: bool, avx: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert choose_precision("auto", CPU) == chosen


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_cuda_is_bf16_where_it_is_native_else_fp16(monkeypatch: pytest.MonkeyPatch, native: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert choose_precision("auto", CUDA) == chosen


def test_what_the_user_says_is_taken_where_it_is_possible() -> None:
    assert choose_precision("off", CUDA) == "off"
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp16", CUDA) == "fp16"
    assert choose_precision("auto", torch.device("mps")) == "off"
    with pytest.raises(ConfigError, match=r"needs a CUDA device.*Use bf16, off or auto"):
        choose_precision("fp16", CPU)
