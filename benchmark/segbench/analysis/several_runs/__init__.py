"""Summaries over several runs: folds of one dataset, and one run for each of several datasets."""

from __future__ import annotations

from segbench.analysis.several_runs.datasets import DatasetRow, DatasetSummary, PairTest, across_datasets
from segbench.analysis.several_runs.folds import FoldSummary, across_folds

__all__ = ["DatasetRow", "DatasetSummary", "FoldSummary", "PairTest", "across_datasets", "across_folds"]
