"""Catalogue of variants of models: distillation, pruning and ensembles."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import Derivation, LossSpec, ModelSpec, Options, hookimpl, option


class DistillOptions(Options):
    """``distill``."""

    loss: str = option("ce", help="the loss against the labels, with its options: 'focal[gamma=1]'")
    teacher: str = option("", help="a model of the same run, or a trained network: RUN, RUN/CELL, FILE")
    temperature: float = option(4.0, minimum=0.01, help="divides both networks' logits; the higher, the softer")
    weight: float = option(0.5, minimum=0, maximum=1, help="share of the teacher; the loss against the labels has the rest")


class EnsembleOptions(Options):
    """``ensemble``."""

    of: tuple[str, ...] = option(
        (), help="models of the same run, or trained networks (RUN, RUN/CELL, FILE), whose probabilities are averaged"
    )


class PruneOptions(Options):
    """``prune``."""

    of: str = option("", help="a model of the same run, or a trained network (RUN, RUN/CELL, FILE), that is pruned")
    share: float = option(0.3, minimum=0.01, maximum=0.95, help="part of every layer's output channels that is removed; the classes stay")
    multiple: int = option(1, minimum=1, help="channels that stay are rounded down to a multiple of this")


@hookimpl
def segbench_losses() -> Iterable[LossSpec]:
    """Distillation."""
    return [
        LossSpec(
            name="distill",
            summary="another loss, and the divergence from a trained teacher's softened probabilities",
            build="segbench_plugins.variants.distillation:build",
            options=DistillOptions,
            takes="batch",
            distils=True,
            source="Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2",
        )
    ]


@hookimpl
def segbench_models() -> Iterable[ModelSpec]:
    """Models that are made of trained ones."""
    return [
        ModelSpec(
            name="ensemble",
            summary="mean of the probabilities of trained models",
            build="segbench_plugins.variants.ensemble:build",
            options=EnsembleOptions,
            derives=Derivation(
                kind="ensemble",
                make="segbench_plugins.variants.ensemble:make",
                rebuild="segbench_plugins.variants.ensemble:rebuild",
                describe="segbench_plugins.variants.checks:describe_ensemble",
                least=2,
            ),
        ),
        ModelSpec(
            name="prune",
            summary="a trained model without its weakest channels, trained on with the recipe",
            build="segbench_plugins.variants.pruning:build",
            options=PruneOptions,
            check="segbench_plugins.variants.checks:check_prune",
            derives=Derivation(
                kind="prune",
                make="segbench_plugins.variants.pruning:make",
                rebuild="segbench_plugins.variants.pruning:rebuild",
                describe="segbench_plugins.variants.checks:describe_prune",
                like_base=True,
                trains=True,
            ),
            source="Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023; magnitudes: Li et al., ICLR 2017",
        ),
    ]
