"""Bystanders: other programs that use the machine while an epoch is trained."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace

import torch

from segbench.measure.disturbance import Watch, other_gpu_processes
from segbench.util.distributed import ProcessRank, gathered, total


class Bystanders:
    """Looks at the machine when made, and at :meth:`seen` says what other programs used of it since. All processes of a group take part."""

    def __init__(self, process: ProcessRank) -> None:
        self._process = process
        self._watch = Watch(self._own)

    def seen(self) -> tuple[float | None, int | None]:
        """The share, 0 to 1, of the machine's CPU that others used, and how many other processes hold GPUs of this training."""
        use = self._watch.used()
        own = float(total(torch.tensor([use.own], dtype=torch.float32), self._process))
        gpus = gathered({self._process.rank: other_gpu_processes(self._process.device)}, self._process).values()
        others = [count for count in gpus if count is not None]
        return replace(use, own=own).share_of_others(), sum(others) if len(others) == len(gpus) else None

    def _own(self) -> Iterator[int]:
        """The loader's workers and, of the first process, the one that started it, which shows the progress."""
        yield from (child.pid for child in multiprocessing.active_children() if child.daemon and child.pid)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid and self._process.first:
            yield parent.pid
