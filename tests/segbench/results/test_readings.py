"""Values of a cell as tables show them."""

from __future__ import annotations

from segbench.results.readings import ShownValue, shown_energy
from segbench.results.records import CellResult, Deployment, Latency


def test_energy_is_that_of_single_calls_as_the_record_has_it() -> None:
    def cell(**energy: float) -> CellResult:
        timings = [Latency(batch_size=batch, input_size=(48, 64), device="cpu", **energy) for batch in (8, 1)]
        return CellResult(id="a", model="unet", status="ok", deployments=[Deployment(backend="eager", latency=timings)])

    assert shown_energy(cell(energy_j_per_image=0.25)) == ShownValue(0.25)
    assert shown_energy(cell()) is None
