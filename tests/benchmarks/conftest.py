"""A load that comes and goes, for what must hold beside one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

LOAD_SECONDS = 2.0

_BURNER = f"""
import random, time
rng = random.Random(0)
while True:
    end = time.monotonic() + rng.expovariate(1 / {LOAD_SECONDS})
    while time.monotonic() < end:
        sum(range(20_000))
    time.sleep(rng.expovariate(1 / {LOAD_SECONDS}))
"""


@pytest.fixture
def load() -> Iterator[None]:
    """Another process burns a core in stretches of random length, from a fixed seed."""
    process = subprocess.Popen([sys.executable, "-c", _BURNER])
    yield
    process.kill()
    process.wait()
