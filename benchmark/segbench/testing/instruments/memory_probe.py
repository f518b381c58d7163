"""A process that uses a known amount of memory under the meter, and prints what the meter says: ``python -m .. MB [MB of a parent]``.

With a second figure it first uses that much itself, then starts a child that does the measuring: nothing of the parent may show.
"""

from __future__ import annotations

import json
import subprocess
import sys

MB = 2**20


def main(arguments: list[str]) -> None:
    """Print {"increase": .., "peak": .., "method": ..} in MB."""
    size, parent = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    if parent:
        used = b"\1" * (parent * MB)  # ones, not zeros: the system hands out zero pages only when they are written to
        subprocess.run([sys.executable, "-m", "segbench.testing.instruments.memory_probe", str(size)], check=True)
        del used
    else:
        print(json.dumps(_measure(size)))


def _measure(size: int) -> dict[str, float | str | None]:
    import torch

    from segbench.measure.memory import PeakMemory

    torch.ones(1).sum()  # what the first call sets up is not the tensor's
    with PeakMemory("cpu") as meter:
        tensor = torch.ones(size * MB // 4)
        del tensor
    return {"increase": meter.increase_mb, "peak": meter.peak_mb, "method": meter.method}


if __name__ == "__main__":
    main(sys.argv[1:])
