"""Speed of a training from its epochs: which of them count, their median, and whether the machine was quiet meanwhile.

The first epoch starts workers and warms caches, and is left out where there are others. Trainings run one after the other, so that a load
of other programs meets some of them and not others: speeds are compared only where each machine was quiet.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from segbench.results.records import Epoch, Training
from segbench.util.sequences import counted as noun_counted

QUIET = 0.05
"""Share of the machine's CPU that other programs may use, over the time of the epochs that count, for it to be quiet."""

FAR_OFF = 0.25
"""Departure from the median speed, as a share of it, beyond which an epoch is named."""

_MOST_NAMED = 5


def counted(history: Sequence[Epoch]) -> list[Epoch]:
    """The epochs with a speed, without the first one where there are others."""
    timed = [row for row in history if row.images_per_second is not None and row.images_per_second > 0]
    return [row for row in timed if row.epoch > 1] or timed


def median_speed(history: Sequence[Epoch]) -> float | None:
    """Images per second: the median over the epochs that count.

    >>> median_speed([Epoch(epoch=n, images_per_second=speed) for n, speed in enumerate((2.0, 10.0, 0.2, 11.0), 1)])
    10.0
    """
    speeds = [row.images_per_second for row in counted(history) if row.images_per_second is not None]
    return median(speeds) if speeds else None


def share_of_others(history: Sequence[Epoch]) -> float | None:
    """Share of the machine's CPU that other programs used over the time of the epochs that count; None where that is not known of all."""
    shares = [(row.seconds, row.other_cpu_share) for row in counted(history)]
    known = [(seconds, share) for seconds, share in shares if seconds is not None and share is not None]
    total = sum(seconds for seconds, _ in known)
    return sum(seconds * share for seconds, share in known) / total if total and len(known) == len(shares) else None


def disturbed(training: Training) -> str:
    """The reason why a training's speed compares with no other; empty where the machine was quiet."""
    epochs = counted(training.history)
    if not epochs:
        return "its epochs were not timed"
    if not (training.device or "cpu").startswith("cpu"):
        others = [row.other_gpu_processes for row in epochs]
        if None in others:
            return "whether other programs used the GPU while it trained is not known"
        if any(others):
            return f"other programs held the GPU in {sum(map(bool, others))} of {noun_counted(len(epochs), 'epoch')}"
    share = share_of_others(training.history)
    if share is None:
        return "whether other programs used the machine while it trained is not known"
    if share > QUIET:
        return f"other programs used {100 * share:.0f} % of the machine's CPU while it trained, and {100 * QUIET:.0f} % count as quiet"
    return ""


def speed_notes(training: Training) -> list[str]:
    """Remarks on epochs far off the median speed of their image size, and on a machine that others used."""
    sizes = dict.fromkeys(row.image_size for row in training.history)
    notes = [_far_off([row for row in counted(training.history) if row.image_size == size]) for size in sizes]
    shared = disturbed(training) if share_of_others(training.history) is not None else ""
    return [*filter(None, notes), *([f"its speed compares with no other: {shared}"] if shared else [])]


def _far_off(epochs: Sequence[Epoch]) -> str:
    middle = median_speed(epochs)
    if middle is None or len(epochs) < 3:
        return ""
    far = [row for row in epochs if abs((row.images_per_second or 0.0) / middle - 1) > FAR_OFF]
    if not far:
        return ""
    named = [_named(row) for row in far[:_MOST_NAMED]] + ([f"and {len(far) - _MOST_NAMED} more"] if len(far) > _MOST_NAMED else [])
    were = "epoch was" if len(far) == 1 else "epochs were"
    return f"{len(far)} {were} more than {100 * FAR_OFF:.0f} % off the median of {middle:.3g} images/s: {', '.join(named)}"


def _named(row: Epoch) -> str:
    shared = row.other_cpu_share is not None and row.other_cpu_share > QUIET
    load = f", other programs used {100 * (row.other_cpu_share or 0.0):.0f} % of the CPU" if shared else ""
    return f"epoch {row.epoch} ({row.images_per_second:.3g} images/s{load})"
