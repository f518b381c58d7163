"""Imports of the fork server, made once, so that each worker process starts in a tenth of a second."""

from __future__ import annotations

import contextlib
import importlib
import warnings

with warnings.catch_warnings():
    # what these packages deprecate is no news to the user of a cell
    warnings.simplefilter("ignore")
    for _name in (
        "torch",
        "torch.nn.functional",
        "torch.utils.data",
        "torch.utils.flop_counter",
        "torchvision.transforms.v2",
        "timm",
        "lightning.fabric",
        "lightning_fabric",
        "numpy",
        "PIL.Image",
        "segbench.execution.cells.job",
        "segbench.execution.costs.contender_process",
        "segbench.execution.deploy.job",
        "segbench.execution.costs.export",
        "segbench.execution.costs.training_step",
        "segbench.training.fit",
        "segbench.measure.quality.evaluate",
        "segbench.measure.counts",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(_name)
