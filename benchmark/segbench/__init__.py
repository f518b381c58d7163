"""segbench: a benchmarking suite for semantic segmentation.

This is the public API for plugin authors. Names are imported on first use (PEP 562), so that ``import segbench`` needs
neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segbench.analysis.several_runs import DatasetRow, DatasetSummary, FoldSummary, PairTest, across_datasets, across_folds
    from segbench.analysis.statistics.timing import ratio_of
    from segbench.data.reader.facts import FileFacts, collect_facts
    from segbench.data.reader.read import IMAGE_SUFFIXES, ImageFile, MaskFile, read_image, read_mask
    from segbench.errors import (
        BackendError,
        CheckpointError,
        ConfigError,
        DataError,
        DeviceError,
        OptionError,
        PluginError,
        SegbenchError,
        StoreError,
        TrainingError,
        UnknownNameError,
        did_you_mean,
    )
    from segbench.execution.api import evaluate, profile, run, score
    from segbench.measure.macs import count_macs
    from segbench.networks.weights_file import WeightsFile, read_weights
    from segbench.plugin.choice import Choice, parse_choice, slug
    from segbench.plugin.class_weights import WeightRule
    from segbench.plugin.hookspecs import hookimpl
    from segbench.plugin.options import NoOptions, Options, option
    from segbench.plugin.specs import (
        IGNORE_INDEX,
        AugmentationSpec,
        BackendSpec,
        Claim,
        Conversion,
        ConverterSpec,
        Counts,
        DatasetSpec,
        Derivation,
        Download,
        GivenWeights,
        LossBatch,
        LossFormula,
        LossSpec,
        MetricSpec,
        ModelSpec,
        Normalisation,
        Problem,
        Progress,
        Recipe,
        Reporter,
        ReportTarget,
        Sample,
        Target,
        Task,
    )
    from segbench.results.claims import (
        JudgedClaim,
        claims_of_run,
        claims_tested,
        count_verdicts,
        judged_claims,
        row_words,
        with_claim_verdicts,
    )
    from segbench.results.metrics import METRICS, ChangeRow, Metric, TableColumn, metric
    from segbench.results.readings import (
        ShownValue,
        batch_timing,
        half_interval,
        not_comparable,
        only_class_of,
        only_masks,
        shown_deployment,
        single_timing,
    )
    from segbench.results.records import (
        AS_GIVEN,
        Ablation,
        AblationStep,
        CellResult,
        ClassWeights,
        Comparison,
        ConfigRecord,
        Deployment,
        Drift,
        Environment,
        Epoch,
        Family,
        Latency,
        LoadedWeights,
        Memory,
        MetricScore,
        ModuleCost,
        ModuleCosts,
        ModuleLatency,
        Quality,
        RaceContender,
        RaceGroup,
        RaceRecord,
        ReferenceLatency,
        ReferenceRecord,
        RunResult,
        SeedSummary,
        TaskRecord,
        Training,
        TrainingCost,
        Verdict,
        VerificationRecord,
    )
    from segbench.results.run_comparison import Change, Gate, GateClause, RunComparison, RunDifference, RunSide
    from segbench.results.scored_classes import (
        AveragedClasses,
        averaged_classes,
        counted_classes,
        missing_headline,
        nothing_learned,
        only_class,
    )
    from segbench.results.store import load_run
    from segbench.util.named_colours import named_colour
    from segbench.util.near_misses import near_miss
    from segbench.util.sequences import counted, first_line

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "BackendError CheckpointError ConfigError DataError DeviceError OptionError PluginError SegbenchError StoreError TrainingError "
        "UnknownNameError did_you_mean"
    ),
    "execution.api": "evaluate profile run score",
    "analysis.several_runs": "DatasetRow DatasetSummary FoldSummary PairTest across_datasets across_folds",
    "analysis.statistics.timing": "ratio_of",
    "data.reader.facts": "FileFacts collect_facts",
    "measure.macs": "count_macs",
    "data.reader.read": "IMAGE_SUFFIXES ImageFile MaskFile read_image read_mask",
    "networks.weights_file": "WeightsFile read_weights",
    "plugin.hookspecs": "hookimpl",
    "plugin.class_weights": "WeightRule",
    "plugin.choice": "Choice parse_choice slug",
    "plugin.options": "NoOptions Options option",
    "results.claims": "JudgedClaim claims_of_run claims_tested count_verdicts judged_claims row_words with_claim_verdicts",
    "results.metrics": "METRICS ChangeRow Metric TableColumn metric",
    "results.readings": "ShownValue batch_timing half_interval not_comparable only_class_of only_masks shown_deployment single_timing",
    "results.scored_classes": "AveragedClasses averaged_classes counted_classes missing_headline nothing_learned only_class",
    "results.run_comparison": "Change Gate GateClause RunComparison RunDifference RunSide",
    "results.records": (
        "AS_GIVEN Ablation AblationStep CellResult ClassWeights Comparison ConfigRecord Deployment Drift Environment Epoch Family Latency "
        "LoadedWeights Memory MetricScore ModuleCost ModuleCosts ModuleLatency Quality RaceContender RaceGroup RaceRecord ReferenceLatency "
        "ReferenceRecord RunResult SeedSummary TaskRecord Training TrainingCost Verdict VerificationRecord"
    ),
    "plugin.specs": (
        "IGNORE_INDEX AugmentationSpec BackendSpec Claim Conversion ConverterSpec Counts DatasetSpec Derivation Download GivenWeights "
        "LossBatch LossFormula LossSpec MetricSpec ModelSpec Normalisation Problem Progress Recipe Reporter ReportTarget Sample Target Task"
    ),
    "results.store": "load_run",
    "util.named_colours": "named_colour",
    "util.near_misses": "near_miss",
    "util.sequences": "counted first_line",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AS_GIVEN",
    "IGNORE_INDEX",
    "IMAGE_SUFFIXES",
    "METRICS",
    "Ablation",
    "AblationStep",
    "AugmentationSpec",
    "AveragedClasses",
    "BackendError",
    "BackendSpec",
    "CellResult",
    "Change",
    "ChangeRow",
    "CheckpointError",
    "Choice",
    "Claim",
    "ClassWeights",
    "Comparison",
    "ConfigError",
    "ConfigRecord",
    "Conversion",
    "ConverterSpec",
    "Counts",
    "DataError",
    "DatasetRow",
    "DatasetSpec",
    "DatasetSummary",
    "Deployment",
    "Derivation",
    "DeviceError",
    "Download",
    "Drift",
    "Environment",
    "Epoch",
    "Family",
    "FileFacts",
    "FoldSummary",
    "Gate",
    "GateClause",
    "GivenWeights",
    "ImageFile",
    "JudgedClaim",
    "Latency",
    "LoadedWeights",
    "LossBatch",
    "LossFormula",
    "LossSpec",
    "MaskFile",
    "Memory",
    "Metric",
    "MetricScore",
    "MetricSpec",
    "ModelSpec",
    "ModuleCost",
    "ModuleCosts",
    "ModuleLatency",
    "NoOptions",
    "Normalisation",
    "OptionError",
    "Options",
    "PairTest",
    "PluginError",
    "Problem",
    "Progress",
    "Quality",
    "RaceContender",
    "RaceGroup",
    "RaceRecord",
    "Recipe",
    "ReferenceLatency",
    "ReferenceRecord",
    "ReportTarget",
    "Reporter",
    "RunComparison",
    "RunDifference",
    "RunResult",
    "RunSide",
    "Sample",
    "SeedSummary",
    "SegbenchError",
    "ShownValue",
    "StoreError",
    "TableColumn",
    "Target",
    "Task",
    "TaskRecord",
    "Training",
    "TrainingCost",
    "TrainingError",
    "UnknownNameError",
    "Verdict",
    "VerificationRecord",
    "WeightRule",
    "WeightsFile",
    "__version__",
    "across_datasets",
    "across_folds",
    "averaged_classes",
    "batch_timing",
    "claims_of_run",
    "claims_tested",
    "collect_facts",
    "count_macs",
    "count_verdicts",
    "counted",
    "counted_classes",
    "did_you_mean",
    "evaluate",
    "first_line",
    "half_interval",
    "hookimpl",
    "judged_claims",
    "load_run",
    "metric",
    "missing_headline",
    "named_colour",
    "near_miss",
    "not_comparable",
    "nothing_learned",
    "only_class",
    "only_class_of",
    "only_masks",
    "option",
    "parse_choice",
    "profile",
    "ratio_of",
    "read_image",
    "read_mask",
    "read_weights",
    "row_words",
    "run",
    "score",
    "shown_deployment",
    "single_timing",
    "slug",
    "with_claim_verdicts",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'segbench' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"segbench.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
