from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.measure.counts import profile_network
from segbench.results.records import CellResult


class _TwoInputs(nn.Module):
    def __init__(self, *, auxiliary: bool) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(5, 4, 1, bias=False)
        self.head = nn.Conv2d(4, 2, 1, bias=False)
        self.auxiliary = nn.Conv2d(4, 2, 1, bias=False) if auxiliary else None

    def forward(self, sar: Tensor, optical: Tensor) -> dict[str, Tensor]:
        features = self.encoder(torch.cat([sar, optical], dim=1))
        return {"out": self.head(features), **({"aux": self.auxiliary(features)} if self.auxiliary else {})}


INPUTS = (torch.rand(1, 2, 8, 6), torch.rand(1, 3, 8, 6))


def test_the_headline_is_of_the_deployed_network_and_the_trained_one_stands_beside_it() -> None:
    profile = profile_network(
        _TwoInputs(auxiliary=False), INPUTS, parts={"encoder": ("encoder",), "head": ("head",)}, trained=_TwoInputs(auxiliary=True)
    )
    assert (profile.params, profile.params_trained, profile.params_trainable) == (28, 36, 36)
    assert profile.params_per_part == {"encoder": 20, "head": 8}
    assert (profile.macs, profile.flops, profile.fvcore_flops) == (48 * 28, 2 * 48 * 28, 48 * 28)
    assert profile.input_shape == [[1, 2, 8, 6], [1, 3, 8, 6]]


def test_its_fields_are_fields_of_a_cell() -> None:
    profile = profile_network(_TwoInputs(auxiliary=False), INPUTS, parts={}, fvcore=False)
    assert set(profile.fields()) <= set(CellResult.model_fields)
    cell = CellResult.model_validate({"id": "a", "model": "m", **profile.fields()})
    assert (cell.macs, cell.fvcore_flops, cell.fvcore_error) == (48 * 28, None, "not asked for")
