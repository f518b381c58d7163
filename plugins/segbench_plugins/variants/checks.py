"""What is missing, and how results call these models. No torch here."""

from __future__ import annotations

import importlib.util

from segbench import Task
from segbench_plugins.variants import EnsembleOptions, PruneOptions


def check_prune(task: Task, options: PruneOptions) -> list[str]:
    """torch-pruning is there."""
    if importlib.util.find_spec("torch_pruning") is None:
        return ["pruning needs torch-pruning: pip install 'segbench[prune]'"]
    return []


def describe_prune(options: PruneOptions) -> str:
    """What stands before the base's name.

    >>> describe_prune(PruneOptions(share=0.25))
    '25 % of the channels pruned from'
    """
    return f"{100 * options.share:g} % of the channels pruned from"


def describe_ensemble(options: EnsembleOptions) -> str:
    """What stands before the members' names."""
    return "ensemble of"
