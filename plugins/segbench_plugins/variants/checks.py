"""Checks of derived models at planning, and the words that stand before their parts' names. No torch is imported here."""

from __future__ import annotations

import importlib.util

from segbench import Task
from segbench_plugins.variants import EnsembleOptions, PruneOptions


def check_prune(task: Task, options: PruneOptions) -> list[str]:
    """torch-pruning has to be installed."""
    if importlib.util.find_spec("torch_pruning") is None:
        return ["pruning needs torch-pruning: pip install 'segbench[prune]'"]
    return []


def describe_prune(options: PruneOptions) -> str:
    """The words before the base's name in results.

    >>> describe_prune(PruneOptions(share=0.25))
    '25 % of the channels pruned from'
    """
    return f"{100 * options.share:g} % of the channels pruned from"


def describe_ensemble(options: EnsembleOptions) -> str:
    """The words before the members' names in results."""
    return "ensemble of"
