"""Catalogue of the built-in augmentations that are plugins; ``none``, ``standard``, ``enhanced`` and ``crop`` are the loader's own."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import AugmentationSpec, hookimpl


@hookimpl
def segbench_augmentations() -> Iterable[AugmentationSpec]:
    """The built-in augmentations."""
    return [
        AugmentationSpec(
            name="dihedral",
            summary="mirror images and quarter turns: for images without an up and down (from above, under a microscope)",
            build="segbench_plugins.augmentations.dihedral:build",
        ),
    ]
