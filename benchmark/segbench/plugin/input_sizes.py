"""Sizes (height, width) of the images that a model takes, and of what it is given for them, by its spec."""

from __future__ import annotations

from segbench.errors import ConfigError
from segbench.plugin.specs import ModelSpec
from segbench.util.image_size import Size


def network_size(spec: ModelSpec, size: Size) -> Size:
    """The size to which an image is brought for a model: with margins, and padded. Raises :class:`ConfigError` where it is too large."""
    multiple = max(spec.size_multiple, 1)
    least = spec.fixed_size or (spec.min_size, spec.min_size)
    height, width = (-(-max(length + 2 * spec.margin, low) // multiple) * multiple for length, low in zip(size, least, strict=True))
    most = largest_image(spec)
    if most and (size[0] > most[0] or size[1] > most[1]):
        largest = f"{most[0]}x{most[1]}"
        raise ConfigError(
            f"model '{spec.name}' takes images {'of' if spec.fixed_size else 'up to'} {largest}, not {size[0]}x{size[1]}. Train at "
            f"train.image_size={largest}, and score larger images in tiles: eval.tile={largest}."
        )
    return height, width


def largest_image(spec: ModelSpec) -> Size | None:
    """The largest image that a model takes; None where there is no limit."""
    most = spec.fixed_size or ((spec.max_size, spec.max_size) if spec.max_size else None)
    return (most[0] - 2 * spec.margin, most[1] - 2 * spec.margin) if most else None


def trial_size(spec: ModelSpec, wanted: Size) -> Size:
    """The image size nearest to ``wanted`` that a model takes, for trials at a size of the harness's choice."""
    multiple, most = max(spec.size_multiple, 1), largest_image(spec)
    least = max(spec.min_size - 2 * spec.margin, 1)
    height, width = (-(-max(length, least) // multiple) * multiple for length in wanted)
    if spec.fixed_size:
        return spec.fixed_size[0] - 2 * spec.margin, spec.fixed_size[1] - 2 * spec.margin
    return (min(height, most[0]), min(width, most[1])) if most else (height, width)
