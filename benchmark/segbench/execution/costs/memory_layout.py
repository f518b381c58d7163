"""Randomise a process's memory layout, anew for each one.

Where buffers happen to lie relative to each other changes how fast the same program is by some per cent (Mytkowicz et al., "Producing wrong
data without doing anything obviously wrong!", ASPLOS 2009, section 4). Processes forked from one server all inherit the layout that it had,
and go on from there in the same way: starting a network anew would repeat the accident instead of averaging over it, and differently for
two equal networks with names of different lengths. Seen before: two checkpoints of one architecture differed by 4 to 5 % in all twenty
starts of one race, by nothing in the next, and by as much the other way round in a third.

The layout is therefore drawn at every start, which makes it noise that intervals over starts can see. It is not drawn again while a
process runs, as Curtsinger and Berger do ("Stabilizer", ASPLOS 2013): drawn before every block of calls, it slowed one block in ten of a
small network by a third, which hardly happens to a process that is left alone, as deployed ones are.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

_BLOCKS = 64
_MOST_BYTES = 1 << 17


def randomised_layout() -> list[Tensor]:
    """Blocks of random sizes, about 4 MB together: while they are held, later allocations lie at random addresses.

    They are drawn from the system's randomness, as the state of Python's generator is inherited, too.

    >>> blocks = randomised_layout()
    >>> len(blocks), all(0 < block.numel() <= 1 << 17 for block in blocks)
    (64, True)
    """
    draw = random.SystemRandom()
    return [torch.zeros(draw.randint(1, _MOST_BYTES), dtype=torch.uint8) for _ in range(_BLOCKS)]
