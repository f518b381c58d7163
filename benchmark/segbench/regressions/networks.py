"""What costs depend on: the network alone, which cells of several losses and seeds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.changes import Change
from segbench.deployment_halves import form_of
from segbench.regressions.pairing import Pair, first_ok
from segbench.results import CellResult


@dataclass
class Network:
    """One network in both runs; ``baseline`` and ``new`` are a cell of each that stands for all of them."""

    baseline: CellResult
    new: CellResult
    baseline_cells: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, ...]:
        return (*_identity(self.baseline), *_identity(self.new))

    @property
    def forms(self) -> list[str]:
        """Backends that both have."""
        return [form.backend for form in self.new.deployments if form_of(self.baseline, form.backend) is not None]

    def row(self, quantity: str, **values: Any) -> Change:
        """A row about this network, yet without a verdict."""
        return Change(
            model=self.new.model,
            baseline_model=self.baseline.model,
            quantity=quantity,
            baseline_cells=self.baseline_cells,
            cells=self.cells,
            notes=self.notes if quantity == "params" else [],
            **values,
        )

    @property
    def notes(self) -> list[str]:
        """Options of the model that are not the same ones."""
        old, new = (cell.resolved.get("model_options") or {} for cell in (self.baseline, self.new))
        shared = [key for key in new if key in old and old[key] != new[key]]
        return [f"model option {key} {old[key]} -> {new[key]}" for key in shared]


def networks_of(pairs: Sequence[Pair]) -> list[Network]:
    """Each distinct network that both runs have, in the order of the new run."""
    found: dict[tuple[str, ...], Network] = {}
    for pair in pairs:
        old, new = first_ok(pair.baseline.cells), first_ok(pair.new.cells)
        if old is None or new is None:
            continue
        network = Network(old, new)
        kept = found.setdefault(network.key, network)
        kept.baseline_cells += [cell.id for cell in pair.baseline.cells.values()]
        kept.cells += [cell.id for cell in pair.new.cells.values()]
    return list(found.values())


def _identity(cell: CellResult) -> tuple[str, str]:
    return cell.model, cell.fingerprints.get("measure", "")
