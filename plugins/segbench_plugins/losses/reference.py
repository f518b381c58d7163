"""Reference formulas of the built-in losses, pixel by pixel in float64 numpy: ``segbench check`` compares the losses with them.

Written to be read, from the papers and the catalogue's sentences; no code is shared with the losses, and speed does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segbench import Options, parse_choice
from segbench_plugins.losses import BceDiceOptions, CombinedOptions, CrossEntropyOptions, DiceOptions, FocalOptions, ScheduleOptions

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]


def cross_entropy(logits: Floats, mask: Labels, *, ignore_index: int, options: CrossEntropyOptions, share: float = 0.0) -> float:
    """Mean over valid pixels of ``-w[y] (1 - s) log p[y] - s / K sum_k w[k] log p[k]``, where s is the label smoothing."""
    classes, s = logits.shape[1], options.label_smoothing
    weights = options.weights or (1.0,) * classes
    assert not isinstance(weights, str)
    terms = []
    for log_p, label in _valid_pixels(logits, mask, ignore_index):
        spread = sum(weights[k] * log_p[k] for k in range(classes)) / classes
        terms.append(-(1 - s) * weights[label] * log_p[label] - s * spread)
    return _mean(terms)


def focal(logits: Floats, mask: Labels, *, ignore_index: int, options: FocalOptions, share: float = 0.0) -> float:
    """Mean over valid pixels of ``-alpha (1 - p[y]) ** gamma log p[y]`` (Lin et al. 2017, equation 5)."""
    terms = []
    for log_p, label in _valid_pixels(logits, mask, ignore_index):
        alpha = options.alpha[label] if isinstance(options.alpha, tuple) else options.alpha
        assert not isinstance(alpha, str)
        terms.append(-alpha * (1 - np.exp(log_p[label])) ** options.gamma * log_p[label])
    return _mean(terms)


def dice(logits: Floats, mask: Labels, *, ignore_index: int, options: DiceOptions, share: float = 0.0) -> float:
    """Mean over the classes present of ``1 - (2 sum p t + smooth) / (sum p + sum t + smooth)``, sums over valid pixels."""
    classes = logits.shape[1]
    overlap, predicted, labelled = [0.0] * classes, [0.0] * classes, [0] * classes
    for log_p, label in _valid_pixels(logits, mask, ignore_index):
        overlap[label] += np.exp(log_p[label])
        labelled[label] += 1
        for k in range(classes):
            predicted[k] += np.exp(log_p[k])
    smooth = options.smooth
    return _mean([1 - (2 * o + smooth) / (p + t + smooth) for o, p, t in zip(overlap, predicted, labelled, strict=True) if t])


def combined(logits: Floats, mask: Labels, *, ignore_index: int, options: CombinedOptions, share: float = 0.0) -> float:
    """``focal + dice_weight * dice``."""
    pixels = focal(logits, mask, ignore_index=ignore_index, options=options)
    return pixels + options.dice_weight * dice(logits, mask, ignore_index=ignore_index, options=DiceOptions())


def schedule(logits: Floats, mask: Labels, *, ignore_index: int, options: ScheduleOptions, share: float = 0.0) -> float:
    """The first loss while ``share < at``, then the other."""
    choice = parse_choice(options.first if share < options.at else options.then)
    function, kind = _INNER[choice.name]
    value: float = function(logits, mask, ignore_index=ignore_index, options=kind.resolve(dict(choice.options)))
    return value


def bce_dice(logits: Floats, mask: Labels, *, ignore_index: int, options: BceDiceOptions, share: float = 0.0) -> float:
    """Weighted ``-log p[y]`` over all valid pixels, plus ``1 - Dice`` of the foreground of each image that has some."""
    terms, images = [], []
    assert not isinstance(options.pos_weight, str)
    for image, labels in zip(logits, mask, strict=True):
        overlap, predicted, labelled = 0.0, 0.0, 0
        for log_p, label in _valid_pixels(image[None], labels[None], ignore_index):
            terms.append(-(options.pos_weight if label == 1 else 1.0) * log_p[label])
            overlap += np.exp(log_p[1]) * label
            predicted += np.exp(log_p[1])
            labelled += label
        if labelled:
            images.append(1 - (2 * overlap + 1) / (predicted + labelled + 1))
    return _mean(terms) + _mean(images)


_INNER: dict[str, tuple[Any, type[Options]]] = {
    "ce": (cross_entropy, CrossEntropyOptions),
    "focal": (focal, FocalOptions),
    "dice": (dice, DiceOptions),
    "combined": (combined, CombinedOptions),
    "bce-dice": (bce_dice, BceDiceOptions),
}


def _valid_pixels(logits: Floats, mask: Labels, ignore_index: int) -> list[tuple[Floats, int]]:
    """Log-probabilities (K,) and label of every valid pixel."""
    pixels = []
    for n, y, x in zip(*np.nonzero(mask != ignore_index), strict=True):
        pixel = logits[n, :, y, x]
        pixels.append((pixel - np.log(np.exp(pixel).sum()), int(mask[n, y, x])))
    return pixels


def _mean(terms: list[float]) -> float:
    return float(sum(terms) / len(terms)) if terms else 0.0
